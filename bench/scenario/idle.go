package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/trial"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// IdleOptions says how the memory of idle connections is measured.
type IdleOptions struct {
	// Self starts servers.
	Self machine.Self
	// Parts is where unpacked nginx and HAProxy lie, default ".cache/proxies".
	Parts string
	// Connections that stay open, default 10,000: the most that a gateway takes by default.
	Connections int
	// Rounds, default 3; each starts every server anew.
	Rounds int
	// Only, when not empty, names the servers to measure.
	Only []string
	// Rest is how long the connections are left alone before memory is looked at, default 2 s.
	Rest time.Duration
	// Words takes progress, default nowhere.
	Words io.Writer
}

// EnsureDefaults fills in what was left out.
func (o *IdleOptions) EnsureDefaults() {
	if o.Rest == 0 {
		o.Rest = 2 * time.Second
	}
	if o.Parts == "" {
		o.Parts = filepath.Join(".cache", "proxies")
	}
	if o.Connections == 0 {
		o.Connections = 10_000
	}
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.Words == nil {
		o.Words = io.Discard
	}
}

// wanted tells whether a server is to be measured.
func (o *IdleOptions) wanted(name string) bool {
	return len(o.Only) == 0 || slices.Contains(o.Only, name)
}

// Idle measures what an open connection that was used once keeps of a server's memory: over HTTP/1.1, then over HTTP/2.
func Idle(ctx context.Context, opts IdleOptions) ([]trial.Comparison, error) {
	opts.EnsureDefaults()
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the servers: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	plain, err := idlePlain(ctx, opts, dir)
	if err != nil {
		return nil, err
	}
	calls, err := idleCalls(ctx, opts, dir)
	if err != nil {
		return nil, err
	}
	return []trial.Comparison{plain, calls}, nil
}

// idlePlain measures servers that answer HTTP/1.1 by themselves.
func idlePlain(ctx context.Context, opts IdleOptions, dir string) (trial.Comparison, error) {
	request := client.InferRequest(noopModel, 256)
	answer := peer.Answer{Body: make([]byte, 1024), HeaderLength: 100}
	var subjects []trial.Subject
	for _, st := range hopStarters(opts.Self, opts.Parts) {
		if !opts.wanted(st.name) {
			continue
		}
		subject, err := idleSubject(ctx, opts, func() (*peer.Server, error) { return st.run(ctx, dir, answer) },
			func(ctx context.Context, s *peer.Server) error {
				_, err := askAnswer(ctx, s, request)
				return err
			},
			func(*peer.Server) client.Talker {
				return client.NewPlain(&client.Options{Request: request, Status: 200})
			})
		if errors.Is(err, peer.ErrNotInstalled) {
			fmt.Fprintf(opts.Words, "left out: %v\n", err)
			continue
		}
		if err != nil {
			return trial.Comparison{}, err
		}
		subjects = append(subjects, subject)
	}
	return compareIdle(ctx, opts, "HTTP/1.1, one request a connection", peer.Bare, subjects)
}

// idleCalls measures proxies of gRPC.
func idleCalls(ctx context.Context, opts IdleOptions, dir string) (trial.Comparison, error) {
	p := &passing{opts: ProxyOptions{Self: opts.Self, Parts: opts.Parts, Words: opts.Words}, dir: dir}
	p.opts.EnsureDefaults()
	defer p.close()
	var err error
	if p.upstream, err = peer.StartUpstream(ctx, opts.Self, 1); err != nil {
		return trial.Comparison{}, err
	}
	message, err := client.InferMessage(noopModel, "x", tensor.FP32, 1<<10)
	if err != nil {
		return trial.Comparison{}, err
	}
	call := &client.GRPC{Path: pb.GRPCInferenceService_ModelInfer_FullMethodName, Message: message}
	data := client.Prefixed(message)
	var subjects []trial.Subject
	for _, st := range p.starters(ctx) {
		if !opts.wanted(st.name) {
			continue
		}
		subject, err := idleSubject(ctx, opts,
			func() (*peer.Server, error) {
				h, err := p.hop(p.upstream)
				if err != nil {
					return nil, err
				}
				return st.start(h)
			},
			func(ctx context.Context, s *peer.Server) error {
				_, err := client.AskGRPC(ctx, s.Target, call)
				return err
			},
			func(s *peer.Server) client.Talker {
				return client.NewRPC(&client.Options{Target: s.Target, GRPC: call, Streams: 1}, data)
			})
		if errors.Is(err, peer.ErrNotInstalled) {
			fmt.Fprintf(opts.Words, "left out: %v\n", err)
			continue
		}
		if err != nil {
			return trial.Comparison{}, err
		}
		subjects = append(subjects, subject)
	}
	return compareIdle(ctx, opts, "gRPC over HTTP/2, one call a connection", peer.Relay, subjects)
}

// idleSubject measures one server. It is started once before, to see what it is.
func idleSubject(ctx context.Context, opts IdleOptions, start func() (*peer.Server, error), ask func(context.Context, *peer.Server) error, talk func(*peer.Server) client.Talker) (trial.Subject, error) {
	s, err := start()
	if err != nil {
		return trial.Subject{}, err
	}
	s.Close()
	return trial.Subject{Name: s.Name, Version: s.Version, Note: s.Note, Measure: func(ctx context.Context) (trial.Block, error) {
		s, err := start()
		if err != nil {
			return trial.Block{}, err
		}
		defer s.Close()
		if err := ask(ctx, s); err != nil {
			return trial.Block{}, fmt.Errorf("%w; %w", err, s.Alive())
		}
		perConn, total, err := idleMemory(ctx, s, talk(s), opts.Connections, opts.Rest)
		fmt.Fprintf(opts.Words, "%-20s %.1f KiB a connection, %.0f MiB in all\n", s.Name, perConn/(1<<10), total/(1<<20))
		return trial.Block{Cost: perConn / (1 << 10), Extra: total / (1 << 20)}, err
	}}, nil
}

func compareIdle(ctx context.Context, opts IdleOptions, load, anchor string, subjects []trial.Subject) (trial.Comparison, error) {
	return trial.Compare(ctx, trial.Plan{
		Title: fmt.Sprintf("%d idle connections after a request with 1 KiB of FP32, %s", opts.Connections, strings.Split(load, ",")[0]),
		Load:  load,
		Cost:  "KiB a connection", Extra: "MiB resident in all", Anchor: anchorOf(subjects, anchor),
		Effort: trial.Effort{Rounds: opts.Rounds, MaxRounds: opts.Rounds},
	}, subjects)
}

// idleMemory opens the connections one by one, uses each once, lets them rest, and returns what they added to the server's
// memory, each and with what the server had before.
func idleMemory(ctx context.Context, s *peer.Server, t client.Talker, n int, rest time.Duration) (each, total float64, err error) {
	before, err := machine.Resident(s.Processes())
	if err != nil {
		return 0, 0, err
	}
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a reset: ten thousand waiting ports would disturb the next round
			}
			_ = c.Close()
		}
	}()
	buf := make([]byte, 64<<10)
	for len(conns) < n {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		c, err := net.DialTimeout("tcp", s.Target, 5*time.Second)
		if err != nil {
			return 0, 0, fmt.Errorf("connection %d: %w", len(conns)+1, err)
		}
		conns = append(conns, c)
		if err := exchangeOn(c, t, buf); err != nil {
			return 0, 0, fmt.Errorf("connection %d of %s: %w", len(conns), s.Name, err)
		}
	}
	if err := pause(ctx, rest); err != nil {
		return 0, 0, err
	}
	after, err := machine.Resident(s.Processes())
	if err != nil {
		return 0, 0, err
	}
	return float64(after-before) / float64(n), float64(after), nil
}

// exchangeOn begins a connection, sends the request and reads its answer, which must be right and leave the connection
// open.
func exchangeOn(c net.Conn, t client.Talker, buf []byte) error {
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	t.Reset()
	t.Ask(0)
	for {
		for p := t.Pending(); len(p) > 0; p = t.Pending() {
			n, err := c.Write(p)
			if err != nil {
				return err
			}
			t.Wrote(n)
		}
		n, err := c.Read(buf)
		if err != nil {
			return err
		}
		for p := buf[:n]; len(p) > 0; {
			var e client.Event
			if p, e, err = t.Read(p); err != nil {
				return err
			}
			if e.Lane >= 0 {
				if e.Wrong == client.Right && e.Leaving {
					e.Cause = errors.New("the server closes the connection")
				}
				return e.Cause
			}
		}
	}
}

// IdleGoals holds the tables against what is promised.
func IdleGoals(all []trial.Comparison) []trial.Goal {
	var goals []trial.Goal
	for i := range all {
		r, ok := all[i].Row(peer.Sluice)
		if !ok || r.Cost.N == 0 {
			continue
		}
		const most = 10.0
		goals = append(goals, trial.Goal{
			What: all[i].Plan.Title, Want: fmt.Sprintf("under %g KiB each", most), Got: trial.Number(r.Cost.Median) + " KiB", Met: r.Cost.Median < most,
		})
	}
	return goals
}
