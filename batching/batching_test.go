package batching

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/slab"
)

func TestMain(m *testing.M) { leak.Main(m) }

// rig is a group over a puppet, with one queue for each of its models.
type rig struct {
	t      testing.TB
	mem    *infer.Memory
	puppet *puppet.Puppet
	group  *Group
	queues map[string]*Queue
	routes map[string]*infer.Route
}

func newRig(t testing.TB, opts puppet.Options, queue QueueOptions) *rig {
	t.Helper()
	opts.EnsureDefaults()
	r := &rig{
		t:      t,
		mem:    infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30))),
		puppet: puppet.New(opts),
		queues: make(map[string]*Queue),
		routes: make(map[string]*infer.Route),
	}
	r.group = NewGroup(r.puppet, NewMetrics(nil))
	for _, m := range opts.Models {
		o := queue
		o.Model = m
		q, err := r.group.NewQueue(o)
		if err != nil {
			t.Fatal(err)
		}
		r.queues[m.Name] = q
		r.routes[m.Name] = &infer.Route{Model: m}
	}
	return r
}

// close ends the rig and checks that nothing is left of what went through it.
func (r *rig) close() {
	r.t.Helper()
	for _, q := range r.queues {
		q.Close()
	}
	r.puppet.Close()
	r.group.Close()
	if err := r.puppet.Check(); err != nil {
		r.t.Error(err)
	}
	if err := r.mem.Check(); err != nil {
		r.t.Error(err)
	}
	for name, q := range r.queues {
		if calls, rows := q.Waiting(); calls != 0 || rows != 0 {
			r.t.Errorf("queue %s is left with %d calls of %d rows", name, calls, rows)
		}
	}
	if n := len(r.group.mu.scheduler.waiting); n != 0 {
		r.t.Errorf("%d lanes are left waiting", n)
	}
}

// ask makes a call of the echo model.
func (r *rig) ask(rows int64, tag uint32) *infer.Call {
	return puppet.Ask(r.mem, r.routes["echo"], rows, 4, tag)
}

// edge is the continuation of a call whose answer is expected to be right.
type edge struct {
	rows int64
	tag  uint32

	mu sync.Mutex
	seen
}

// seen is how a call ended.
type seen struct {
	done   int          // how often
	failed *infer.Error // how it failed
	wrong  error        // what is wrong with its answer
}

func (e *edge) Done(c *infer.Call, _ *infer.Burst) {
	e.mu.Lock()
	e.done++
	e.failed = c.Error
	if c.Error == nil {
		e.wrong = puppet.Answered(c, e.rows, 4, e.tag)
	}
	e.mu.Unlock()
	c.Release()
}

// look returns how the call has ended so far.
func (e *edge) look() seen {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen
}

// submit sends a call of the echo model and returns its edge.
func (r *rig) submit(rows int64, tag uint32, burst *infer.Burst) (*infer.Call, *edge) {
	r.t.Helper()
	c := r.ask(rows, tag)
	e := &edge{rows: rows, tag: tag}
	c.Then(infer.RoleEdge, e)
	if err := r.queues["echo"].Submit(c, burst); err != nil {
		r.t.Fatalf("call %d: %v", tag, err)
	}
	return c, e
}

// ok reports anything but one right answer.
func (e *edge) ok(t testing.TB, what string) {
	t.Helper()
	switch s := e.look(); {
	case s.done != 1:
		t.Errorf("%s: done %d times, want once", what, s.done)
	case s.failed != nil:
		t.Errorf("%s: failed: %v", what, s.failed)
	case s.wrong != nil:
		t.Errorf("%s: %v", what, s.wrong)
	}
}

// failedWith reports anything but one failure with want.
func (e *edge) failedWith(t testing.TB, what string, want *infer.Error) {
	t.Helper()
	if s := e.look(); s.done != 1 || s.failed != want {
		t.Errorf("%s: done %d times, failed: %v, want once: %v", what, s.done, s.failed, want)
	}
}

func TestDirect(t *testing.T) {
	r := newRig(t, puppet.Options{}, QueueOptions{})
	defer r.close()
	_, e := r.submit(3, 7, nil)
	e.ok(t, "call")
	if s := r.puppet.Stats(); s.Runs != 1 || s.Rows != 3 {
		t.Errorf("%d runs of %d rows, want 1 of 3", s.Runs, s.Rows)
	}
}

func TestMerge(t *testing.T) {
	r := newRig(t, puppet.Options{Hold: true}, QueueOptions{MaxRows: 8})
	defer r.close()
	var edges []*edge
	for i := range 11 {
		_, e := r.submit(1, uint32(i), nil)
		edges = append(edges, e)
	}
	for i, rows := range []int64{1, 9, 11} {
		if s := r.puppet.Stats(); s.Rows != rows {
			t.Errorf("%d rows had run before step %d, want %d", s.Rows, i, rows)
		}
		if !r.puppet.Step() {
			t.Fatalf("no run %d", i)
		}
	}
	if r.puppet.Step() {
		t.Error("a run too many")
	}
	for i, e := range edges {
		e.ok(t, fmt.Sprintf("call %d", i))
	}
}

// A runner that finishes inside Run must not pile up a frame for each batch that waits.
func TestFlatStack(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	var pcs [256]uintptr
	deepest := 0
	opts := puppet.Options{
		Models: []*infer.Model{puppet.Echo("echo", 0)},
		Script: func(int64, *infer.Batch) puppet.Verdict {
			deepest = max(deepest, runtime.Callers(0, pcs[:]))
			return puppet.Verdict{}
		},
	}
	r := newRig(t, opts, QueueOptions{MaxQueueRows: int64(n)})
	defer r.close()
	r.puppet.Resize(0)
	var edges []*edge
	for i := range n {
		_, e := r.submit(1, uint32(i), nil)
		edges = append(edges, e)
	}
	r.puppet.Resize(1)
	for i, e := range edges {
		e.ok(t, fmt.Sprintf("call %d", i))
	}
	if s := r.puppet.Stats(); s.Runs != int64(n) || s.Most != 1 {
		t.Errorf("%d runs, %d at once, want %d, one at a time", s.Runs, s.Most, n)
	}
	if deepest > 40 {
		t.Errorf("%d frames deep, want a flat stack", deepest)
	}
}
