package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/trial"
)

// HopOptions says how the terminating cost is measured.
type HopOptions struct {
	// Self starts generators and servers.
	Self machine.Self
	// Parts is where unpacked nginx and HAProxy lie, default ".cache/proxies".
	Parts string
	// Load is how requests are sent, default 32 connections in a closed loop.
	Load generator.Load
	// Bytes of tensor data in a request, default 1024.
	Bytes int
	// Block is the measured time of a block, default 2.5 s.
	Block time.Duration
	// Effort is how hard undisturbed blocks are tried for.
	Effort trial.Effort
	// Only, when not empty, names the subjects to measure.
	Only []string
	// Words takes progress, default nowhere.
	Words io.Writer
}

// EnsureDefaults fills in what was left out.
func (o *HopOptions) EnsureDefaults() {
	if o.Parts == "" {
		o.Parts = filepath.Join(".cache", "proxies")
	}
	if o.Load.Connections == 0 {
		o.Load.Connections = 32
	}
	if o.Bytes == 0 {
		o.Bytes = 1024
	}
	if o.Block == 0 {
		o.Block = 2500 * time.Millisecond
	}
	if o.Words == nil {
		o.Words = io.Discard
	}
}

// noopModel is the model of the puppet that a hop is measured with: it answers its input at once.
const noopModel = "echo"

// Hop measures what it costs to terminate a request: every subject reads the same body and answers by itself.
func Hop(ctx context.Context, opts HopOptions) (trial.Comparison, error) {
	opts.EnsureDefaults()
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return trial.Comparison{}, fmt.Errorf("make a folder for the servers: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	request := client.InferRequest(noopModel, opts.Bytes/4)
	servers, err := startHop(ctx, opts, dir, request)
	defer func() {
		for _, s := range servers {
			s.Close()
		}
	}()
	if err != nil {
		return trial.Comparison{}, err
	}
	var subjects []trial.Subject
	for _, s := range servers {
		subjects = append(subjects, processSubject(opts.Self, s, generator.Options{
			Request:     request,
			Connections: opts.Load.Connections,
			Rate:        opts.Load.Rate,
			Duration:    opts.Block,
			Body:        s.Body,
		}))
	}
	return trial.Compare(ctx, trial.Plan{
		Title:  fmt.Sprintf("Terminating a binary v2 request with %d bytes of FP32", opts.Bytes),
		Load:   fmt.Sprintf("HTTP/1.1, %s, blocks of %s", opts.Load, opts.Block),
		Anchor: peer.Bare,
		Effort: opts.Effort,
		Tell:   tellBlock(opts.Words),
	}, subjects)
}

// hopConfig is a gateway that answers at once: no logs of requests, as everywhere else here.
const hopConfig = `version: 1
listen:
  http:    {address: "127.0.0.1:0"}
  metrics: {address: "127.0.0.1:0"}
  admin:   {address: "127.0.0.1:0"}
pools:
  - {name: noop, kind: puppet, script: "slots:64,model:` + noopModel + `", discover: true}
telemetry:
  access_log: {sample: 0%, slow: 0s, errors: none}
`

// startHop starts the servers that are wanted and installed, and checks that each answers. It returns those it started
// even when it fails. Sluice comes first: the others answer what it answers.
func startHop(ctx context.Context, opts HopOptions, dir string, request []byte) ([]*peer.Server, error) {
	var answer peer.Answer
	var servers []*peer.Server
	for _, st := range hopStarters(opts.Self, opts.Parts) {
		if st.name != peer.Sluice && st.name != peer.Bare && len(opts.Only) > 0 && !slices.Contains(opts.Only, st.name) {
			continue
		}
		s, err := st.run(ctx, dir, answer)
		if errors.Is(err, peer.ErrNotInstalled) {
			fmt.Fprintf(opts.Words, "left out: %v\n", err)
			continue
		}
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
		got, err := askAnswer(ctx, s, request)
		if err != nil {
			return servers, err
		}
		s.Body = got.Body
		if st.name == peer.Sluice {
			answer = got
		} else if len(got.Body) != len(answer.Body) || got.HeaderLength != answer.HeaderLength {
			return servers, fmt.Errorf("%s answered %d bytes, not the %d of Sluice", s.Name, len(got.Body), len(answer.Body))
		}
	}
	return servers, nil
}

// starter starts one of the servers that are compared; dir is a folder of its own.
type starter struct {
	name  string
	start func(ctx context.Context, dir string, answer peer.Answer) (*peer.Server, error)
}

func (st starter) run(ctx context.Context, dir string, answer peer.Answer) (*peer.Server, error) {
	sub, err := os.MkdirTemp(dir, "")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", st.name, err)
	}
	return st.start(ctx, sub, answer)
}

// hopStarters are the servers that can terminate a request: Sluice first.
func hopStarters(self machine.Self, parts string) []starter {
	return []starter{
		{peer.Sluice, func(ctx context.Context, dir string, _ peer.Answer) (*peer.Server, error) {
			return startHopSluice(ctx, self, dir)
		}},
		{peer.Bare, func(ctx context.Context, _ string, a peer.Answer) (*peer.Server, error) {
			return peer.StartBare(ctx, self, a)
		}},
		{peer.Edge, func(ctx context.Context, _ string, a peer.Answer) (*peer.Server, error) {
			return peer.StartEdge(ctx, self, a)
		}},
		{peer.Nginx, func(ctx context.Context, dir string, a peer.Answer) (*peer.Server, error) {
			return peer.StartNginx(ctx, parts, dir, a)
		}},
		{peer.HAProxy, func(ctx context.Context, dir string, a peer.Answer) (*peer.Server, error) {
			return peer.StartHAProxy(ctx, parts, dir, a)
		}},
	}
}

func startHopSluice(ctx context.Context, self machine.Self, dir string) (*peer.Server, error) {
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, []byte(hopConfig), 0o644); err != nil {
		return nil, fmt.Errorf("configure Sluice: %w", err)
	}
	s := &peer.Server{
		Name: peer.Sluice, Version: peer.OwnVersion(),
		Note: "GOMAXPROCS=1; the whole gateway: decoded, routed, run by a Runner that answers its input at once, encoded",
	}
	_, err := peer.StartSluice(ctx, self, s, file, 1)
	return s, err
}

// askAnswer sees what a server answers.
func askAnswer(ctx context.Context, s *peer.Server, request []byte) (peer.Answer, error) {
	resp, body, err := client.Ask(ctx, s.Target, request)
	if err != nil {
		s.Close()
		return peer.Answer{}, fmt.Errorf("%w; %w", err, s.Alive())
	}
	if resp.StatusCode != 200 {
		return peer.Answer{}, fmt.Errorf("%s answered %s: %.200q", s.Name, resp.Status, body)
	}
	n, err := strconv.Atoi(resp.Header.Get("Inference-Header-Content-Length"))
	if err != nil {
		return peer.Answer{}, fmt.Errorf("%s answered without a header length: %w", s.Name, err)
	}
	return peer.Answer{Body: body, HeaderLength: n}, nil
}

// HopGoals holds the tables against what is promised.
func HopGoals(all []trial.Comparison) []trial.Goal {
	var goals []trial.Goal
	for i := range all {
		if r, ok := all[i].Row(peer.Sluice); ok && r.Ratio.N > 0 {
			goals = append(goals, trial.Goal{
				What: "CPU per request, " + all[i].Plan.Load, Want: "at most 1.5x the bare handler",
				Got: r.Ratio.String() + "x", Met: r.Ratio.Median <= 1.5,
			})
		}
	}
	return goals
}
