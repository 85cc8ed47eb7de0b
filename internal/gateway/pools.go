package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/batching"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
)

// openPool is a pool by identity: it lives as long as a generation names it.
type openPool struct {
	key  string
	pool *backends.Pool // nil where opening failed
	err  error
	refs int // generations; guarded by pools.mu

	stop chan struct{} // ends the goroutine that forwards changes
	done chan struct{}
}

// elsewhere tells whether the pool's models run in servers, and not in this process.
func (o *openPool) elsewhere() bool { return o.pool != nil && o.pool.Endpoints != nil }

// pools holds what outlives generations by identity: pools, and one scheduler for each set of slots.
type pools struct {
	// Immutable after newPools.
	hosts   map[string]Host
	metrics *batching.Metrics
	log     *zap.Logger
	poke    func() // a pool's models have changed
	life    context.Context
	end     context.CancelFunc // has pools that close wait for their last runs no longer

	mu struct {
		sync.Mutex
		open   map[string]*openPool
		groups map[infer.Slots]*batching.Group
	}
}

func newPools(kinds []Kind, env Env, metrics *batching.Metrics, poke func()) *pools {
	p := &pools{hosts: map[string]Host{}, metrics: metrics, log: env.Log, poke: poke}
	p.life, p.end = context.WithCancel(context.Background()) //nolint:forbidigo // ended by close, or before it
	p.mu.open = map[string]*openPool{}
	p.mu.groups = map[infer.Slots]*batching.Group{}
	for _, k := range kinds {
		p.hosts[k.Config.Name] = k.Start(env)
	}
	return p
}

// acquire returns the pool that c describes, opened if no generation has it yet. It never fails: a pool that
// cannot be opened is kept with its error, and keeps no other from serving. A pool that failed is tried again.
func (p *pools) acquire(c *config.Pool) *openPool {
	host := p.hosts[c.Kind]
	key := c.Kind + " " + host.Key(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.mu.open[key]; o != nil && o.err == nil {
		o.refs++
		return o
	}
	o := &openPool{key: key, refs: 1, stop: make(chan struct{}), done: make(chan struct{})}
	if o.pool, o.err = host.Open(c); o.err != nil {
		p.log.Error("a pool cannot be opened", zap.String("pool", c.Name), zap.Error(o.err))
		close(o.done)
		return o
	}
	p.mu.open[key] = o
	if p.mu.groups[o.pool.Slots] == nil {
		p.mu.groups[o.pool.Slots] = batching.NewGroup(o.pool.Slots, p.metrics)
	}
	go o.forward(p.poke)
	return o
}

// forward pokes for each change of the pool.
func (o *openPool) forward(poke func()) {
	defer close(o.done)
	for {
		select {
		case <-o.pool.Changed:
			poke()
		case <-o.stop:
			return
		}
	}
}

// direct returns the way of a model's requests that need no queue, nil if they need one.
func (o *openPool) direct(m *infer.Model) infer.Submitter {
	if o.pool.Direct == nil {
		return nil
	}
	return o.pool.Direct(m)
}

// group returns the scheduler of a pool's slots.
func (p *pools) group(o *openPool) *batching.Group {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.groups[o.pool.Slots]
}

// poolClose is how long the last runs of a pool may take.
const poolClose = 30 * time.Second

// release gives a pool back; the last one closes it, which waits for its last runs.
func (p *pools) release(o *openPool) {
	p.mu.Lock()
	o.refs--
	last := o.refs == 0
	if last && p.mu.open[o.key] == o {
		delete(p.mu.open, o.key)
	}
	p.mu.Unlock()
	if !last || o.pool == nil {
		return
	}
	close(o.stop)
	<-o.done
	ctx, cancel := context.WithTimeout(p.life, poolClose)
	defer cancel()
	if err := o.pool.Close(ctx); err != nil {
		p.log.Warn("a pool did not close in time", zap.Error(err))
	}
	p.closeGroup(o.pool.Slots)
}

// closeGroup ends the scheduler of slots that no open pool has. Under the lock: a new scheduler of the same slots
// is not to be made until the old one has let go of them.
func (p *pools) closeGroup(slots infer.Slots) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.mu.open {
		if o.pool.Slots == slots {
			return
		}
	}
	if g := p.mu.groups[slots]; g != nil {
		delete(p.mu.groups, slots)
		g.Close()
	}
}

// close ends the schedulers and hosts. All pools are closed.
func (p *pools) close() {
	p.end()
	p.mu.Lock()
	groups := p.mu.groups
	p.mu.groups = nil
	p.mu.Unlock()
	for _, g := range groups {
		g.Close()
	}
	for _, h := range p.hosts {
		h.Close()
	}
}

// list returns what the pool knows, or why it knows nothing.
func (o *openPool) list(ctx context.Context) ([]infer.VersionStatus, error) {
	if o.err != nil {
		return nil, o.err
	}
	all, err := o.pool.Catalog.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	return all, nil
}
