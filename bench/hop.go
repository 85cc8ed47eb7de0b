package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// HopOptions says how the terminating cost is measured.
type HopOptions struct {
	// Self starts generators and servers.
	Self Self
	// Parts is where unpacked nginx and HAProxy lie, default ".cache/proxies".
	Parts string
	// Load is how requests are sent, default 32 connections in a closed loop.
	Load Load
	// Bytes of tensor data in a request, default 1024.
	Bytes int
	// Block is the measured time of a block, default 2.5 s.
	Block time.Duration
	// Effort is how hard undisturbed blocks are tried for.
	Effort Effort
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

// InferRequest is a binary v2 request over HTTP/1.1: one FP32 tensor x of one row, all of it binary, and binary output
// asked for. The values are small and exact, so that any model can take them.
func InferRequest(model string, width int) []byte {
	head := fmt.Appendf(nil, `{"inputs":[{"name":"x","shape":[1,%d],"datatype":"FP32","parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`,
		width, 4*width)
	return NewRequest("POST", "/v2/models/"+model+"/infer", "bench", append(head, rowOf(4*width)...),
		"Content-Type", "application/octet-stream", "Inference-Header-Content-Length", strconv.Itoa(len(head)))
}

// rowOf is size bytes that are small whole numbers as FP32.
func rowOf(size int) []byte {
	row := make([]byte, 0, size+4)
	for i := 0; len(row) < size; i++ {
		row = binary.LittleEndian.AppendUint32(row, math.Float32bits(float32(i%256)))
	}
	return row[:size]
}

// Hop measures what it costs to terminate a request: every subject reads the same body and answers by itself.
func Hop(ctx context.Context, opts HopOptions) (Comparison, error) {
	opts.EnsureDefaults()
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return Comparison{}, fmt.Errorf("make a folder for the servers: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	request := InferRequest(noopModel, opts.Bytes/4)
	servers, err := startHop(ctx, opts, dir, request)
	defer func() {
		for _, s := range servers {
			s.Close()
		}
	}()
	if err != nil {
		return Comparison{}, err
	}
	var subjects []Subject
	for _, s := range servers {
		subjects = append(subjects, processSubject(opts.Self, s, Options{
			Request:     request,
			Connections: opts.Load.Connections,
			Rate:        opts.Load.Rate,
			Duration:    opts.Block,
			Body:        s.Body,
		}))
	}
	return Compare(ctx, Plan{
		Title:  fmt.Sprintf("Terminating a binary v2 request with %d bytes of FP32", opts.Bytes),
		Load:   fmt.Sprintf("HTTP/1.1, %s, blocks of %s", opts.Load, opts.Block),
		Anchor: bareName,
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

const (
	bareName    = "bare fasthttp"
	sluiceName  = "Sluice"
	nginxName   = "nginx"
	haproxyName = "HAProxy"
	envoyName   = "Envoy"
)

// startHop starts the servers that are wanted and installed, and checks that each answers. It returns those it started
// even when it fails. Sluice comes first: the others answer what it answers.
func startHop(ctx context.Context, opts HopOptions, dir string, request []byte) ([]*Server, error) {
	var answer Answer
	var servers []*Server
	for _, st := range hopStarters(opts.Self, opts.Parts) {
		if st.name != sluiceName && st.name != bareName && len(opts.Only) > 0 && !slices.Contains(opts.Only, st.name) {
			continue
		}
		s, err := st.run(ctx, dir, answer)
		if errors.Is(err, ErrNotInstalled) {
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
		if st.name == sluiceName {
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
	start func(ctx context.Context, dir string, answer Answer) (*Server, error)
}

func (st starter) run(ctx context.Context, dir string, answer Answer) (*Server, error) {
	sub, err := os.MkdirTemp(dir, "")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", st.name, err)
	}
	return st.start(ctx, sub, answer)
}

// hopStarters are the servers that can terminate a request: Sluice first.
func hopStarters(self Self, parts string) []starter {
	return []starter{
		{sluiceName, func(ctx context.Context, dir string, _ Answer) (*Server, error) {
			return startHopSluice(ctx, self, dir)
		}},
		{bareName, func(ctx context.Context, _ string, a Answer) (*Server, error) { return StartBare(ctx, self, a) }},
		{edgeName, func(ctx context.Context, _ string, a Answer) (*Server, error) { return StartEdge(ctx, self, a) }},
		{nginxName, func(ctx context.Context, dir string, a Answer) (*Server, error) {
			return StartNginx(ctx, parts, dir, a)
		}},
		{haproxyName, func(ctx context.Context, dir string, a Answer) (*Server, error) {
			return StartHAProxy(ctx, parts, dir, a)
		}},
	}
}

func startHopSluice(ctx context.Context, self Self, dir string) (*Server, error) {
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, []byte(hopConfig), 0o644); err != nil {
		return nil, fmt.Errorf("configure Sluice: %w", err)
	}
	s := &Server{
		Name: sluiceName, Version: ownVersion(),
		Note: "GOMAXPROCS=1; the whole gateway: decoded, routed, run by a Runner that answers its input at once, encoded",
	}
	_, err := StartSluice(ctx, self, s, file, 1)
	return s, err
}

// askAnswer sees what a server answers.
func askAnswer(ctx context.Context, s *Server, request []byte) (Answer, error) {
	resp, body, err := Ask(ctx, s.Target, request)
	if err != nil {
		s.Close()
		return Answer{}, fmt.Errorf("%w; %w", err, s.Alive())
	}
	if resp.StatusCode != 200 {
		return Answer{}, fmt.Errorf("%s answered %s: %.200q", s.Name, resp.Status, body)
	}
	n, err := strconv.Atoi(resp.Header.Get("Inference-Header-Content-Length"))
	if err != nil {
		return Answer{}, fmt.Errorf("%s answered without a header length: %w", s.Name, err)
	}
	return Answer{Body: body, HeaderLength: n}, nil
}

// hopGoals holds the tables against what is promised.
func hopGoals(all []Comparison) []Goal {
	var goals []Goal
	for i := range all {
		if r, ok := all[i].Row(sluiceName); ok && r.Ratio.N > 0 {
			goals = append(goals, Goal{
				What: "CPU per request, " + all[i].Plan.Load, Want: "at most 1.5x the bare handler",
				Got: r.Ratio.text() + "x", Met: r.Ratio.Median <= 1.5,
			})
		}
	}
	return goals
}

func tellBlock(w io.Writer) func(Block) {
	return func(b Block) {
		mark := ""
		if b.Lag > 0 {
			mark = fmt.Sprintf("  generator's lag %s", b.Lag.Round(time.Microsecond))
		}
		if b.Disturbed {
			mark += "  disturbed, left out"
		}
		fmt.Fprintf(w, "round %2d  %-28s %8.2f us  %9.0f/s  p50 %-9s p99 %-9s other work %4.1f%%%s\n",
			b.Round, b.Subject, b.Cost, b.PerSec, b.P50.Round(time.Microsecond), b.P99.Round(time.Microsecond), 100*b.Foreign, mark)
	}
}
