package generator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// CallOptions says how callers in this process use a front.
type CallOptions struct {
	Front  infer.Front
	Memory *infer.Memory
	// Model is asked by name. It takes one FP32 tensor with a batch axis; each request is one row.
	Model string
	// Width is used for axes that the model leaves free, default 1.
	Width int64
	// Clients call in a closed loop, each from a goroutine of its own; default 1.
	Clients int
	// Echo says that the model answers its input: each answer is then compared with what was asked.
	Echo bool
	// Warmup and Duration as in Options.
	Warmup, Duration time.Duration
}

// EnsureDefaults fills in what was left out.
func (o *CallOptions) EnsureDefaults() {
	if o.Width == 0 {
		o.Width = 1
	}
	if o.Clients == 0 {
		o.Clients = 1
	}
	if o.Warmup == 0 {
		o.Warmup = 300 * time.Millisecond
	}
	if o.Duration == 0 {
		o.Duration = 2 * time.Second
	}
}

// Phases of a run of callers.
const (
	warming int32 = iota
	measuring
	over
)

// callers is what the goroutines of one run share.
type callers struct {
	opts  CallOptions
	phase atomic.Int32
	fail  sync.Once
	err   error
	stop  chan struct{} // closed by the caller that failed
}

// Call runs closed-loop callers against a front in this process: what lanes, pools and backends cost without an edge.
// It fails at the first call that gets no right answer.
func Call(ctx context.Context, opts CallOptions) (Report, error) {
	opts.EnsureDefaults()
	cs := &callers{opts: opts, stop: make(chan struct{})}
	all := make([]caller, opts.Clients)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = caller{shared: cs, tag: uint32(i) << 20}
		wg.Go(all[i].loop)
	}
	usage, err := cs.measure(ctx)
	cs.phase.Store(over)
	wg.Wait()
	if err = errors.Join(err, cs.err); err != nil {
		return Report{}, err
	}
	r := Report{CPU: usage, Elapsed: usage.Elapsed}
	for i := range all {
		r.Latency.Merge(&all[i].latency)
	}
	r.Completed = r.Latency.Count()
	r.Service = r.Latency
	return r, nil
}

// measure leads the callers through their phases and returns what the process used in the middle one.
func (cs *callers) measure(ctx context.Context) (machine.Usage, error) {
	if err := cs.pause(ctx, cs.opts.Warmup); err != nil {
		return machine.Usage{}, err
	}
	first, err := machine.Read([]int{os.Getpid()}, nil)
	if err != nil {
		return machine.Usage{}, err
	}
	cs.phase.Store(measuring)
	if err := cs.pause(ctx, cs.opts.Duration); err != nil {
		return machine.Usage{}, err
	}
	cs.phase.Store(over)
	last, err := machine.Read([]int{os.Getpid()}, nil)
	if err != nil {
		return machine.Usage{}, err
	}
	usage := last.Since(first)
	usage.Generator = 0 // callers and callees are one process
	return usage, nil
}

func (cs *callers) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-cs.stop:
		return nil // the caller's error says why
	case <-ctx.Done():
		return ctx.Err()
	}
}

// caller is one client: a goroutine that asks again when it was answered.
type caller struct {
	shared  *callers
	tag     uint32
	latency Histogram
	row     []byte
}

func (c *caller) loop() {
	for c.shared.phase.Load() != over {
		begin := time.Now()
		if err := c.ask(); err != nil {
			c.shared.fail.Do(func() {
				c.shared.err = err
				close(c.shared.stop)
			})
			return
		}
		// What ends in the measured time counts, wherever it began: as much as begins in it ends after it.
		if c.shared.phase.Load() == measuring {
			c.latency.Record(time.Since(begin))
		}
	}
}

// awake wakes the goroutine that waits for a call, as the edge of HTTP/1.1 does.
type awake struct{}

func (awake) Done(c *infer.Call, _ *infer.Burst) { c.Wake() }

func (c *caller) ask() error {
	o := &c.shared.opts
	q := infer.Query{Name: []byte(o.Model), Spread: c.tag}
	route, err := o.Front.Lookup(&q)
	if err != nil {
		return fmt.Errorf("look up %s: %w", o.Model, err)
	}
	r := o.Memory.NewRequest()
	r.Bind(route, &q)
	c.fill(r)
	call := o.Memory.NewCall(r)
	defer call.Release()
	r.Release()
	call.Then(infer.RoleEdge, awake{})
	var burst infer.Burst
	burst.Begin()
	call.Stamps.Received, call.Stamps.Decoded = burst.Now, burst.Now
	err = o.Front.Submit(call, &burst)
	burst.Flush()
	if err != nil {
		return fmt.Errorf("submit to %s: %w", o.Model, err)
	}
	<-call.Woken()
	return c.check(call)
}

// fill makes the request one row that nobody else sends at this time.
func (c *caller) fill(r *infer.Request) {
	dims := r.Route.Model.Inputs[0].Dims
	in := r.AddInput()
	in.DType, in.Shape = tensor.FP32, r.Dims(len(dims))
	copy(in.Shape, dims)
	in.Shape[0] = 1
	n := int64(4)
	for i := range in.Shape[1:] {
		if in.Shape[i+1] < 0 {
			in.Shape[i+1] = c.shared.opts.Width
		}
		n *= in.Shape[i+1]
	}
	c.tag = c.tag&^(1<<20-1) | (c.tag+1)&(1<<20-1)
	s := c.shared.opts.Memory.Slabs.Get(int(n))
	v := s.View(0, int(n))
	clear(v.B)
	binary.LittleEndian.PutUint32(v.B, c.tag)
	in.Data.AppendOwned(v)
	r.Rows, r.Bytes = 1, n
}

func (c *caller) check(call *infer.Call) error {
	if call.Error != nil {
		return fmt.Errorf("ask %s: %w", c.shared.opts.Model, call.Error)
	}
	if len(call.Response.Outputs) == 0 {
		return fmt.Errorf("%s answered no output", c.shared.opts.Model)
	}
	out := &call.Response.Outputs[0].Tensor
	if rows := call.Rows.Of(out); rows != 1 {
		return fmt.Errorf("%s answered %d rows to one", c.shared.opts.Model, rows)
	}
	if !c.shared.opts.Echo {
		return nil
	}
	var row slab.List
	call.Rows.Append(&row, out)
	defer row.Release()
	c.row = append(c.row[:0], make([]byte, row.Size())...)
	row.CopyTo(c.row)
	if len(c.row) < 4 || binary.LittleEndian.Uint32(c.row) != c.tag {
		return fmt.Errorf("%s answered somebody else's row", c.shared.opts.Model)
	}
	return nil
}
