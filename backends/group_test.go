package backends

import (
	"testing"

	"github.com/sluice-serving/sluice/infer"
)

// runner is a Runner that is told of aborts and runs nothing.
type runner struct{ aborted *infer.Batch }

func (*runner) Run(*infer.Batch, *infer.Burst) error { return nil }
func (r *runner) Abort(b *infer.Batch)               { r.aborted = b }

func mustAdd(t *testing.T, g *Group, o EndpointOptions) *Endpoint {
	t.Helper()
	if o.Runner == nil {
		o.Runner = &runner{}
	}
	e, err := g.Add(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTryAcquireTakesTheLeastBusyForItsSize(t *testing.T) {
	g := NewGroup()
	mustAdd(t, g, EndpointOptions{Name: "small", Slots: 1})
	mustAdd(t, g, EndpointOptions{Name: "large", Slots: 3})
	var slots []infer.Slot
	for range 4 {
		s, ok := g.TryAcquire(nil)
		if !ok {
			t.Fatal("no slot although there is one")
		}
		slots = append(slots, s)
	}
	if s, ok := g.TryAcquire(nil); ok {
		t.Fatalf("a fifth slot of four at %v", s.Endpoint)
	}
	for _, s := range g.Status() {
		if s.Busy != s.Slots {
			t.Errorf("%s has %d of %d slots busy", s.Name, s.Busy, s.Slots)
		}
	}
	for _, s := range slots {
		g.Release(s)
	}
	if _, ok := g.TryAcquire(nil); !ok {
		t.Error("no slot after all were released")
	}
}

func TestTryAcquireAsksWhoServesAndWhoDrains(t *testing.T) {
	g := NewGroup()
	m := &infer.Model{Name: "m"}
	rooms := 0
	g.OnRoom(func() { rooms++ })
	mustAdd(t, g, EndpointOptions{Name: "a", Slots: 8, Serves: func(o *infer.Model) bool { return o != m }})
	mustAdd(t, g, EndpointOptions{Name: "b", Slots: 1})
	if rooms != 2 {
		t.Errorf("told of room %d times, want 2", rooms)
	}
	if !g.SetDraining("b", true) || g.SetDraining("c", true) {
		t.Error("SetDraining found the wrong endpoints")
	}
	if s, ok := g.TryAcquire(m); !ok || s.Endpoint != nil || !g.Drained(m) {
		t.Errorf("%+v, %v where all endpoints are drained: want a slot nowhere", s, ok)
	} else if s.Runner != (nowhere{infer.ErrDrained}) {
		t.Errorf("what runs nowhere ends with %v", s.Runner)
	} else {
		g.Release(s)
	}
	if _, ok := g.TryAcquire(&infer.Model{}); !ok || g.Drained(&infer.Model{}) {
		t.Error("another model has no slot, though an endpoint serves it")
	}
	g.SetDraining("b", false)
	if rooms != 4 {
		t.Errorf("told of room %d times after undraining, want 4", rooms)
	}
	s, ok := g.TryAcquire(m)
	if !ok || s.Endpoint.(*Endpoint).opts.Name != "b" {
		t.Fatalf("slot %v, %v", s, ok)
	}
	g.Remove(s.Endpoint.(*Endpoint))
	g.Release(s)
	if _, ok := g.TryAcquire(m); ok {
		t.Error("a slot at a removed endpoint")
	}
}

func TestAddRefusesWhatCannotBe(t *testing.T) {
	g := NewGroup()
	r := &runner{}
	mustAdd(t, g, EndpointOptions{Name: "a", Slots: 1})
	for _, o := range []EndpointOptions{
		{Runner: r, Slots: 1}, {Name: "b", Slots: 1}, {Name: "b", Runner: r}, {Name: "a", Runner: r, Slots: 1},
	} {
		if _, err := g.Add(o); err == nil {
			t.Errorf("Add(%+v) accepted", o)
		}
	}
}

func TestReleasingTwiceIsABug(t *testing.T) {
	g := NewGroup()
	mustAdd(t, g, EndpointOptions{Name: "a", Slots: 1})
	s, _ := g.TryAcquire(nil)
	g.Release(s)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	g.Release(s)
}

func TestAbortReachesTheRunner(t *testing.T) {
	g := NewGroup()
	r := &runner{}
	mustAdd(t, g, EndpointOptions{Name: "a", Slots: 1, Runner: r})
	s, _ := g.TryAcquire(nil)
	b := &infer.Batch{Slot: s}
	g.Abort(b)
	if r.aborted != b {
		t.Error("the runner was not told")
	}
}

func TestAcquireDoesNotAllocate(t *testing.T) {
	g := NewGroup()
	mustAdd(t, g, EndpointOptions{Name: "a", Slots: 1})
	if n := testing.AllocsPerRun(100, func() {
		s, _ := g.TryAcquire(nil)
		g.Release(s)
	}); n != 0 {
		t.Errorf("%v allocations a slot", n)
	}
}
