package infer

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

func TestMain(m *testing.M) { leak.Main(m) }

func newMemory() *Memory {
	return NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))
}

// newCall returns a call of a fresh request of rows rows, holding the only reference to both.
func newCall(m *Memory, rows int64) *Call {
	r := m.NewRequest()
	r.Rows = rows
	in := r.AddInput()
	in.DType, in.Shape = tensor.Int8, append(r.Dims(2)[:0], rows, 1)
	s := m.Slabs.Get(int(rows))
	in.Data.AppendOwned(s.View(0, int(rows)))
	c := m.NewCall(r)
	r.Release()
	return c
}

func mustBeClean(t *testing.T, m *Memory) {
	t.Helper()
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
}

// trace appends its name when its call is done.
type trace struct {
	name string
	log  *[]string
}

func (k trace) Done(*Call, *Burst) { *k.log = append(*k.log, k.name) }

func TestFinishRunsContinuationsByRoleAndOnce(t *testing.T) {
	m := newMemory()
	for _, tc := range []struct {
		claim bool
		want  string
	}{{false, "lane router edge "}, {true, "attempt lane router edge "}} {
		c := newCall(m, 1)
		var log []string
		c.Then(RoleEdge, trace{"edge", &log})
		c.Then(RoleRouter, trace{"router", &log})
		c.Then(RoleLane, trace{"lane", &log})
		c.Then(RoleAttempt, trace{"attempt", &log})
		if tc.claim && !c.Claim() {
			t.Fatal("a queued call was not claimed")
		}
		if !c.Fail(ErrQueueFull, nil) || c.Fail(ErrDraining, nil) || c.Finish(Succeeded, nil, nil) {
			t.Fatal("Finish did not win exactly once")
		}
		got := ""
		for _, s := range log {
			got += s + " "
		}
		if got != tc.want {
			t.Errorf("continuations %q, want %q", got, tc.want)
		}
		if c.Error != ErrQueueFull || c.Outcome() != Shed {
			t.Errorf("ended with %v, %v", c.Error, c.Outcome())
		}
		if c.Claim() || c.Unclaim() {
			t.Error("a done call changed its phase")
		}
		c.Release()
	}
	mustBeClean(t, m)
}

func TestFailQueuedLeavesWhatRuns(t *testing.T) {
	m := newMemory()
	c := newCall(m, 1)
	if !c.Claim() || c.FailQueued(ErrClientGone, nil) {
		t.Fatal("a claimed call was failed as queued")
	}
	if !c.Unclaim() || !c.FailQueued(ErrClientGone, nil) || c.From != Queued {
		t.Fatal("a call back in its queue was not failed")
	}
	c.Release()
	mustBeClean(t, m)
}

func TestALateFinishDoesNotMeetARecycledCall(t *testing.T) {
	m := newMemory()
	c := newCall(m, 1)
	epoch := c.Epoch()
	c.Fail(ErrQueueFull, nil)
	c.Release()
	r := m.NewRequest()
	m.calls.Put(c) // whatever the pool does: the same object lives again
	again := m.NewCall(r)
	r.Release()
	if again == c && c.expire(epoch, nil) {
		t.Fatal("the finish of a former life ended the call")
	}
	if !again.expire(again.Epoch(), nil) || again.Error != ErrExpiredInQueue {
		t.Fatalf("ended with %v", again.Error)
	}
	again.Release()
}

// owner is a BatchOwner that counts.
type owner struct {
	over int
	err  *Error
}

func (o *owner) BatchDone(_ *Batch, err *Error, _ *Burst) { o.over++; o.err = err }

// slots counts aborts.
type slots struct{ aborts atomic.Int32 }

func (*slots) TryAcquire(*Model) (Slot, bool) { return Slot{}, true }
func (*slots) Release(Slot)                   {}
func (s *slots) Abort(*Batch)                 { s.aborts.Add(1) }
func (*slots) OnRoom(func())                  {}

func TestBatchGivesEachMemberItsRows(t *testing.T) {
	m := newMemory()
	var o owner
	b := m.NewBatch()
	b.Model, b.Owner, b.Slots = &Model{MaxBatch: 8}, &o, &slots{}
	var calls []*Call
	for _, rows := range []int64{1, 3, 2} {
		c := newCall(m, rows)
		calls = append(calls, c)
		if !b.Add(c, AllRows) {
			t.Fatal("a queued call was not added")
		}
	}
	gone := newCall(m, 5)
	gone.Fail(ErrClientGone, nil)
	if b.Add(gone, AllRows) {
		t.Fatal("a done call was added")
	}
	gone.Release()
	if !b.Seal() || b.Rows != 6 || b.Live() != 3 {
		t.Fatalf("sealed batch of %d rows, %d live", b.Rows, b.Live())
	}
	var in slab.List
	if n := b.Input(&in, 0); n != 6 || in.Size() != 6 {
		t.Errorf("merged input of %d rows, %d bytes", n, in.Size())
	}
	in.Release()
	resp := m.NewResponse()
	out := resp.AddOutput()
	out.DType, out.Shape = tensor.Int8, append(resp.Dims(1)[:0], 6)
	s := m.Slabs.Get(6)
	copy(s.Bytes(), "abbbcc")
	out.Data.AppendOwned(s.View(0, 6))
	b.Started, b.Ended = 3, 4
	b.Finish(resp, nil)
	resp.Release()
	if o.over != 1 || o.err != nil {
		t.Errorf("owner told %d times, %v", o.over, o.err)
	}
	for i, want := range []string{"a", "bbb", "cc"} {
		c := calls[i]
		var l slab.List
		c.Rows.Append(&l, &c.Response.Outputs[0].Tensor)
		got, _ := l.Contiguous()
		if string(got) != want || c.Rows.Of(&c.Response.Outputs[0].Tensor) != int64(len(want)) {
			t.Errorf("member %d got %q, want %q", i, got, want)
		}
		if c.Stamps.Started != 3 || c.Stamps.Ended != 4 {
			t.Errorf("member %d has stamps %+v", i, c.Stamps)
		}
		l.Release()
		c.Release()
	}
	mustBeClean(t, m)
}

func TestBatchWithoutARowEachFailsAll(t *testing.T) {
	m := newMemory()
	var o owner
	b := m.NewBatch()
	b.Model, b.Owner = &Model{MaxBatch: 8}, &o
	a, c := newCall(m, 1), newCall(m, 1)
	b.Add(a, AllRows)
	b.Add(c, AllRows)
	b.Seal()
	resp := m.NewResponse()
	resp.AddOutput().Shape = append(resp.Dims(1)[:0], 1)
	b.Finish(resp, nil)
	resp.Release()
	if o.err == nil || a.Error == nil || a.Error.Code != BadBackend || c.Error != a.Error {
		t.Errorf("owner %v, members %v, %v", o.err, a.Error, c.Error)
	}
	a.Release()
	c.Release()
	mustBeClean(t, m)
}

func TestTheLastMemberToLeaveAbortsTheRun(t *testing.T) {
	m := newMemory()
	var s slots
	b := m.NewBatch()
	b.Model, b.Slots = &Model{MaxBatch: 8}, &s
	a, c := newCall(m, 1), newCall(m, 1)
	b.Add(a, AllRows)
	a.Fail(ErrClientGone, nil)
	if s.aborts.Load() != 0 {
		t.Fatal("aborted while it formed")
	}
	b.Add(c, AllRows)
	if !b.Seal() {
		t.Fatal("sealed as if nobody waited")
	}
	c.Fail(ErrExpiredInFlight, nil)
	if s.aborts.Load() != 1 {
		t.Fatalf("aborted %d times, want once", s.aborts.Load())
	}
	b.Fail(ErrInternal, nil)
	if a.Error != ErrClientGone || c.Error != ErrExpiredInFlight {
		t.Errorf("members ended with %v, %v", a.Error, c.Error)
	}
	a.Release()
	c.Release()
	mustBeClean(t, m)
}

func TestACallAloneRidesInItsOwnBatch(t *testing.T) {
	m := newMemory()
	c := newCall(m, 4)
	b := c.OpenSingle()
	b.Model = &Model{}
	if !b.Add(c, AllRows) || !b.Seal() {
		t.Fatal("the call was not added")
	}
	c.Release() // the edge is gone; the batch holds the call
	b.Fail(ErrInternal, nil)
	mustBeClean(t, m)

	d := newCall(m, 1)
	d.OpenSingle().Discard()
	d.Release()
	mustBeClean(t, m)
}

// expired notes when its call was done.
type expired struct{ at chan int64 }

func (k expired) Done(_ *Call, b *Burst) { k.at <- Now() }

func TestExpiryKeepsToItsBuckets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		x := NewExpiry()
		defer x.Close()
		for _, after := range []time.Duration{
			0, time.Nanosecond, time.Millisecond, 20 * time.Millisecond, 4300 * time.Millisecond,
			10 * time.Second, time.Hour,
		} {
			c := newCall(m, 1)
			k := expired{make(chan int64, 1)}
			c.Then(RoleEdge, k)
			c.Deadline, c.Expiry = Now()+int64(after), x
			deadline := c.Deadline
			x.Add(c, c.Epoch(), c.Deadline)
			late := time.Duration(<-k.at - deadline)
			if late < 0 || late > 2*time.Millisecond {
				t.Errorf("deadline in %v was kept %v late", after, late)
			}
			c.Release()
		}
		mustBeClean(t, m)
	})
}

func TestExpiryLetsGoOfWhatIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		x := NewExpiry()
		defer x.Close()
		c := newCall(m, 1)
		epoch := c.Epoch()
		c.Deadline, c.Expiry = Now()+int64(time.Second), x
		x.Add(c, epoch, c.Deadline)
		c.Fail(ErrQueueFull, nil)
		x.Add(c, epoch, Now()+int64(time.Second)) // too late: must not link
		time.Sleep(2 * time.Second)
		if c.Error != ErrQueueFull {
			t.Errorf("ended with %v", c.Error)
		}
		for i := range x.shards {
			s := &x.shards[i]
			if got := s.nextUse(0); got != never {
				t.Errorf("shard %d still holds a call at %d", i, got)
			}
		}
		c.Release()
		mustBeClean(t, m)
	})
}

func TestExpirySweepsOverAnyGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		x := NewExpiry()
		defer x.Close()
		rng := rand.New(rand.NewPCG(5, 6))
		var done atomic.Int32
		var calls []*Call
		for range 500 {
			c := newCall(m, 1)
			c.Then(RoleEdge, countDone{&done})
			c.Deadline, c.Expiry = Now()+rng.Int64N(int64(30*time.Second)), x
			x.Add(c, c.Epoch(), c.Deadline)
			calls = append(calls, c)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if done.Load() != 500 {
			t.Errorf("%d of 500 deadlines were kept", done.Load())
		}
		for _, c := range calls {
			c.Release()
		}
		mustBeClean(t, m)
	})
}

type countDone struct{ n *atomic.Int32 }

func (k countDone) Done(*Call, *Burst) { k.n.Add(1) }

func TestDeadlinesRaceCompletions(t *testing.T) {
	m := newMemory()
	x := NewExpiry()
	defer x.Close()
	n := 200_000
	if testing.Short() {
		n = 20_000
	}
	var ended [Outcomes]atomic.Int64
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(w)))
			for range n / 4 {
				c := newCall(m, 1)
				k := &edgeWait{}
				c.Then(RoleEdge, k)
				c.Deadline, c.Expiry = Now()+rng.Int64N(int64(time.Millisecond)), x
				b := c.OpenSingle()
				b.Model = &Model{}
				x.Add(c, c.Epoch(), c.Deadline)
				if b.Add(c, AllRows) {
					b.Seal()
					r := m.NewResponse()
					b.Finish(r, nil)
					r.Release()
				} else {
					b.Discard()
				}
				<-c.Woken()
				ended[c.Outcome()].Add(1)
				c.Release()
			}
		})
	}
	wg.Wait()
	total := int64(0)
	for o := range ended {
		total += ended[o].Load()
	}
	if total != int64(n) {
		t.Errorf("%d calls ended, want %d", total, n)
	}
	mustBeClean(t, m)
}

// edgeWait wakes the goroutine that waits for the call.
type edgeWait struct{}

func (*edgeWait) Done(c *Call, _ *Burst) { c.Wake() }

func TestGenerationDrainsWhenNobodyHoldsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGeneration(1, "")
		var holds []Hold
		for i := range 20 {
			h, ok := g.Acquire(uint32(i))
			if !ok {
				t.Fatal("a generation in force was not acquired")
			}
			holds = append(holds, h)
		}
		drained := false
		go func() { drained = g.Retire(nil) }()
		synctest.Wait()
		if _, ok := g.Acquire(3); ok {
			t.Error("a retired generation was acquired")
		}
		for i := range holds {
			if drained {
				t.Fatalf("drained with %d holders left", len(holds)-i)
			}
			holds[i].Drop()
			holds[i].Drop() // dropping the empty hold does nothing
			synctest.Wait()
		}
		if !drained {
			t.Error("not drained after the last holder left")
		}
	})
}

func TestRetireStopsWaitingWhenTold(t *testing.T) {
	g := NewGeneration(1, "")
	h, _ := g.Acquire(0)
	stop := make(chan struct{})
	close(stop)
	if g.Retire(stop) {
		t.Error("said to be drained while held")
	}
	h.Drop()
}

// conn counts its flushes.
type conn struct{ n int }

func (c *conn) Flush() { c.n++ }

func TestBurstFlushesEachConnectionOnce(t *testing.T) {
	var b Burst
	conns := make([]conn, burstConns+1)
	for range 3 {
		for i := range burstConns {
			b.Mark(&conns[i])
		}
	}
	if conns[0].n != 0 || !b.Marked() {
		t.Fatal("flushed before the burst was over")
	}
	b.Mark(&conns[burstConns])
	if conns[0].n != 1 {
		t.Error("the ninth connection did not flush the first")
	}
	b.Flush()
	for i := range conns {
		if conns[i].n != 1 {
			t.Errorf("connection %d flushed %d times", i, conns[i].n)
		}
	}
	var none *Burst
	if b.Marked() || none.Marked() {
		t.Error("a burst that was flushed, or is none, has marks")
	}
	none.Mark(&conns[0])
	none.Flush()
	if conns[0].n != 2 {
		t.Error("a nil burst did not flush at once")
	}
}

func TestSameSignature(t *testing.T) {
	a := Model{MaxBatch: 8, Inputs: []Spec{{Name: "x", DType: tensor.FP32, Dims: []int64{-1, 4}}}}
	b := a
	b.Version, b.MaxBatch = "2", 32
	if !a.SameSignature(&b) {
		t.Error("versions of one signature differ")
	}
	b.Inputs = []Spec{{Name: "x", DType: tensor.FP32, Dims: []int64{-1, 5}}}
	if a.SameSignature(&b) {
		t.Error("different dims are one signature")
	}
	b = a
	b.MaxBatch = 0
	if a.SameSignature(&b) {
		t.Error("a model without a batch axis has the signature of one with")
	}
}

func TestEveryCodeHasANameAndAnOutcome(t *testing.T) {
	seen := map[string]bool{}
	for c := OK; c < Codes; c++ {
		if c.String() == "" || seen[c.String()] {
			t.Errorf("code %d is called %q", c, c.String())
		}
		seen[c.String()] = true
		if (c.Outcome() == Succeeded) != (c == OK) {
			t.Errorf("%v has outcome %v", c, c.Outcome())
		}
	}
	for o := Succeeded; o < Outcomes; o++ {
		if o.String() == "" || (canonical[o] == nil) != (o == Succeeded) || o != Succeeded && canonical[o].Code.Outcome() != o {
			t.Errorf("outcome %d is %q with error %v", o, o, canonical[o])
		}
	}
}

func BenchmarkExpiry(b *testing.B) {
	m := newMemory()
	x := NewExpiry()
	defer x.Close()
	c := newCall(m, 1)
	c.Expiry = x
	epoch := c.Epoch()
	for b.Loop() {
		x.Add(c, epoch, Now()+int64(time.Second))
		x.remove(c)
	}
	c.Release()
}
