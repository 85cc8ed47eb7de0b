package router

import (
	"sync"
	"sync/atomic"

	"github.com/sluice-serving/sluice/infer"
)

// Router routes by the table in force. It is older than any generation.
type Router struct {
	// Immutable after New.
	expiry *infer.Expiry

	table atomic.Pointer[Table]

	mu struct {
		sync.Mutex
		counts map[string]*atomic.Uint64
	}
}

// New returns a router that knows no model and arms deadlines with expiry.
func New(expiry *infer.Expiry) *Router {
	r := &Router{expiry: expiry}
	r.mu.counts = make(map[string]*atomic.Uint64)
	r.table.Store(&Table{gen: infer.NewGeneration(0, "")})
	return r
}

// Count returns the split counter of a model, the same one for every table.
func (r *Router) Count(name string) *atomic.Uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.mu.counts[name]
	if c == nil {
		c = new(atomic.Uint64)
		r.mu.counts[name] = c
	}
	return c
}

// Swap publishes a table and returns the generation of the one before, which the caller retires.
func (r *Router) Swap(t *Table) *infer.Generation { return r.table.Swap(t).gen }

// Lookup finds the route of a query and holds its generation. The error is an [*infer.Error].
func (r *Router) Lookup(q *infer.Query) (*infer.Route, error) {
	for {
		t := r.table.Load()
		route, err := t.lookup(q)
		if err != nil {
			return nil, err
		}
		if hold, ok := t.gen.Acquire(q.Spread); ok {
			q.Hold = hold
			return route, nil
		}
		// Retired between the load and the mark: the next table is in force.
	}
}

// Submit picks a target and hands the call on. The error is an [*infer.Error].
func (r *Router) Submit(c *infer.Call, b *infer.Burst) error {
	if err := r.route(c, b.Clock()); err != nil {
		return err
	}
	epoch, deadline := c.Epoch(), c.Deadline
	if err := c.Target.Next.Submit(c, b); err != nil {
		return err
	}
	r.arm(c, epoch, deadline)
	return nil
}

// Open picks a target and hands the stream on. The error is an [*infer.Error].
func (r *Router) Open(s *infer.Stream) error {
	c := s.Call
	if err := r.route(c, infer.Now()); err != nil {
		return err
	}
	if c.Target.Open == nil {
		return infer.ErrNoStreams
	}
	epoch, deadline := c.Epoch(), c.Deadline
	if err := c.Target.Open.Open(s); err != nil {
		return err
	}
	r.arm(c, epoch, deadline)
	return nil
}

// route picks the call's target, and refuses what has expired.
func (r *Router) route(c *infer.Call, now int64) error {
	c.Target = pick(c.Request.Route)
	// A burst's clock may be older than a request that came in it.
	if d := c.Stamps.Decoded; d != 0 {
		now = max(now, d)
	}
	c.Stamps.Queued = now
	if c.Deadline == 0 {
		return nil
	}
	if c.Deadline <= c.Stamps.Queued {
		return infer.ErrExpiredAtDoor
	}
	c.Expiry = r.expiry
	return nil
}

// arm arms the deadline of a call that was accepted. It may be done and somebody else's by now: the epoch tells.
func (r *Router) arm(c *infer.Call, epoch uint64, deadline int64) {
	if deadline != 0 {
		r.expiry.Add(c, epoch, deadline)
	}
}

func pick(route *infer.Route) *infer.Target {
	if len(route.Targets) == 1 {
		return route.Targets[0]
	}
	return route.Targets[route.Policy.(*split).pick()]
}
