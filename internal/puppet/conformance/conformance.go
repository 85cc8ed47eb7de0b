// Package conformance holds the tests that every backend of a kind passes. It is a package of its own so that a
// program that holds a puppet does not hold package testing.
package conformance

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

// Subject is a runner under test, with a model that it serves.
type Subject struct {
	// Slots give leave to run; the runner under test is in the slots.
	Slots infer.Slots
	// Model takes at least 6 rows a run, unless it has no batch axis: then nothing is merged.
	Model *infer.Model
	// Memory is where the test's calls come from, and the runner's answers.
	Memory *infer.Memory
	// Fill adds the inputs of rows rows to r, other ones for each tag.
	Fill func(r *infer.Request, rows int64, tag uint32)
	// Check returns an error unless c, which succeeded, has the answer to what Fill asked.
	Check func(c *infer.Call, rows int64, tag uint32) error
}

// patience is how long a run, or the release of what it used, may take.
const patience = 30 * time.Second

// TestRunner checks what the contracts ask of every runner. open returns a subject that is fresh or at rest;
// its cleanup is the caller's, by t.Cleanup.
func TestRunner(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	for _, tc := range []struct {
		name string
		run  func(*exam)
	}{
		{"answers", (*exam).answers},
		{"splits rows", (*exam).splitsRows},
		{"takes no burst", (*exam).takesNoBurst},
		{"survives a member's end", (*exam).survivesMember},
		{"ends when nobody waits", (*exam).endsAborted},
		{"ends when nobody waited", (*exam).endsStillborn},
		{"stands a crowd", (*exam).standsCrowd},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := &exam{Subject: open(t), t: t}
			before := x.Memory.Live()
			tc.run(x)
			x.atRest(before)
		})
	}
}

// exam is one test of a subject.
type exam struct {
	Subject
	t   *testing.T
	tag atomic.Uint32
}

// atRest waits until what was taken since before is given back.
func (x *exam) atRest(before infer.Live) {
	x.t.Helper()
	var live infer.Live
	if !eventually(func() bool { live = x.Memory.Live(); return live == before }) {
		x.t.Errorf("left behind: %+v, was %+v", live, before)
	}
}

// eventually asks until the answer is yes or patience is over.
func eventually(done func() bool) bool {
	for end := time.Now().Add(patience); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// attempt is a run under way: the owner of its batch.
type attempt struct {
	x        *exam
	batch    *infer.Batch
	calls    []*asked
	burst    *infer.Burst
	returned atomic.Bool
	times    atomic.Int32
	done     chan struct{} // closed by the first end
}

// asked is a call and what it asked; it is the edge of the call.
type asked struct {
	x     *exam
	call  *infer.Call
	rows  int64
	tag   uint32
	wrong error
	ends  atomic.Int32
	done  chan struct{}
}

// Done implements [infer.Continuation].
func (a *asked) Done(c *infer.Call, _ *infer.Burst) {
	if c.Error == nil {
		a.wrong = a.x.Check(c, a.rows, a.tag)
	} else {
		a.wrong = c.Error
	}
	if a.ends.Add(1) == 1 {
		close(a.done)
	}
}

// BatchDone implements [infer.BatchOwner].
func (a *attempt) BatchDone(_ *infer.Batch, _ *infer.Error, burst *infer.Burst) {
	if a.times.Add(1) > 1 {
		a.x.t.Error("the runner finished a batch twice")
		return
	}
	if !a.returned.Load() && a.burst != nil && burst != a.burst && sameStack() {
		a.x.t.Error("a runner that finishes inside Run passes on the burst that it was given")
	}
	close(a.done)
}

// sameStack tells whether a prepared attempt's run is further down on this stack.
func sameStack() bool {
	var pcs [128]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if f.Function == "github.com/sluice-serving/sluice/internal/puppet.(*attempt).run" {
			return true
		}
		if !more {
			return false
		}
	}
}

// prepare forms a batch with a call for each of rows, and waits for a slot for it.
func (x *exam) prepare(rows ...int64) *attempt {
	a := &attempt{x: x, done: make(chan struct{})}
	for _, n := range rows {
		r := x.Memory.NewRequest()
		r.Route, r.Rows = &infer.Route{Model: x.Model}, n
		q := &asked{x: x, rows: n, tag: x.tag.Add(1), done: make(chan struct{})}
		x.Fill(r, n, q.tag)
		r.Bytes = 0
		for i := range r.Inputs {
			r.Bytes += int64(r.Inputs[i].Data.Size())
		}
		q.call = x.Memory.NewCall(r)
		r.Release()
		q.call.Then(infer.RoleEdge, q)
		a.calls = append(a.calls, q)
	}
	a.batch = x.Memory.NewBatch()
	if len(rows) == 1 {
		a.batch.Discard()
		a.batch = a.calls[0].call.OpenSingle()
	}
	b := a.batch
	b.Model, b.Owner, b.Slots = x.Model, a, x.Slots
	if !eventually(func() (ok bool) { b.Slot, ok = x.Slots.TryAcquire(x.Model); return ok }) {
		panic("puppet: no slot became free")
	}
	for _, q := range a.calls {
		if !b.Add(q.call, infer.AllRows) {
			panic("BUG: puppet: a new call is done")
		}
	}
	b.Formed = infer.Now()
	return a
}

// run hands the batch to the runner, which must accept it.
func (a *attempt) run(burst *infer.Burst) {
	a.burst = burst
	a.batch.Seal()
	if err := a.batch.Slot.Runner.Run(a.batch, burst); err != nil {
		a.x.t.Errorf("Run refused: %v", err)
		a.batch.Fail(infer.ErrInternal, burst)
	}
	a.returned.Store(true)
}

// wait waits for the end of the batch and of its calls and gives the slot back.
func (a *attempt) wait(slot infer.Slot) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-a.done:
	case <-timer.C:
		panic("puppet: the runner did not finish a batch")
	}
	a.x.Slots.Release(slot)
	for _, q := range a.calls {
		select {
		case <-q.done:
		case <-timer.C:
			panic("puppet: a call did not end")
		}
		if n := q.ends.Load(); n != 1 {
			a.x.t.Errorf("a call ended %d times", n)
		}
		q.call.Release()
	}
}

// whole runs a batch to its end.
func (x *exam) whole(burst *infer.Burst, rows ...int64) *attempt {
	a := x.prepare(rows...)
	slot := a.batch.Slot
	a.run(burst)
	if burst != nil {
		burst.Flush()
	}
	a.wait(slot)
	return a
}

// right reports the calls that were not answered right, but those in except.
func (a *attempt) right(except ...int) {
	a.x.t.Helper()
	for i, q := range a.calls {
		skip := false
		for _, e := range except {
			skip = skip || e == i
		}
		if !skip && q.wrong != nil {
			a.x.t.Errorf("call %d of %d, %d rows: %v", i, len(a.calls), q.rows, q.wrong)
		}
	}
}

func (x *exam) newBurst() *infer.Burst {
	b := new(infer.Burst)
	b.Begin()
	return b
}

func (x *exam) merges() bool { return x.Model.MaxBatch >= 6 }

func (x *exam) answers() {
	for range 3 {
		x.whole(x.newBurst(), 1).right()
	}
	if x.merges() {
		x.whole(x.newBurst(), 5).right()
	}
}

func (x *exam) splitsRows() {
	if !x.merges() {
		x.t.Skip("the model has no batch axis")
	}
	for _, rows := range [][]int64{{1, 1}, {1, 2, 3}, {3, 1, 2}, {1, 1, 1, 1, 1, 1}} {
		x.whole(x.newBurst(), rows...).right()
	}
}

func (x *exam) takesNoBurst() { x.whole(nil, 1).right() }

// survivesMember ends one member while the batch runs: the others are answered.
func (x *exam) survivesMember() {
	if !x.merges() {
		x.t.Skip("the model has no batch axis")
	}
	for gone := range 3 {
		a := x.prepare(1, 2, 3)
		slot := a.batch.Slot
		var wg sync.WaitGroup
		wg.Go(func() { a.calls[gone].call.Finish(infer.Expired, nil, nil) })
		a.run(x.newBurst())
		wg.Wait()
		a.wait(slot)
		a.right(gone)
	}
}

// endsAborted ends all members once the batch was accepted: the runner still finishes it.
func (x *exam) endsAborted() {
	for range 5 {
		a := x.prepare(1)
		slot := a.batch.Slot
		a.run(x.newBurst())
		a.calls[0].call.Finish(infer.Abandoned, nil, nil)
		a.wait(slot)
	}
}

// endsStillborn ends all members before the batch is handed over.
func (x *exam) endsStillborn() {
	a := x.prepare(1)
	slot := a.batch.Slot
	a.calls[0].call.Finish(infer.Abandoned, nil, nil)
	a.run(x.newBurst())
	a.wait(slot)
	if a.calls[0].wrong == nil {
		x.t.Error("a call that was abandoned was answered")
	}
}

// standsCrowd runs batches from several goroutines, some of whose calls end early.
func (x *exam) standsCrowd() {
	const workers, each = 4, 25
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				rows := []int64{1}
				if x.merges() {
					rows = []int64{1, int64(1 + (w+i)%3), 1}
				}
				a := x.prepare(rows...)
				slot := a.batch.Slot
				a.run(x.newBurst())
				var gone []int
				if i%5 == 0 && a.calls[0].call.Finish(infer.Expired, nil, nil) {
					gone = append(gone, 0)
				}
				a.wait(slot)
				a.right(gone...)
			}
		})
	}
	wg.Wait()
	if err := x.slotsBack(); err != nil {
		x.t.Error(err)
	}
}

// slotsBack checks that the model still has a slot.
func (x *exam) slotsBack() error {
	s, ok := x.Slots.TryAcquire(x.Model)
	if !ok {
		return fmt.Errorf("no slot is free though nothing runs")
	}
	x.Slots.Release(s)
	return nil
}
