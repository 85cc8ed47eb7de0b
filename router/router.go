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
	c.Target = pick(c.Request.Route)
	// A burst's clock may be older than a request that came in it.
	now := b.Clock()
	if d := c.Stamps.Decoded; d != 0 {
		now = max(now, d)
	}
	c.Stamps.Queued = now
	deadline := c.Deadline
	if deadline == 0 {
		return c.Target.Next.Submit(c, b)
	}
	if deadline <= c.Stamps.Queued {
		return infer.ErrExpiredAtDoor
	}
	epoch := c.Epoch()
	c.Expiry = r.expiry
	if err := c.Target.Next.Submit(c, b); err != nil {
		return err
	}
	// The call may be done and somebody else's by now: the epoch tells.
	r.expiry.Add(c, epoch, deadline)
	return nil
}

func pick(route *infer.Route) *infer.Target {
	if len(route.Targets) == 1 {
		return route.Targets[0]
	}
	return route.Targets[route.Policy.(*split).pick()]
}
