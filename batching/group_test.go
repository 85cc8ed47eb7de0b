package batching

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/telemetry"
	"github.com/sluice-serving/sluice/tensor"
)

// resubmitter is an edge that sends the next call before it lets go of the last.
type resubmitter struct {
	rig     *rig
	left    int
	deepest int
}

func (e *resubmitter) Done(c *infer.Call, burst *infer.Burst) {
	var pcs [256]uintptr
	e.deepest = max(e.deepest, runtime.Callers(0, pcs[:]))
	if e.left--; e.left > 0 {
		e.send(burst)
	}
	c.Release()
}

func (e *resubmitter) send(burst *infer.Burst) {
	c := e.rig.ask(1, 1)
	c.Then(infer.RoleEdge, e)
	if err := e.rig.queues["echo"].Submit(c, burst); err != nil {
		e.rig.t.Error(err)
	}
}

// Whoever submits as he is answered does not deepen the stack either, with a burst or without.
func TestFlatResubmit(t *testing.T) {
	for _, burst := range []*infer.Burst{nil, new(infer.Burst)} {
		r := newRig(t, puppet.Options{}, QueueOptions{})
		e := &resubmitter{rig: r, left: 10_000}
		e.send(burst)
		if e.left != 0 {
			t.Errorf("%d calls are left", e.left)
		}
		if e.deepest > 40 {
			t.Errorf("%d frames deep, want a flat stack", e.deepest)
		}
		r.close()
	}
}

// What a runner gives back is checked before it is split.
func TestRowsLost(t *testing.T) {
	r := newRig(t, puppet.Options{Hold: true, Script: func(run int64, _ *infer.Batch) (v puppet.Verdict) {
		if run == 2 {
			v.LoseRows = 1
		}
		return v
	}}, QueueOptions{})
	defer r.close()
	var edges []*edge
	for i := range 4 {
		_, e := r.submit(1, uint32(i), nil)
		edges = append(edges, e)
	}
	for r.puppet.Step() {
	}
	edges[0].ok(t, "the first")
	for i, e := range edges[1:] {
		if got := e.look().failed; got == nil || got.Code != infer.BadBackend {
			t.Errorf("call %d: %v, want BAD_BACKEND", i+1, got)
		}
	}
}

// A failure reaches all members of its batch and nobody else.
func TestFailedRun(t *testing.T) {
	broken := &infer.Error{Code: infer.BackendLost, Text: "lost"}
	r := newRig(t, puppet.Options{Hold: true, Script: func(run int64, _ *infer.Batch) (v puppet.Verdict) {
		if run == 2 {
			v.Fail = broken
		}
		return v
	}}, QueueOptions{MaxRows: 2})
	defer r.close()
	var edges []*edge
	for i := range 4 {
		_, e := r.submit(1, uint32(i), nil)
		edges = append(edges, e)
	}
	for r.puppet.Step() {
	}
	for i, e := range edges {
		if i == 0 || i == 3 {
			e.ok(t, fmt.Sprintf("call %d", i))
			continue
		}
		e.failedWith(t, fmt.Sprintf("call %d", i), broken)
	}
}

// A Runner's error that is not one of ours does not reach clients.
func TestForeignRefusal(t *testing.T) {
	foreign := errors.New("dial tcp 10.0.0.5: refused")
	r := newRig(t, puppet.Options{Models: []*infer.Model{puppet.Echo("echo", 8)}}, QueueOptions{})
	defer r.close()
	slots := &foreignSlots{Puppet: r.puppet, err: foreign}
	g := NewGroup(slots, nil)
	defer g.Close()
	q, err := g.NewQueue(QueueOptions{Model: r.puppet.Model("echo")})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	c := r.ask(1, 1)
	e := &edge{rows: 1, tag: 1}
	c.Then(infer.RoleEdge, e)
	if err := q.Submit(c, nil); err != nil {
		t.Fatal(err)
	}
	got := e.look().failed
	if got == nil || got.Code != infer.Internal || got.Text != infer.ErrInternal.Text || !errors.Is(got, foreign) {
		t.Errorf("failed with %#v, want an internal error whose cause is %q", got, foreign)
	}
}

// foreignSlots give slots whose runner refuses with an error of its own.
type foreignSlots struct {
	*puppet.Puppet
	err error
}

func (s *foreignSlots) TryAcquire(m *infer.Model) (infer.Slot, bool) {
	slot, ok := s.Puppet.TryAcquire(m)
	slot.Runner = s
	return slot, ok
}

func (s *foreignSlots) Run(*infer.Batch, *infer.Burst) error { return s.err }

// Calls for a model that is not loaded wait, and run when it is.
func TestRoom(t *testing.T) {
	r := newRig(t, puppet.Options{}, QueueOptions{})
	defer r.close()
	if err := r.puppet.Unload(context.Background(), "echo"); err != nil {
		t.Fatal(err)
	}
	_, a := r.submit(1, 1, nil)
	_, b := r.submit(2, 2, nil)
	if a.look().done+b.look().done != 0 {
		t.Fatal("ran without a slot")
	}
	if err := r.puppet.Load(context.Background(), "echo"); err != nil {
		t.Fatal(err)
	}
	a.ok(t, "the first")
	b.ok(t, "the second")
	if s := r.puppet.Stats(); s.Runs != 1 || s.Rows != 3 {
		t.Errorf("%d runs of %d rows, want 1 of 3", s.Runs, s.Rows)
	}
}

func TestRefusedAtTheDoor(t *testing.T) {
	mem := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
	anyRows := puppet.Echo("any", 16)
	anyRows.AnyRows = true
	models := []*infer.Model{puppet.Echo("echo", 16), puppet.Echo("alone", 0), anyRows}
	r := newRig(t, puppet.Options{Models: models}, QueueOptions{})
	defer r.close()
	for _, tc := range []struct {
		name, model string
		rows        int64
		shapes      [][]int64
		want        string
	}{
		{
			"more rows than the model takes", "echo", 17,
			[][]int64{{17, 2}},
			`the request has more rows than the 16 that model "echo" takes at once`,
		},
		{
			"inputs that disagree", "echo", 2,
			[][]int64{{2, 2}, {3, 2}},
			"the inputs of the request have different numbers of rows",
		},
		{"as many as it takes", "echo", 16, [][]int64{{16, 2}}, ""},
		{"inputs that disagree where any rows will do", "any", 2, [][]int64{{2, 2}, {3, 2}}, ""},
		{"any rows", "any", 100, [][]int64{{100, 2}}, ""},
		{"a scalar beside rows", "echo", 2, [][]int64{{2, 2}, {}}, ""},
		{"no batch axis to agree on", "alone", 1, [][]int64{{2, 2}, {3, 2}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := mem.NewRequest()
			q.Rows = tc.rows
			for i, s := range tc.shapes {
				withInput(q, i, tensor.FP32, s...)
			}
			c := mem.NewCall(q)
			q.Release()
			err := r.queues[tc.model].check(c.Request)
			c.Release()
			if (err == nil) != (tc.want == "") || err != nil && (err.Text != tc.want || err.Code != infer.Invalid) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestClosedQueue(t *testing.T) {
	r := newRig(t, puppet.Options{Hold: true}, QueueOptions{})
	defer r.close()
	_, running := r.submit(1, 1, nil)
	_, queued := r.submit(1, 2, nil)
	q := r.queues["echo"]
	delete(r.queues, "echo")
	q.Close()
	queued.failedWith(t, "queued", infer.ErrDraining)
	c := r.ask(1, 3)
	if err := q.Submit(c, nil); !errors.Is(err, infer.ErrDraining) {
		t.Errorf("after Close: %v, want %v", err, infer.ErrDraining)
	}
	c.Release()
	r.puppet.Step()
	running.ok(t, "the one that ran")
}

func TestOptions(t *testing.T) {
	m := puppet.Echo("echo", 8)
	for _, tc := range []struct {
		opts QueueOptions
		want string
	}{
		{QueueOptions{}, "a queue needs a model"},
		{QueueOptions{Model: m, MaxRows: -1}, "max_batch_size -1"},
		{QueueOptions{Model: m, MaxQueueRows: -5}, "queue.max_rows -5"},
		{QueueOptions{Model: m, MaxWait: -1}, "queue.max_wait -1ns"},
		{QueueOptions{Model: m, MaxLanes: -2}, "max_lanes -2"},
		{QueueOptions{Model: m, MaxBytes: -2}, "max_bytes -2"},
	} {
		if _, err := NewQueue(tc.opts); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want one with %q", tc.opts, err, tc.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := telemetry.NewRegistry(telemetry.Build{})
	p := puppet.New(puppet.Options{Hold: true})
	defer p.Close()
	metrics := NewMetrics(reg)
	g := NewGroup(p, metrics)
	defer g.Close()
	q, err := g.NewQueue(QueueOptions{Model: p.Model("echo"), MaxRows: 4})
	if err != nil {
		t.Fatal(err)
	}
	mem := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))
	for i := range 8 {
		c := puppet.Ask(mem, &infer.Route{Model: p.Model("echo")}, 1, 1, uint32(i))
		c.Then(infer.RoleEdge, dropping{})
		if err := q.Submit(c, nil); err != nil {
			t.Fatal(err)
		}
	}
	samples := func() map[string]float64 {
		t.Helper()
		families, err := reg.Gatherer().Gather()
		if err != nil {
			t.Fatal(err)
		}
		all := make(map[string]float64)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					if l.GetName() == "cause" {
						name += "/" + l.GetValue()
					}
				}
				switch {
				case m.GetHistogram() != nil:
					all[name] = m.GetHistogram().GetSampleSum()
				case m.GetCounter() != nil:
					all[name] = m.GetCounter().GetValue()
				default:
					all[name] = m.GetGauge().GetValue()
				}
			}
		}
		return all
	}
	if got := samples()["sluice_queue_rows"]; got != 7 {
		t.Errorf("queue_rows %v, want 7", got)
	}
	if queued, batches := metrics.Queued("echo", "1"), metrics.Batches("echo", "1"); queued != 7 || batches != 1 {
		t.Errorf("%d rows queued and %d batches, want 7 and 1", queued, batches)
	}
	if queued, batches := metrics.Queued("echo", "2"), metrics.Batches("other", "1"); queued+batches != 0 {
		t.Errorf("%d rows and %d batches of models that nobody called", queued, batches)
	}
	for p.Step() {
	}
	got := samples()
	for name, want := range map[string]float64{
		"sluice_queue_rows": 0, "sluice_batch_rows": 8,
		"sluice_batches_total/direct": 1, "sluice_batches_total/full": 1, "sluice_batches_total/slot": 1,
	} {
		if got[name] != want {
			t.Errorf("%s %v, want %v", name, got[name], want)
		}
	}
	q.Close()
	if _, there := samples()["sluice_batch_rows"]; there {
		t.Error("the series of a queue outlives it")
	}
}

// What the configuration allows to merge is no more than what the model takes, unless that is only a default.
func TestRowsOfModel(t *testing.T) {
	for _, tc := range []struct {
		name           string
		configured     int64
		modelMax       int64
		anyRows        bool
		want, wantDoor int64 // rows of a batch; rows of a request
	}{
		{"less than the model", 8, 32, false, 8, 32},
		{"more than the model", 64, 32, false, 32, 32},
		{"more than a default", 64, 32, true, 64, 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := puppet.Echo("echo", tc.modelMax)
			m.AnyRows = tc.anyRows
			q, err := NewQueue(QueueOptions{Model: m, MaxRows: tc.configured})
			if err != nil {
				t.Fatal(err)
			}
			if !q.fits(tc.want, 0) || q.fits(tc.want+1, 0) {
				t.Errorf("batches of up to %d rows, want %d", q.opts.MaxRows, tc.want)
			}
			if err := q.check(&infer.Request{Rows: tc.wantDoor}); err != nil {
				t.Errorf("a request of %d rows: %v", tc.wantDoor, err)
			}
			if err := q.check(&infer.Request{Rows: tc.wantDoor + 1}); (err == nil) != tc.anyRows {
				t.Errorf("a request of %d rows: %v", tc.wantDoor+1, err)
			}
		})
	}
}

// A runner that panics is not handled here, but those who share its goroutine later must not wait for ever.
func TestPanickingRunner(t *testing.T) {
	var r *rig
	var inside *edge
	burst := new(infer.Burst)
	r = newRig(t, puppet.Options{Slots: 3, Script: func(run int64, _ *infer.Batch) puppet.Verdict {
		if run == 1 {
			_, inside = r.submit(1, 2, burst) // left to the run that is being started
			panic("a broken runner")
		}
		return puppet.Verdict{}
	}}, QueueOptions{})
	c := r.ask(1, 1)
	c.Then(infer.RoleEdge, dropping{})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = r.queues["echo"].Submit(c, burst)
	}()
	inside.ok(t, "the call that came during the panic")
	_, after := r.submit(1, 3, burst)
	after.ok(t, "the call that came after it")
	for _, q := range r.queues {
		q.Close()
	}
	r.puppet.Close()
	r.group.Close()
}

// A call may be done before it gets here: nothing runs, and its slot is for others.
func TestDoneBeforeSubmit(t *testing.T) {
	r := newRig(t, puppet.Options{}, QueueOptions{})
	defer r.close()
	c := r.ask(1, 1)
	c.Retain()
	c.Then(infer.RoleEdge, dropping{})
	c.Finish(infer.Abandoned, nil, nil)
	if err := r.queues["echo"].Submit(c, nil); err != nil {
		t.Errorf("rejected: %v", err)
	}
	c.Release()
	if s := r.puppet.Stats(); s.Runs != 0 || r.puppet.Out() != 0 {
		t.Errorf("%d runs, %d slots out, want none", s.Runs, r.puppet.Out())
	}
	_, e := r.submit(1, 2, nil)
	e.ok(t, "the next")
}

// Requests whose tensors lie in regions of shared memory run by themselves: nobody can put their rows together.
func TestLaneOfRegions(t *testing.T) {
	q, err := NewQueue(QueueOptions{Model: puppet.Echo("echo", 16)})
	if err != nil {
		t.Fatal(err)
	}
	r := request(func(r *infer.Request) { withInput(r, 0, tensor.FP32, 2, 3) })
	if q.lane(r, 0).alone {
		t.Error("a request with its data runs alone")
	}
	if r.Regions = true; !q.lane(r, 0).alone {
		t.Error("a request in shared memory does not run alone")
	}
}

// Requests that cannot be merged by their shapes run by themselves, beside those that can.
func TestLaneOfOddShapes(t *testing.T) {
	m := puppet.Echo("echo", 16)
	m.AnyRows = true
	q, err := NewQueue(QueueOptions{Model: m})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		shapes [][]int64
		alone  bool
	}{
		{"rows", [][]int64{{2, 3}}, false},
		{"rows of two inputs", [][]int64{{2, 3}, {2}}, false},
		{"a scalar", [][]int64{{2, 3}, {}}, true},
		{"rows that disagree", [][]int64{{2, 3}, {1, 3}}, true},
	} {
		r := request(func(r *infer.Request) {
			for i, s := range tc.shapes {
				withInput(r, i, tensor.FP32, s...)
			}
		})
		if got := q.lane(r, 0).alone; got != tc.alone {
			t.Errorf("%s: runs alone %v, want %v", tc.name, got, tc.alone)
		}
	}
}
