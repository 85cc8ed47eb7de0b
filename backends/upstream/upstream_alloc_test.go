//go:build !race && !sluicedebug

package upstream_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
)

// lap is a call that is made again and again; it is the call's edge.
type lap struct {
	b     *bench
	route *infer.Route
	in    slabInput
	done  chan struct{}
	calls int64
}

// id returns what no other call says.
func (l *lap) id(prefix string, r *infer.Request) []byte {
	var b [64]byte
	return r.Keep(strconv.AppendInt(append(b[:0], prefix...), 1e15+l.calls, 16))
}

// slabInput is data that all laps share.
type slabInput struct{ tensor.Tensor }

// Done implements [infer.Continuation].
func (l *lap) Done(c *infer.Call, _ *infer.Burst) {
	if c.Error != nil {
		panic(c.Error)
	}
	l.done <- struct{}{}
}

// call makes a call of one row, with a deadline of its own.
func (l *lap) call() *infer.Call {
	r := l.b.memory.NewRequest()
	r.Route, r.Rows = l.route, 1
	l.calls++
	r.Trail = infer.Trail{RequestID: l.id("", r), Traceparent: l.id("00-4bf92f3577b34da6a3ce929d0e0e4736-", r), Tracestate: l.id("a=", r)}
	in := r.AddInput()
	in.DType = tensor.FP32
	in.Shape = r.Dims(2)
	in.Shape[0], in.Shape[1] = 1, 256
	in.Data.AppendList(&l.in.Data)
	r.Bytes = 1024
	c := l.b.memory.NewCall(r)
	r.Release()
	c.Deadline = infer.Now() + int64(time.Minute)
	c.Then(infer.RoleEdge, l)
	return c
}

// TestRunsDoNotAllocate makes calls both ways, each with another deadline, id and trace, to a server in this process, whose
// memory counts too.
func TestRunsDoNotAllocate(t *testing.T) {
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("alone", 0), echo("merging", 64)}})
	b := newBench(t, upstream.Options{Interval: time.Hour, Slots: 64}, server)
	const inFlight = 8
	l := &lap{b: b, done: make(chan struct{}, inFlight)}
	view := b.memory.Slabs.Get(1024).View(0, 1024)
	clear(view.B)
	l.in.Data.AppendOwned(view)
	defer l.in.Data.Release()
	burst := new(infer.Burst)

	alone := b.model("alone")
	way, toAlone := b.pool.Fleet().Direct(alone), &infer.Route{Model: alone}
	directly := func() {
		l.route = toAlone
		burst.Begin()
		for range inFlight {
			c := l.call()
			if err := way.Submit(c, burst); err != nil {
				panic(err)
			}
			c.Release()
		}
		burst.Flush()
		for range inFlight {
			<-l.done
		}
	}
	merging := b.model("merging")
	toMerging := &infer.Route{Model: merging}
	o := &owner{b.pool.Fleet(), make(chan *infer.Error, 1)}
	merged := func() {
		l.route = toMerging
		batch := b.memory.NewBatch()
		batch.Model, batch.Owner, batch.Slots = merging, o, o.fleet
		batch.Slot, _ = o.fleet.TryAcquire(merging)
		for range inFlight {
			c := l.call()
			batch.Add(c, infer.AllRows)
			c.Release()
		}
		batch.Seal()
		burst.Begin()
		if err := batch.Slot.Runner.Run(batch, burst); err != nil {
			panic(err)
		}
		burst.Flush()
		for range inFlight {
			<-l.done
		}
		<-o.ended
	}
	for name, f := range map[string]func(){"directly": directly, "merged": merged} {
		for range 200 {
			f()
		}
		// Now and then a collection empties the pools.
		if n := testing.AllocsPerRun(500, f); n >= 1 {
			t.Errorf("%s: %.2f allocations for %d calls", name, n, inFlight)
		}
	}
}
