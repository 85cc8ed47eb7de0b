package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/trial"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// PressureOptions says how back-pressure is measured.
type PressureOptions struct {
	// Self starts generators and servers.
	Self machine.Self
	// Clients that misbehave, default 200.
	Clients int
	// Message is the size of what each of them asks with, default 16 MiB.
	Message int
	// InFlight is the gateway's budget of bytes in flight, default 128 MiB.
	InFlight int64
	// Rate of the healthy calls, default 997 a second, which does not stay in step with the kernel's tick.
	Rate float64
	// Block is the measured time of a block, default 3 s; it begins when those who misbehave have settled.
	Block time.Duration
	// Effort is how hard undisturbed blocks are tried for. Default 5 rounds.
	Effort trial.Effort
	// Only, when not empty, is the part of the name of what is measured beside the healthy calls alone.
	Only string
	// Words takes progress, default nowhere.
	Words io.Writer
}

// EnsureDefaults fills in what was left out.
func (o *PressureOptions) EnsureDefaults() {
	if o.Clients == 0 {
		o.Clients = 200
	}
	if o.Message == 0 {
		o.Message = 16 << 20
	}
	if o.InFlight == 0 {
		o.InFlight = 128 << 20
	}
	if o.Rate == 0 {
		o.Rate = 997
	}
	if o.Block == 0 {
		o.Block = 3 * time.Second
	}
	if o.Effort.Rounds == 0 {
		o.Effort.Rounds = 5
	}
	if o.Words == nil {
		o.Words = io.Discard
	}
}

// The scenes.
const (
	calmScene = "healthy calls alone"
	deafScene = "beside clients that read nothing"
	slowScene = "beside clients that read a byte a second"
	heldScene = "beside an upstream that stopped reading"
)

// pressureBase is what the gateway may have resident beyond what it has without any pressure, and beyond its budget of
// bytes in flight: garbage that is not collected yet, goroutines and buffers of the connections.
const pressureBase = 64 << 20

// mostLag is how late the generator may be at the 99th percentile. At a rate that is not in step with the kernel's tick one
// call in a hundred meets it, which takes up to 150 us of a virtual processor, in every scene alike.
const mostLag = 200 * time.Microsecond

// stuckModel is served by the upstream that stops reading.
const stuckModel = "stuck"

// pressureConfig is a gateway in front of two upstreams. The one that stops is not probed, so that it stays in use.
const pressureConfig = `version: 1
listen:
  http:    {address: "127.0.0.1:0"}
  metrics: {address: "127.0.0.1:0"}
  admin:   {address: "127.0.0.1:0"}
pools:
  - {name: healthy, kind: triton, endpoints: [{address: %q}]}
  - {name: held, kind: triton, endpoints: [{address: %q}]}
models:
  - {name: echo,  targets: [{version: "1", pool: healthy}]}
  - {name: stuck, targets: [{version: "1", pool: held, upstream: {model: echo}}]}
limits: {in_flight: %dMiB, body: 64MiB}
telemetry:
  access_log: {sample: 0%%, slow: 0s, errors: none}
`

// Pressure measures what healthy calls and the gateway's memory suffer from peers that take nothing.
func Pressure(ctx context.Context, opts PressureOptions) (trial.Comparison, error) {
	opts.EnsureDefaults()
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return trial.Comparison{}, fmt.Errorf("make a folder for the configuration: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var subjects []trial.Subject
	scenes := map[string]*scene{}
	for _, name := range []string{calmScene, deafScene, slowScene, heldScene} {
		if name != calmScene && !strings.Contains(name, opts.Only) {
			continue
		}
		sc := &scene{name: name, opts: opts, dir: dir}
		scenes[name] = sc
		subjects = append(subjects, trial.Subject{Name: name, Measure: sc.measure})
	}
	c, err := trial.Compare(ctx, trial.Plan{
		Title: fmt.Sprintf("%d peers with %s each that take nothing", opts.Clients, bytesText(opts.Message)),
		Load: fmt.Sprintf("gRPC; healthy calls of 1 KiB at %g/s on 4 connections, blocks of %s; budget of bytes in flight %s",
			opts.Rate, opts.Block, bytesText(int(opts.InFlight))),
		Cost: "p99 of healthy calls, us", Extra: "most MiB resident", Anchor: calmScene,
		Effort: opts.Effort,
		Tell: func(b trial.Block) {
			fmt.Fprintf(opts.Words, "%.0f MiB resident  ", b.Extra)
			tellBlock(opts.Words)(b)
		},
	}, subjects)
	for i := range c.Rows {
		c.Rows[i].Note = scenes[c.Rows[i].Name].note()
	}
	return c, err
}

// scene is one of the things that may go wrong around a gateway.
type scene struct {
	name string
	opts PressureOptions
	dir  string

	inFlight float64 // most MiB in flight of all blocks
	sent     int64   // least clients of a block whose whole message was taken
	refused  int64   // most refusals
}

// note says in words what was seen beside the figures.
func (sc *scene) note() string {
	n := fmt.Sprintf("at most %.0f MiB in flight", sc.inFlight)
	if sc.name != calmScene {
		n += fmt.Sprintf("; %d clients had their whole message taken, up to %d refusals", sc.sent, sc.refused)
	}
	return n
}

// stage is what stands while a block is measured.
type stage struct {
	healthy, held, gateway *peer.Server
	admin                  string
	crowd                  crowd
}

func (st *stage) close() {
	st.crowd.leave()
	for _, s := range []*peer.Server{st.gateway, st.held, st.healthy} {
		if s != nil {
			_ = s.Signal(syscall.SIGCONT)
			s.Close()
		}
	}
}

func (sc *scene) measure(ctx context.Context) (trial.Block, error) {
	st := &stage{}
	defer st.close()
	if err := sc.set(ctx, st); err != nil {
		return trial.Block{}, err
	}
	healthy, err := client.InferMessage(noopModel, "x", tensor.FP32, 1<<10)
	if err != nil {
		return trial.Block{}, err
	}
	call := &client.GRPC{Path: pb.GRPCInferenceService_ModelInfer_FullMethodName, Message: healthy}
	answer, err := client.AskGRPC(ctx, st.gateway.Target, call)
	if err != nil {
		return trial.Block{}, fmt.Errorf("%w; %w", err, st.gateway.Alive())
	}
	if sc.name != calmScene {
		if err := sc.press(ctx, st); err != nil {
			return trial.Block{}, err
		}
	}
	r, err := generator.RunProcess(ctx, sc.opts.Self, generator.Options{
		Target: st.gateway.Target, GRPC: call, Body: answer, Connections: 4, Streams: 16, Rate: sc.opts.Rate,
		Warmup: 500 * time.Millisecond, Duration: sc.opts.Block, Eager: 300 * time.Microsecond,
		Processes: st.gateway.Processes(), Beside: slices.Concat([]int{os.Getpid()}, st.healthy.Processes(), st.crowd.processes()),
	})
	if err != nil {
		return trial.Block{}, err
	}
	b, err := blockOf(&r)
	if err != nil {
		return trial.Block{}, err
	}
	b.Cost = float64(b.P99) / 1e3
	b.Disturbed = b.Lag > mostLag
	return b, sc.observe(ctx, st, &b)
}

// set starts the gateway and what stands behind it.
func (sc *scene) set(ctx context.Context, st *stage) (err error) {
	if st.healthy, err = peer.StartUpstream(ctx, sc.opts.Self, 1); err != nil {
		return err
	}
	if st.held, err = peer.StartUpstream(ctx, sc.opts.Self, 1); err != nil {
		return err
	}
	file := filepath.Join(sc.dir, "sluice.yaml")
	text := fmt.Sprintf(pressureConfig, st.healthy.Target, st.held.Target, sc.opts.InFlight>>20)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("configure Sluice: %w", err)
	}
	st.gateway = &peer.Server{Name: peer.Sluice}
	ports, err := peer.StartSluice(ctx, sc.opts.Self, st.gateway, file, 1)
	st.admin = ports["admin"]
	return err
}

// press sends the clients in and returns when they have settled.
func (sc *scene) press(ctx context.Context, st *stage) error {
	model := noopModel
	if sc.name == heldScene {
		model = stuckModel
		if err := st.held.Signal(syscall.SIGSTOP); err != nil {
			return fmt.Errorf("stop an upstream: %w", err)
		}
	}
	return st.crowd.enter(ctx, sc.opts.Self, st.admin, CrowdOptions{
		Target: st.gateway.Target, Clients: sc.opts.Clients, Model: model, Message: sc.opts.Message, Slow: sc.name == slowScene,
	})
}

// observe adds to a block what the gateway's memory was.
func (sc *scene) observe(ctx context.Context, st *stage, b *trial.Block) error {
	peak, err := machine.ResidentPeak(st.gateway.Processes())
	if err != nil {
		return err
	}
	b.Extra = float64(peak) / (1 << 20)
	now, err := inFlightBytes(ctx, st.admin)
	if err != nil {
		return err
	}
	sc.inFlight = max(sc.inFlight, float64(max(now, st.crowd.most.Load()))/(1<<20))
	if sc.name != calmScene {
		stands, err := st.crowd.tally()
		if err != nil {
			return err
		}
		if sc.sent == 0 || stands.Sent < sc.sent {
			sc.sent = stands.Sent
		}
		sc.refused = max(sc.refused, stands.Refused)
	}
	return st.gateway.Alive()
}

// inFlightBytes asks a gateway for its bytes in flight.
func inFlightBytes(ctx context.Context, admin string) (int64, error) {
	resp, body, err := client.Ask(ctx, admin, client.NewRequest("GET", "/v1/status", admin, nil))
	if err != nil {
		return 0, fmt.Errorf("ask the gateway's status: %w", err)
	}
	if resp.StatusCode != 200 {
		return 0, fmt.Errorf("ask the gateway's status: %s", resp.Status)
	}
	return parseInFlight(body)
}

// parseInFlight finds the bytes in flight in a status, wherever they stand in it.
func parseInFlight(status []byte) (int64, error) {
	dec := json.NewDecoder(bytes.NewReader(status))
	for {
		t, err := dec.Token()
		if err != nil {
			return 0, fmt.Errorf("read the gateway's status: %w", errors.Join(err, errors.New("no in_flight_bytes")))
		}
		if t != "in_flight_bytes" {
			continue
		}
		var n int64
		if err := dec.Decode(&n); err != nil {
			return 0, fmt.Errorf("read the gateway's status: %w", err)
		}
		return n, nil
	}
}

// PressureGoals holds the table against what is promised.
func PressureGoals(c *trial.Comparison, inFlight int64) []trial.Goal {
	calm, _ := c.Row(calmScene)
	most := calm.Extra.Median + float64(inFlight+pressureBase)/(1<<20)
	var goals []trial.Goal
	for _, r := range c.Rows {
		if r.Name == calmScene || r.Ratio.N == 0 {
			continue
		}
		goals = append(goals,
			trial.Goal{What: r.Name + ": p99 of healthy calls", Want: "at most 1.5x without them", Got: r.Ratio.String() + "x", Met: r.Ratio.Median <= 1.5},
			trial.Goal{
				What: r.Name + ": memory", Got: trial.Number(r.Extra.High) + " MiB", Met: r.Extra.High <= most,
				Want: fmt.Sprintf("at most %s MiB: %s without them, the budget and %d MiB", trial.Number(most), trial.Number(calm.Extra.Median), pressureBase>>20),
			})
	}
	return goals
}
