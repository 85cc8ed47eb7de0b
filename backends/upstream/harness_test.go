package upstream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/triton"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

func TestMain(m *testing.M) { leak.Main(m) }

// patience is how long anything may take that is awaited.
const patience = 20 * time.Second

// bench is a pool over puppets, with what a gateway would bring.
type bench struct {
	t      testing.TB
	memory *infer.Memory
	pool   *upstream.Pool
}

// serve starts a puppet that ends with the test.
func serve(t testing.TB, opts puppet.TritonOptions) *puppet.Triton {
	t.Helper()
	p, err := puppet.StartTriton(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// newBench opens a pool over servers, which looks at them often.
func newBench(t testing.TB, opts upstream.Options, servers ...*puppet.Triton) *bench {
	t.Helper()
	b := &bench{t: t, memory: infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))}
	opts.Name = "test"
	for _, s := range servers {
		opts.Endpoints = append(opts.Endpoints, s.Address())
	}
	if opts.Interval == 0 {
		opts.Interval = 20 * time.Millisecond
	}
	var err error
	if b.pool, err = triton.New(opts, b.memory, backends.NewMetrics(nil), zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.pool.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := b.memory.Check(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// status returns where a version stands; its name is empty if the pool has none.
func (b *bench) status(name, number string) infer.VersionStatus {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, _ := b.pool.List(ctx)
	for _, s := range all {
		if s.Name == name && s.Version == number {
			return s
		}
	}
	return infer.VersionStatus{}
}

// model returns a version that is ready, as a lane would know it.
func (b *bench) model(name string) *infer.Model {
	b.t.Helper()
	b.await("the model "+name+" is ready", func() bool { return b.status(name, "1").State == infer.Ready })
	return b.status(name, "1").Model
}

// await waits until something holds.
func (b *bench) await(what string, holds func() bool) {
	b.t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("in vain: %s", what)
		}
	}
}

// probe is a call that was submitted; it is the call's edge.
type probe struct {
	b    *bench
	call *infer.Call
	tag  uint32
	rows int64
	err  error        // unless it was answered with what it asked for
	end  *infer.Error // as the call says
	done chan struct{}
}

const width = 4

// ask makes a call of m whose rows nobody else sends.
func (b *bench) ask(m *infer.Model, rows int64, tag uint32) *probe {
	a := &probe{b: b, tag: tag, rows: rows, done: make(chan struct{})}
	a.call = puppet.Ask(b.memory, &infer.Route{Model: m}, rows, width, tag)
	a.call.Then(infer.RoleEdge, a)
	return a
}

// Done implements [infer.Continuation].
func (a *probe) Done(c *infer.Call, _ *infer.Burst) {
	a.end = c.Error
	if c.Response != nil || c.Error != nil {
		a.err = puppet.Answered(c, a.rows, width, a.tag)
	}
	close(a.done)
}

// wait returns how the call ended.
func (a *probe) wait() error {
	a.b.t.Helper()
	select {
	case <-a.done:
	case <-time.After(patience):
		a.b.t.Fatal("a call did not end")
	}
	a.call.Release()
	return a.err
}

// direct submits a call the direct way.
func (b *bench) direct(m *infer.Model, tag uint32) *probe {
	b.t.Helper()
	a := b.ask(m, 1, tag)
	if err := b.pool.Fleet().Direct(m).Submit(a.call, nil); err != nil {
		a.err = err
		close(a.done)
	}
	return a
}

// owner releases the slots of batches that a test forms.
type owner struct {
	fleet *backends.Fleet
	ended chan *infer.Error
}

// BatchDone implements [infer.BatchOwner].
func (o *owner) BatchDone(b *infer.Batch, err *infer.Error, _ *infer.Burst) {
	o.fleet.Release(b.Slot)
	o.ended <- err
}

// merged runs calls as one batch.
func (b *bench) merged(m *infer.Model, calls ...*probe) *owner {
	b.t.Helper()
	o := &owner{b.pool.Fleet(), make(chan *infer.Error, 1)}
	batch := b.memory.NewBatch()
	batch.Model, batch.Owner, batch.Slots = m, o, o.fleet
	b.await("a slot is free", func() (ok bool) { batch.Slot, ok = o.fleet.TryAcquire(m); return ok })
	for _, a := range calls {
		if !batch.Add(a.call, infer.AllRows) {
			b.t.Fatal("a new call is done")
		}
	}
	batch.Seal()
	if err := batch.Slot.Runner.Run(batch, nil); err != nil {
		b.t.Fatal(err)
	}
	return o
}

// code returns the code of an error of a call.
func code(err error) infer.Code {
	var e *infer.Error
	if err == nil {
		return infer.OK
	}
	if !errors.As(err, &e) {
		return infer.Codes
	}
	return e.Code
}

// echo is a model that answers with what it is asked.
func echo(name string, maxBatch int64) puppet.TritonModel {
	return puppet.Raw(name, tensor.FP32, maxBatch)
}
