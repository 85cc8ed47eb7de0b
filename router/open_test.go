package router

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
)

// opener accepts streams and ends them at once, unless it refuses or holds them.
type opener struct {
	opened atomic.Int64
	err    error
	hold   bool
}

func (o *opener) Open(s *infer.Stream) error {
	if o.err != nil {
		return o.err
	}
	o.opened.Add(1)
	if s.Accept(nil, nil) && !o.hold {
		s.End(nil, nil)
	}
	return nil
}

func TestOpen(t *testing.T) {
	refusal := infer.Errorf(infer.NoEndpoint, "none")
	for _, tc := range []struct {
		name     string
		open     infer.Opener
		deadline int64
		want     infer.Code
	}{
		{"taken", &opener{}, 0, infer.OK},
		{"no streams", nil, 0, infer.Unsupported},
		{"refused", &opener{err: refusal}, 0, infer.NoEndpoint},
		{"expired", &opener{}, 1, infer.Deadline},
	} {
		one := target("1", 4)
		one.Open = tc.open
		r := newRouter(t, Model{Name: "m", Versions: []Version{{Name: "1", Weight: 1, Target: one}}})
		m := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
		c := ask(t, r, m)
		c.Deadline = tc.deadline
		if got := code(r.Open(c.OpenStream(nil))); got != tc.want {
			t.Errorf("%s: code %v, want %v", tc.name, got, tc.want)
		}
		if c.Target != one || c.Stamps.Queued == 0 {
			t.Errorf("%s: target %v, queued at %d", tc.name, c.Target, c.Stamps.Queued)
		}
		c.Release()
		if err := m.Check(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// ask looks the model m up and returns a call of an empty request.
func ask(t *testing.T, r *Router, m *infer.Memory) *infer.Call {
	t.Helper()
	q := infer.Query{Name: []byte("m")}
	route, err := r.Lookup(&q)
	if err != nil {
		t.Fatal(err)
	}
	req := m.NewRequest()
	req.Bind(route, &q)
	c := m.NewCall(req)
	req.Release()
	return c
}

func TestOpenSplitsAsSubmitDoes(t *testing.T) {
	ones, twos := &opener{}, &opener{}
	one, two := target("1", 4), target("2", 4)
	one.Open, two.Open = ones, twos
	r := newRouter(t, Model{Name: "m", Versions: []Version{{Name: "1", Weight: 3, Target: one}, {Name: "2", Weight: 1, Target: two}}})
	m := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
	for i := range 400 {
		c := ask(t, r, m)
		var err error
		if i%2 == 0 {
			err = r.Submit(c, nil)
		} else {
			err = r.Open(c.OpenStream(nil))
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
	first := one.Next.(*next).calls.Load() + ones.opened.Load()
	if first < 299 || first > 301 || ones.opened.Load()+twos.opened.Load() != 200 {
		t.Errorf("%d of 400 went to version 1, want 300 of both kinds together", first)
	}
}

func TestADeadlineEndsAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := infer.NewExpiry()
		defer x.Close()
		one := target("1", 4)
		one.Open = &opener{hold: true}
		r := New(x)
		r.Swap(mustTable(t, r, infer.NewGeneration(1, ""), Model{Name: "m", Versions: []Version{{Name: "1", Weight: 1, Target: one}}}))
		m := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
		c := ask(t, r, m)
		c.Deadline = infer.Now() + int64(50*time.Millisecond)
		c.Then(infer.RoleEdge, &waker{})
		s := c.OpenStream(nil)
		if err := r.Open(s); err != nil {
			t.Fatal(err)
		}
		<-c.Woken()
		if c.Error != infer.ErrExpiredInFlight {
			t.Errorf("ended with %v", c.Error)
		}
		if s.End(nil, nil) {
			t.Error("its end came first")
		}
		c.Release()
		if err := m.Check(); err != nil {
			t.Error(err)
		}
	})
}

// waker wakes who waits for the call.
type waker struct{}

func (waker) Done(c *infer.Call, _ *infer.Burst) { c.Wake() }
