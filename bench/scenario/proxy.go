package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/trial"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// ProxyOptions says how the cost of passing calls on is measured.
type ProxyOptions struct {
	// Self starts generators and servers.
	Self machine.Self
	// Parts is where unpacked nginx, HAProxy and Envoy lie, default ".cache/proxies".
	Parts string
	// Loads and Sizes, of tensor data in bytes, make a table each over gRPC. Defaults: 1x1, 8x8 and 64x1; 1 KiB, 64 KiB
	// and 1 MiB.
	Loads []generator.Load
	Sizes []int
	// Plain are the loads over HTTP/1.1, of 1 KiB each. Default: 32 and 1 connections.
	Plain []generator.Load
	// Workers are the threads of each server, default 1.
	Workers int
	// Warmup and Block are the times of a block, default 150 ms and 750 ms.
	Warmup, Block time.Duration
	// Effort is how hard undisturbed blocks are tried for.
	Effort trial.Effort
	// Only, when not empty, names the subjects to measure.
	Only []string
	// Words takes progress, default nowhere.
	Words io.Writer
}

// EnsureDefaults fills in what was left out.
func (o *ProxyOptions) EnsureDefaults() {
	if o.Parts == "" {
		o.Parts = filepath.Join(".cache", "proxies")
	}
	if o.Loads == nil {
		o.Loads = []generator.Load{{Connections: 1, Streams: 1}, {Connections: 8, Streams: 8}, {Connections: 64, Streams: 1}}
	}
	if o.Sizes == nil {
		o.Sizes = []int{1 << 10, 64 << 10, 1 << 20}
	}
	if o.Plain == nil {
		o.Plain = []generator.Load{{Connections: 32}, {Connections: 1}}
	}
	if o.Workers == 0 {
		o.Workers = 1
	}
	if o.Warmup == 0 {
		o.Warmup = 150 * time.Millisecond
	}
	if o.Block == 0 {
		o.Block = 750 * time.Millisecond
	}
	if o.Words == nil {
		o.Words = io.Discard
	}
}

// directName is the row without a proxy: the floor of latency.
const directName = "no proxy"

// passing is what stands while calls are passed on.
type passing struct {
	opts     ProxyOptions
	dir      string
	upstream *peer.Server   // answers gRPC
	handler  *peer.Server   // answers HTTP/1.1
	gRPC     []*peer.Server // that pass gRPC on, with the upstream itself
	plain    []*peer.Server // that take HTTP/1.1
}

// Proxy measures what it costs to pass calls on: every proxy has the same upstream.
func Proxy(ctx context.Context, opts ProxyOptions) ([]trial.Comparison, error) {
	opts.EnsureDefaults()
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the servers: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p := &passing{opts: opts, dir: dir}
	defer p.close()
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	var all []trial.Comparison
	for _, size := range opts.Sizes {
		for _, load := range opts.Loads {
			c, err := p.compareCalls(ctx, size, load)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	for _, load := range opts.Plain {
		c, err := p.comparePlain(ctx, load)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (p *passing) close() {
	for _, s := range append(append([]*peer.Server{p.handler}, p.gRPC...), p.plain...) {
		if s != nil {
			s.Close()
		}
	}
	if p.upstream != nil {
		p.upstream.Close()
	}
}

// wanted tells whether a subject is to be measured.
func (o *ProxyOptions) wanted(name string) bool {
	return len(o.Only) == 0 || slices.Contains(o.Only, name)
}

// start starts what is wanted and installed.
func (p *passing) start(ctx context.Context) (err error) {
	o := &p.opts
	if p.upstream, err = peer.StartUpstream(ctx, o.Self, o.Workers); err != nil {
		return err
	}
	for _, st := range p.starters(ctx) {
		if !o.wanted(st.name) || len(o.Loads) == 0 && st.name != peer.Sluice {
			continue
		}
		h, err := p.hop(p.upstream)
		if err != nil {
			return err
		}
		s, err := st.start(h)
		if errors.Is(err, peer.ErrNotInstalled) {
			fmt.Fprintf(o.Words, "left out: %v\n", err)
			continue
		}
		if err != nil {
			return err
		}
		p.gRPC = append(p.gRPC, s)
	}
	return p.startPlain(ctx)
}

// proxyStarter starts one of the proxies that are compared.
type proxyStarter struct {
	name  string
	start func(h peer.Hop) (*peer.Server, error)
}

// starters are the proxies of gRPC: Sluice first.
func (p *passing) starters(ctx context.Context) []proxyStarter {
	self := p.opts.Self
	return []proxyStarter{
		{peer.Sluice, func(h peer.Hop) (*peer.Server, error) { return startPassSluice(ctx, self, h) }},
		{peer.HAProxy, func(h peer.Hop) (*peer.Server, error) { return peer.StartHAProxyHop(ctx, h) }},
		{peer.Nginx, func(h peer.Hop) (*peer.Server, error) { return peer.StartNginxHop(ctx, h, false) }},
		{peer.Envoy, func(h peer.Hop) (*peer.Server, error) { return peer.StartEnvoyHop(ctx, h) }},
		{peer.Relay, func(h peer.Hop) (*peer.Server, error) { return peer.StartRelay(ctx, self, h.Upstream, h.Workers) }},
	}
}

// hop describes a proxy that is to be started, with a folder of its own.
func (p *passing) hop(upstream *peer.Server) (peer.Hop, error) {
	dir, err := os.MkdirTemp(p.dir, "")
	if err != nil {
		return peer.Hop{}, fmt.Errorf("make a folder for a proxy: %w", err)
	}
	return peer.Hop{Parts: p.opts.Parts, Dir: dir, Upstream: upstream.Target, Workers: p.opts.Workers}, nil
}

// startPlain starts what takes HTTP/1.1: nginx in front of a handler that answers what Sluice answers.
func (p *passing) startPlain(ctx context.Context) error {
	o := &p.opts
	i := slices.IndexFunc(p.gRPC, func(s *peer.Server) bool { return s.Name == peer.Sluice })
	if len(o.Plain) == 0 || i < 0 {
		return nil
	}
	sluice := p.gRPC[i]
	answer, err := askAnswer(ctx, sluice, client.InferRequest(noopModel, 256))
	if err != nil {
		return err
	}
	if p.handler, err = peer.StartBare(ctx, o.Self, answer); err != nil {
		return err
	}
	if !o.wanted(peer.Nginx) {
		return nil
	}
	h, err := p.hop(p.handler)
	if err != nil {
		return err
	}
	s, err := peer.StartNginxHop(ctx, h, true)
	if errors.Is(err, peer.ErrNotInstalled) {
		return nil // said already
	}
	if err != nil {
		return err
	}
	p.plain = append(p.plain, s)
	return nil
}

// passConfig is a gateway in front of the upstream: metrics on, no logs of requests, as everywhere else here.
const passConfig = `version: 1
listen:
  http:    {address: "127.0.0.1:0"}
  metrics: {address: "127.0.0.1:0"}
  admin:   {address: "127.0.0.1:0"}
pools:
  - {name: upstream, kind: triton, discover: true, endpoints: [{address: %q}]}
telemetry:
  access_log: {sample: 0%%, slow: 0s, errors: none}
`

func startPassSluice(ctx context.Context, self machine.Self, h peer.Hop) (*peer.Server, error) {
	file := filepath.Join(h.Dir, "sluice.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, passConfig, h.Upstream), 0o644); err != nil {
		return nil, fmt.Errorf("configure Sluice: %w", err)
	}
	s := &peer.Server{
		Name: peer.Sluice, Version: peer.OwnVersion(),
		Note: fmt.Sprintf("GOMAXPROCS=%d; the whole gateway: every limit and metric on, the message read, routed and passed on by kind triton", h.Workers),
	}
	_, err := peer.StartSluice(ctx, self, s, file, h.Workers)
	return s, err
}

// compareCalls measures the proxies of gRPC with one load.
func (p *passing) compareCalls(ctx context.Context, size int, load generator.Load) (trial.Comparison, error) {
	o := &p.opts
	message, err := client.InferMessage(noopModel, "x", tensor.FP32, size)
	if err != nil {
		return trial.Comparison{}, err
	}
	call := &client.GRPC{Path: pb.GRPCInferenceService_ModelInfer_FullMethodName, Message: message}
	floor, err := client.AskGRPC(ctx, p.upstream.Target, call)
	if err != nil {
		return trial.Comparison{}, fmt.Errorf("%w; %w", err, p.upstream.Alive())
	}
	var subjects []trial.Subject
	for _, s := range p.gRPC {
		got, err := client.AskGRPC(ctx, s.Target, call)
		if err != nil {
			return trial.Comparison{}, fmt.Errorf("%s: %w; %w", s.Name, err, s.Alive())
		}
		if err := sameOutputs(floor, got); err != nil {
			return trial.Comparison{}, fmt.Errorf("%s: %w", s.Name, err)
		}
		subjects = append(subjects, p.subject(s, generator.Options{GRPC: call, Body: got, Connections: load.Connections, Streams: max(load.Streams, 1), Rate: load.Rate}))
	}
	if o.wanted(directName) {
		direct := p.subject(p.upstream, generator.Options{GRPC: call, Body: floor, Connections: load.Connections, Streams: max(load.Streams, 1), Rate: load.Rate})
		direct.Name, direct.Note = directName, "the generator and the upstream alone"
		subjects = append(subjects, direct)
	}
	plan := trial.Plan{
		Title:  fmt.Sprintf("Passing a call with %s on, %s", bytesText(size), loadName(load)),
		Load:   fmt.Sprintf("gRPC, %s, blocks of %s", load, o.Block),
		Anchor: anchorOf(subjects, peer.HAProxy),
		Effort: o.Effort,
		Tell:   tellBlock(o.Words),
	}
	if size >= 1<<20 {
		plan.Anchor = anchorOf(subjects, peer.Nginx)
	}
	fmt.Fprintf(o.Words, "%s\n", plan.Title)
	return trial.Compare(ctx, plan, subjects)
}

// comparePlain measures what takes HTTP/1.1 with one load.
func (p *passing) comparePlain(ctx context.Context, load generator.Load) (trial.Comparison, error) {
	o := &p.opts
	request := client.InferRequest(noopModel, 256)
	var subjects []trial.Subject
	add := func(s *peer.Server, name, note string) error {
		answer, err := askAnswer(ctx, s, request)
		if err != nil {
			return err
		}
		subject := p.subject(s, generator.Options{Request: request, Body: answer.Body, Connections: load.Connections, Rate: load.Rate})
		subject.Name, subject.Note = name, note
		subjects = append(subjects, subject)
		return nil
	}
	for _, s := range p.gRPC {
		if s.Name == peer.Sluice {
			if err := add(s, s.Name, s.Note+"; HTTP/1.1 in, gRPC out"); err != nil {
				return trial.Comparison{}, err
			}
		}
	}
	for _, s := range p.plain {
		if err := add(s, s.Name, s.Note); err != nil {
			return trial.Comparison{}, err
		}
	}
	if p.handler != nil && o.wanted(directName) {
		if err := add(p.handler, directName, "the generator and the bare handler alone"); err != nil {
			return trial.Comparison{}, err
		}
	}
	plan := trial.Plan{
		Title:  fmt.Sprintf("HTTP/1.1 in: 1 KiB of binary tensor, %d connections", load.Connections),
		Load:   fmt.Sprintf("HTTP/1.1, %s, blocks of %s", load, o.Block),
		Anchor: anchorOf(subjects, peer.Nginx),
		Effort: o.Effort,
		Tell:   tellBlock(o.Words),
	}
	fmt.Fprintf(o.Words, "%s\n", plan.Title)
	return trial.Compare(ctx, plan, subjects)
}

// subject measures one server; what stands behind it is no disturbance. Without a proxy there is none whose time
// counts.
func (p *passing) subject(s *peer.Server, opts generator.Options) trial.Subject {
	return trial.Subject{Name: s.Name, Version: s.Version, Note: s.Note, Measure: func(ctx context.Context) (trial.Block, error) {
		opts := opts
		opts.Target, opts.Warmup, opts.Duration = s.Target, p.opts.Warmup, p.opts.Block
		for _, other := range []*peer.Server{p.upstream, p.handler} {
			if other == nil {
				continue
			}
			if err := other.Alive(); err != nil {
				return trial.Block{}, err
			}
			opts.Beside = append(opts.Beside, other.Processes()...)
		}
		if s != p.upstream && s != p.handler {
			if err := s.Alive(); err != nil {
				return trial.Block{}, err
			}
			opts.Processes = s.Processes()
		}
		r, err := generator.RunProcess(ctx, p.opts.Self, opts)
		if err != nil {
			return trial.Block{}, err
		}
		return blockOf(&r)
	}}
}

// sameOutputs returns an error unless an answer holds the tensors of another one.
func sameOutputs(want, got []byte) error {
	var a, b pb.ModelInferResponse
	if err := errors.Join(proto.Unmarshal(want, &a), proto.Unmarshal(got, &b)); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(a.GetRawOutputContents()) == 0 || !slices.EqualFunc(a.GetRawOutputContents(), b.GetRawOutputContents(), slices.Equal) {
		return errors.New("it answers other tensors than the upstream")
	}
	return nil
}

// bytesText is a size in words.
func bytesText(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// loadName is a load as -loads has it.
func loadName(l generator.Load) string {
	name := fmt.Sprintf("%dx%d", l.Connections, max(l.Streams, 1))
	if l.Rate > 0 {
		name += fmt.Sprintf("@%g", l.Rate)
	}
	return name
}

// ProxyGoals holds the tables against what is promised.
func ProxyGoals(all []trial.Comparison) []trial.Goal {
	var goals []trial.Goal
	for i := range all {
		c := &all[i]
		add := func(other, what string, most float64, figure func(*trial.Block) float64) {
			r := c.Ratio(peer.Sluice, other, figure)
			if r.N == 0 {
				return
			}
			goals = append(goals, trial.Goal{
				What: fmt.Sprintf("%s: %s", c.Plan.Title, what), Want: fmt.Sprintf("at most %gx %s", most, other),
				Got: r.String() + "x", Met: r.Median <= most,
			})
		}
		cost := func(b *trial.Block) float64 { return b.Cost }
		p50 := func(b *trial.Block) float64 { return float64(b.P50) }
		title := c.Plan.Title
		switch {
		case strings.HasSuffix(title, "with 1 KiB on, 8x8"):
			add(peer.HAProxy, "CPU", 0.55, cost)
			add(peer.Relay, "CPU", 0.2, cost)
		case strings.HasSuffix(title, "with 64 KiB on, 8x8"):
			add(peer.HAProxy, "CPU", 0.6, cost)
		case strings.HasSuffix(title, "with 1 MiB on, 8x8"):
			add(peer.Nginx, "CPU", 1, cost)
		case strings.HasSuffix(title, "with 1 KiB on, 1x1"):
			add(peer.HAProxy, "p50", 1, p50)
		case strings.HasPrefix(title, "HTTP/1.1 in") && strings.HasSuffix(title, " 32 connections"):
			add(peer.Nginx, "CPU", 1, cost)
		}
	}
	return goals
}
