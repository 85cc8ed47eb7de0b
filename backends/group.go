package backends

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sluice-serving/sluice/infer"
)

// Aborter is a Runner that can make use of knowing that nobody waits for a batch any more.
type Aborter interface {
	// Abort never blocks, and may race the end of the batch.
	Abort(*infer.Batch)
}

// EndpointOptions describes an endpoint.
type EndpointOptions struct {
	// Name is the endpoint's name among those of its group, for instance cpu or 10.0.0.5:8001.
	Name string
	// Runner runs batches there.
	Runner infer.Runner
	// Slots is how many batches may be outstanding there. More keeps the endpoint busy over the time that a
	// batch travels, and lets batches queue where they can no longer grow.
	Slots int
	// Serves tells whether the endpoint can run a model; nil: every model of the group. It is called under
	// the scheduler's lock and must only look.
	Serves func(*infer.Model) bool
}

// Validate names the first setting that makes no sense.
func (o *EndpointOptions) Validate() error {
	switch {
	case o.Name == "":
		return fmt.Errorf("endpoint without a name")
	case o.Runner == nil:
		return fmt.Errorf("endpoint %q without a runner", o.Name)
	case o.Slots < 1:
		return fmt.Errorf("endpoint %q: slots %d: want at least 1", o.Name, o.Slots)
	}
	return nil
}

// Endpoint is one place where batches run.
type Endpoint struct {
	// Immutable.
	opts EndpointOptions

	// Guarded by the group's lock.
	busy     int
	runs     int64 // slots given since the start
	draining bool
}

// Group is a set of endpoints that share a scheduler. It implements [infer.Slots].
type Group struct {
	mu struct {
		sync.Mutex
		endpoints []*Endpoint
		next      int // where the next scan starts, so that equals take turns
	}
	onRoom atomic.Pointer[func()]
}

// NewGroup returns a group without endpoints.
func NewGroup() *Group { return &Group{} }

// Add puts an endpoint into the group.
func (g *Group) Add(opts EndpointOptions) (*Endpoint, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	e := &Endpoint{opts: opts}
	g.mu.Lock()
	if slices.ContainsFunc(g.mu.endpoints, func(o *Endpoint) bool { return o.opts.Name == opts.Name }) {
		g.mu.Unlock()
		return nil, fmt.Errorf("endpoint %q is there twice", opts.Name)
	}
	g.mu.endpoints = append(g.mu.endpoints, e)
	g.mu.Unlock()
	g.Room()
	return e, nil
}

// Remove takes an endpoint out. Batches that run there end as they would; their slots go nowhere.
func (g *Group) Remove(e *Endpoint) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.endpoints = slices.DeleteFunc(g.mu.endpoints, func(o *Endpoint) bool { return o == e })
}

// SetDraining lets an endpoint take no new batches, or take them again. It tells whether there is one of
// that name.
func (g *Group) SetDraining(name string, draining bool) bool {
	g.mu.Lock()
	i := slices.IndexFunc(g.mu.endpoints, func(o *Endpoint) bool { return o.opts.Name == name })
	if i >= 0 {
		g.mu.endpoints[i].draining = draining
	}
	g.mu.Unlock()
	if i >= 0 {
		g.Room() // those that wait for this endpoint alone are to be told, too
	}
	return i >= 0
}

// TryAcquire returns a slot at the endpoint that serves m and is the least busy for its size.
func (g *Group) TryAcquire(m *infer.Model) (infer.Slot, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.mu.endpoints)
	var best *Endpoint
	drained, takes := false, false
	for i := range n {
		e := g.mu.endpoints[(g.mu.next+i)%n]
		if !e.serves(m) {
			continue
		}
		drained, takes = drained || e.draining, takes || !e.draining
		if e.busy >= e.opts.Slots || e.draining {
			continue
		}
		// busy/slots compared crosswise, without a division.
		if best == nil || e.busy*best.opts.Slots < best.busy*e.opts.Slots {
			best = e
		}
	}
	switch {
	case best != nil:
	case drained && !takes:
		return infer.Slot{Runner: nowhere{infer.ErrDrained}}, true // nobody is to wait for an operator
	default:
		return infer.Slot{}, false
	}
	g.mu.next++
	best.busy++
	best.runs++
	return infer.Slot{Runner: best.opts.Runner, Endpoint: best}, true
}

// serves tells whether the endpoint can run a model.
func (e *Endpoint) serves(m *infer.Model) bool { return e.opts.Serves == nil || e.opts.Serves(m) }

// Drained tells whether a model has endpoints, and all of them are drained.
func (g *Group) Drained(m *infer.Model) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	drained := false
	for _, e := range g.mu.endpoints {
		if !e.serves(m) {
			continue
		}
		if !e.draining {
			return false
		}
		drained = true
	}
	return drained
}

// Release gives a slot back.
func (g *Group) Release(s infer.Slot) {
	e, _ := s.Endpoint.(*Endpoint)
	if e == nil {
		return // nowhere
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	e.busy--
	if e.busy < 0 {
		panic("BUG: backends: slot released twice")
	}
}

// Abort tells the batch's runner, if it can make use of that, that nobody waits for the batch.
func (g *Group) Abort(b *infer.Batch) { abort(b) }

// OnRoom sets what is called when room appears that no Release made.
func (g *Group) OnRoom(f func()) { g.onRoom.Store(&f) }

// Room tells that there may be room: an endpoint came back, a model was loaded.
func (g *Group) Room() {
	if f := g.onRoom.Load(); f != nil {
		(*f)()
	}
}

// EndpointStatus is how an endpoint stands.
type EndpointStatus struct {
	Name      string
	Slots     int
	Busy      int
	Batches   int64 // since the start
	Failures  int64 // among them
	InFlight  int64 // rows
	Draining  bool
	Unhealthy bool
	Panic     bool   // it is asked all the same: nobody else takes some of its versions
	Reason    string // why it is unhealthy, or what is wrong there
	// Versions is where each model version stands at a server elsewhere.
	Versions []VersionAt
}

// VersionAt is where a model version stands at a server, by what the server says. It is immutable.
type VersionAt struct {
	Model, Version string
	State          infer.State
	Reason         string // why it gets no requests there
}

// Status returns how the endpoints stand, in the order in which they were added.
func (g *Group) Status() []EndpointStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]EndpointStatus, 0, len(g.mu.endpoints))
	for _, e := range g.mu.endpoints {
		all = append(all, EndpointStatus{
			Name: e.opts.Name, Slots: e.opts.Slots, Busy: e.busy, Batches: e.runs, Draining: e.draining,
		})
	}
	return all
}
