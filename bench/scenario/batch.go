package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/trial"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
)

// BatchOptions says how merging is measured.
type BatchOptions struct {
	// Self starts generators and servers.
	Self machine.Self
	// Digits is the repository of the digits models, default "examples/digits/models". They are left out if ONNX Runtime
	// is missing.
	Digits string
	// Triton is the program of a real Triton, default ".cache/triton/tritonserver", and TritonModels its repository,
	// default "tests/triton/models". Its tables are left out if it is missing.
	Triton, TritonModels string
	// Block is the measured time of a block, default 2.5 s.
	Block time.Duration
	// Effort is how hard undisturbed blocks are tried for.
	Effort trial.Effort
	// Only, when not empty, is the part of the title of what is measured.
	Only string
	// Words takes progress, default nowhere.
	Words io.Writer
}

// EnsureDefaults fills in what was left out.
func (o *BatchOptions) EnsureDefaults() {
	if o.Digits == "" {
		o.Digits = filepath.Join("examples", "digits", "models")
	}
	if o.Triton == "" {
		o.Triton = filepath.Join(".cache", "triton", "tritonserver")
	}
	if o.TritonModels == "" {
		o.TritonModels = filepath.Join("tests", "triton", "models")
	}
	if o.Block == 0 {
		o.Block = 2500 * time.Millisecond
	}
	if o.Words == nil {
		o.Words = io.Discard
	}
}

// The two ways to serve a model, and what the models are called.
const (
	on  = "batching on"
	off = "batching off"
)

// batchScript is one device: 2 ms a run, 20 us a row, one run at a time.
const batchScript = "fixed:2ms,row:20us,slots:1,max_batch:32"

// batchConfig serves a model twice: merged as by default, and one by one. digits is a repository.
func batchConfig(model, digits string) string {
	const head = `version: 1
listen:
  http:    {address: "127.0.0.1:0"}
  metrics: {address: "127.0.0.1:0"}
  admin:   {address: "127.0.0.1:0"}
telemetry:
  access_log: {sample: 0%, slow: 0s, errors: none}
`
	if model == "digits" {
		return head + fmt.Sprintf(`pools:
  - {name: digits, kind: onnx, repository: %q}
models:
  - {name: digits-on,  targets: [{version: "2", pool: digits, upstream: {model: digits}}]}
  - {name: digits-off, targets: [{version: "2", pool: digits, upstream: {model: digits}}], batching: {max_batch_size: 1}}
`, digits)
	}
	return head + fmt.Sprintf(`pools:
  - {name: on,  kind: puppet, script: "%[1]s,model:row"}
  - {name: off, kind: puppet, script: "%[1]s,model:row"}
models:
  - {name: row-on,  targets: [{version: "1", pool: on,  upstream: {model: row}}]}
  - {name: row-off, targets: [{version: "1", pool: off, upstream: {model: row}}], batching: {max_batch_size: 1}}
`, batchScript)
}

// batchCase is one table of the report.
type batchCase struct {
	title   string
	model   string // without -on or -off
	clients int
	http    bool
	latency bool // compare the median latency, not the time per request
}

func batchCases() []batchCase {
	return []batchCase{
		{"One device of 2 ms + 20 us a row, 64 clients", "row", 64, false, false},
		{"One device of 2 ms + 20 us a row, 1 client", "row", 1, false, true},
		{"One device of 2 ms + 20 us a row, 64 clients over HTTP", "row", 64, true, false},
		{"The digits model, 64 clients", "digits", 64, false, false},
		{"The digits model, 1 client", "digits", 1, false, true},
	}
}

// Batch measures what merging gains and costs, through the router, the lanes and the pools of a whole gateway.
func Batch(ctx context.Context, opts BatchOptions) ([]trial.Comparison, []trial.Goal, error) {
	opts.EnsureDefaults()
	opts.Words = &lines{w: opts.Words} // the gateway's log goes there too, from a goroutine of its own
	digits, err := filepath.Abs(opts.Digits)
	if err != nil {
		return nil, nil, fmt.Errorf("find the digits models: %w", err)
	}
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for the configuration: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var all []trial.Comparison
	for _, bc := range batchCases() {
		if !strings.Contains(bc.title, opts.Only) {
			continue
		}
		file := filepath.Join(dir, "sluice.yaml")
		if err := os.WriteFile(file, []byte(batchConfig(bc.model, digits)), 0o644); err != nil {
			return nil, nil, fmt.Errorf("write the configuration: %w", err)
		}
		c, err := bc.measure(ctx, opts, file)
		if errors.Is(err, peer.ErrNotInstalled) {
			fmt.Fprintf(opts.Words, "left out: %s: %v\n", bc.title, err)
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", bc.title, err)
		}
		all = append(all, c)
	}
	behind, err := batchTriton(ctx, opts, dir)
	if errors.Is(err, peer.ErrNotInstalled) {
		fmt.Fprintf(opts.Words, "left out: %v\n", err)
	} else if err != nil {
		return nil, nil, err
	}
	goals := batchGoals(all)
	for i := range behind {
		goals = append(goals, tritonGoals(&behind[i])...)
	}
	return append(all, behind...), goals, nil
}

func (bc batchCase) measure(ctx context.Context, opts BatchOptions, file string) (c trial.Comparison, err error) {
	plan := trial.Plan{
		Title: bc.title, Load: fmt.Sprintf("Closed loop, single rows, blocks of %s", opts.Block),
		Cost: "time per request, us", Extra: "rows a batch", Anchor: off,
		Effort: opts.Effort, Tell: tellBlock(opts.Words),
	}
	if bc.latency {
		plan.Cost = "median latency, us"
	}
	var subjects []trial.Subject
	if bc.http {
		s := &peer.Server{Name: peer.Sluice, Version: peer.OwnVersion()}
		ports, err := peer.StartSluice(ctx, opts.Self, s, file, 1)
		if err != nil {
			return c, err
		}
		defer s.Close()
		subjects = bc.subjects(ports["metrics"], func(ctx context.Context, model string) (generator.Report, error) {
			return generator.RunProcess(ctx, opts.Self, generator.Options{
				Target: s.Target, Request: client.InferRequest(model, 16), Connections: bc.clients, Duration: opts.Block, Processes: s.Processes(),
			})
		})
		return trial.Compare(ctx, plan, subjects)
	}
	l, err := peer.StartLocal(ctx, config.Sources{File: file}, opts.Words, nil)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for _, v := range l.Front().Versions() {
		if v.Name == bc.model+"-on" && v.State != infer.Ready {
			return c, fmt.Errorf("%w: %s", peer.ErrNotInstalled, v.Reason)
		}
	}
	subjects = bc.subjects(l.Addresses()["metrics"], func(ctx context.Context, model string) (generator.Report, error) {
		return generator.Call(ctx, generator.CallOptions{
			Front: l.Front(), Memory: l.Memory(), Model: model, Width: 16, Clients: bc.clients,
			Echo: bc.model == "row", Duration: opts.Block,
		})
	})
	return trial.Compare(ctx, plan, subjects)
}

// subjects are the two ways to serve the case's model.
func (bc batchCase) subjects(metrics string, run func(ctx context.Context, model string) (generator.Report, error)) []trial.Subject {
	var subjects []trial.Subject
	for _, way := range []string{on, off} {
		model := bc.model + "-" + strings.TrimPrefix(way, "batching ")
		subjects = append(subjects, trial.Subject{Name: way, Measure: func(ctx context.Context) (trial.Block, error) {
			before, err := scrapeBatches(ctx, metrics, model)
			if err != nil {
				return trial.Block{}, err
			}
			r, err := run(ctx, model)
			if err != nil {
				return trial.Block{}, err
			}
			after, err := scrapeBatches(ctx, metrics, model)
			if err != nil {
				return trial.Block{}, err
			}
			return bc.block(&r, after.since(before))
		}})
	}
	return subjects
}

func (bc batchCase) block(r *generator.Report, batches batchTotals) (trial.Block, error) {
	if n := r.Errors.Total(); n > 0 {
		return trial.Block{}, fmt.Errorf("%d of %d requests got no right answer: %s", n, r.Completed, r.Errors.First)
	}
	if r.Completed == 0 || batches.count == 0 {
		return trial.Block{}, errors.New("no request was answered")
	}
	b := trial.Block{
		Cost: 1e6 / r.PerSecond(), PerSec: r.PerSecond(), P50: r.Latency.Quantile(0.5), P99: r.Latency.Quantile(0.99), P999: r.Latency.Quantile(0.999),
		Foreign: r.CPU.Foreign(), Extra: batches.rows / batches.count,
	}
	if bc.latency {
		b.Cost = b.P50.Seconds() * 1e6
	}
	return b, nil
}

// batchTotals is what the gateway's own metrics say of a model's batches.
type batchTotals struct{ rows, count float64 }

func (t batchTotals) since(before batchTotals) batchTotals {
	return batchTotals{t.rows - before.rows, t.count - before.count}
}

func scrapeBatches(ctx context.Context, target, model string) (batchTotals, error) {
	resp, body, err := client.Ask(ctx, target, client.NewRequest("GET", "/metrics", target, nil))
	if err != nil {
		return batchTotals{}, fmt.Errorf("read the metrics: %w", err)
	}
	if resp.StatusCode != 200 {
		return batchTotals{}, fmt.Errorf("read the metrics: %s", resp.Status)
	}
	return parseBatches(string(body), model)
}

// parseBatches sums the histogram of batch rows over the model's versions.
func parseBatches(text, model string) (batchTotals, error) {
	var t batchTotals
	label := fmt.Sprintf(`model=%q`, model)
	for line := range strings.Lines(text) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), "} ")
		if !ok || !strings.Contains(series, label) {
			continue
		}
		name, _, _ := strings.Cut(series, "{")
		var to *float64
		switch name {
		case "sluice_batch_rows_sum":
			to = &t.rows
		case "sluice_batch_rows_count":
			to = &t.count
		default:
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return t, fmt.Errorf("read the metrics: %w", err)
		}
		*to += v
	}
	return t, nil
}

// batchGoals holds the tables against what is promised.
func batchGoals(all []trial.Comparison) []trial.Goal {
	var goals []trial.Goal
	add := func(met bool, what, want, got string) {
		goals = append(goals, trial.Goal{What: what, Want: want, Got: got, Met: met})
	}
	for i := range all {
		c := &all[i]
		with, _ := c.Row(on)
		without, _ := c.Row(off)
		digits := strings.Contains(c.Plan.Title, "digits")
		one := strings.Contains(c.Plan.Title, "1 client")
		switch {
		case with.Ratio.N == 0:
			continue
		case digits: // as far as a bucket of the histogram can tell
			add(with.Ratio.Low <= 1+generator.BucketWidth, c.Plan.Title, "no slower than batching off", trial.Number(with.Ratio.Median)+" of its "+c.Plan.Cost)
		case one:
			more := with.P50.Median - without.P50.Median
			add(more <= 60, c.Plan.Title, "p50 within 60 us of batching off", fmt.Sprintf("%+.0f us", more))
		default:
			add(with.Extra.Median >= 28, c.Plan.Title, "at least 28 rows a batch", trial.Number(with.Extra.Median))
			add(1/with.Ratio.Median >= 20, c.Plan.Title, "at least 20x batching off", trial.Number(1/with.Ratio.Median)+"x")
		}
	}
	return goals
}

// lines lets several goroutines write to one writer.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
