package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/wire/h1/h1client"
	"github.com/sluice-serving/sluice/wire/h2/h2client"
)

// Pool is servers that serve the same models. It implements [infer.Catalog].
type Pool struct {
	// Immutable after New.
	opts   Options
	log    *zap.Logger
	memory *infer.Memory
	fleet  *backends.Fleet
	names  []*name

	attempts sync.Pool
	streams  sync.Pool
	bursts   sync.Pool      // what answers over REST are finished in
	encoding sync.WaitGroup // what is written as text and long
	pauses   pauses         // of runs that nobody waits for
	hints    atomic.Uint32

	changed chan struct{} // one slot: what List tells has changed
	due     chan struct{} // one slot: a look has news
	found   chan found
	closed  chan struct{} // closed when the goroutine that merges has ended

	refresh  chan struct{}         // one slot: somebody thinks that looks are due
	censuses chan chan []*endpoint // who wants the endpoints, once what they saw is merged

	looked  sync.WaitGroup // names and endpoints that were not looked at yet
	first   chan struct{}  // closed when all were that there were at the start
	stop    context.CancelFunc
	running sync.WaitGroup

	// Endpoints that are gone end what runs there until it is to be hurried.
	leaving sync.WaitGroup
	hurried context.Context
	hurry   context.CancelFunc

	list atomic.Pointer[listing]

	// Owned by the goroutine that merges, once it runs.
	endpoints []*endpoint
	versions  map[id]*version
	odd       map[*endpoint]string // who describes a version otherwise than others
	panicking map[*endpoint]int    // how many versions are asked for at an endpoint as a last resort
	panics    bool                 // there was one when it was told last
}

// listing is what List tells.
type listing struct {
	versions []infer.VersionStatus
	err      error
	nameless []backends.EndpointStatus // names behind which no endpoint has been found
}

// version is a version of the pool.
type version struct {
	desc   *Description
	model  *infer.Model
	handle *backends.Version
}

// New starts to look at the endpoints. It does not wait for them.
func New(opts Options, memory *infer.Memory, metrics *backends.Metrics, log *zap.Logger) (*Pool, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	p := &Pool{
		opts: opts, log: log, memory: memory, fleet: backends.NewFleet(opts.Name, metrics),
		changed: make(chan struct{}, 1), due: make(chan struct{}, 1), found: make(chan found), first: make(chan struct{}),
		closed: make(chan struct{}), censuses: make(chan chan []*endpoint), refresh: make(chan struct{}, 1),
		versions: map[id]*version{}, odd: map[*endpoint]string{},
	}
	p.list.Store(&listing{err: errUnknown})
	p.attempts.New = func() any { return newAttempt(p) }
	p.streams.New = func() any { return newOpened(p) }
	p.bursts.New = func() any { return new(infer.Burst) }
	p.hurried, p.hurry = context.WithCancel(context.Background()) //nolint:forbidigo // ended by Close
	ctx, stop := context.WithCancel(context.Background())         //nolint:forbidigo // the life of the pool, ended by Close
	p.stop = stop
	if err := p.open(); err != nil {
		_ = p.Close(p.hurried) // nothing runs there yet
		return nil, err
	}
	p.looked.Add(len(p.names))
	for _, e := range p.endpoints {
		p.begin(ctx, e, true)
	}
	for _, n := range p.names {
		p.running.Go(func() { p.follow(ctx, n) })
	}
	p.running.Go(func() { p.mergeAll(ctx) })
	return p, nil
}

// open makes the endpoints that have addresses, and the names of others.
func (p *Pool) open() error {
	for _, address := range p.opts.Endpoints {
		n, ok, err := parseName(address)
		switch {
		case err != nil:
			return fmt.Errorf("endpoint %s: %w", address, err)
		case ok:
			p.names = append(p.names, n)
			continue
		}
		if _, err := p.add(address, ""); err != nil {
			return err
		}
	}
	return nil
}

// add makes an endpoint; authority is what its calls name, empty for its address.
func (p *Pool) add(address, authority string) (*endpoint, error) {
	e := &endpoint{
		pool: p, address: address, poke: make(chan struct{}, 1),
		wanted: make(chan chan struct{}), left: make(chan struct{}),
	}
	e.pulse.HealthyAfter, e.pulse.UnhealthyAfter = p.opts.HealthyAfter, p.opts.UnhealthyAfter
	var err error
	if e.client, err = p.connect(address, authority); err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", address, err)
	}
	if e.remote, err = p.fleet.Add(address, e); err != nil {
		e.client.close(p.hurried)
		return nil, err
	}
	p.endpoints = append(p.endpoints, e)
	return e, nil
}

// connect returns a client of a server, which connects with its first call.
func (p *Pool) connect(address, authority string) (c client, err error) {
	if p.opts.Dialect.REST != nil {
		opts := h1client.Options{
			Address: address, Host: authority, TLS: p.opts.TLS, MaxConnections: p.opts.Connections, MaxBody: p.opts.MaxAnswer,
		}
		if c.rest, err = h1client.New(opts, p.memory.Slabs, p.log); err != nil {
			return c, err
		}
		opts.MaxConnections = describers
		c.looks, err = h1client.New(opts, p.memory.Slabs, p.log)
		return c, err
	}
	c.grpc, err = h2client.New(h2client.Options{
		Address: address, Authority: authority, TLS: p.opts.TLS, MaxConnections: p.opts.Connections, MaxMessage: p.opts.MaxAnswer,
		Connect: func(*h2client.Conn) h2client.Drainer { return &answers{} },
	}, p.memory.Slabs, p.log)
	return c, err
}

// begin starts to look at an endpoint. List waits for the first look if it is counted, which is only for those
// that there are at the start: the count must not rise again from zero.
func (p *Pool) begin(ctx context.Context, e *endpoint, counted bool) {
	ctx, e.stop = context.WithCancel(ctx)
	looked := func() {}
	if counted {
		p.looked.Add(1)
		looked = sync.OnceFunc(p.looked.Done)
	}
	p.running.Go(func() { e.watch(ctx, looked) })
}

// Close ends the looks, waits for what runs as long as ctx allows, and fails the rest.
func (p *Pool) Close(ctx context.Context) error {
	p.stop()
	p.running.Wait()
	p.encoding.Wait()
	for _, e := range p.endpoints {
		p.leaving.Go(func() { e.client.close(ctx) })
	}
	defer context.AfterFunc(ctx, p.hurry)()
	p.leaving.Wait()
	p.encoding.Wait() // of what went on meanwhile
	p.pauses.close()
	p.hurry()
	p.fleet.Close()
	return ctx.Err()
}

// Fleet is where the pool's slots are, and its direct way.
func (p *Pool) Fleet() *backends.Fleet { return p.fleet }

// Refresh has the endpoints looked at soon.
func (p *Pool) Refresh() {
	select {
	case p.refresh <- struct{}{}:
	default:
	}
}

// Changed yields after something that List tells has changed.
func (p *Pool) Changed() <-chan struct{} { return p.changed }

// Direct returns the way of a model of the pool whose requests never merge, nil for others.
func (p *Pool) Direct(m *infer.Model) infer.Submitter {
	if !m.Alone {
		return nil
	}
	return p.fleet.Direct(m)
}

// errUnknown says that no look has ended yet.
var errUnknown = errors.New("no endpoint has answered yet")

// List implements [infer.Catalog]. It waits until every endpoint was looked at once, and fails if none has
// answered ever.
func (p *Pool) List(ctx context.Context) ([]infer.VersionStatus, error) {
	select {
	case <-p.first:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l := p.list.Load()
	return l.versions, l.err
}

// Status returns what there is to say of the endpoints: those of the fleet, and names that stand for none.
func (p *Pool) Status() []backends.EndpointStatus {
	return append(p.fleet.Status(), p.list.Load().nameless...)
}

// Describe implements [infer.Catalog].
func (p *Pool) Describe(ctx context.Context, name, number string) (*infer.Model, error) {
	all, err := p.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if s := &all[i]; s.Name == name && s.Version == number {
			if s.State != infer.Ready {
				return nil, infer.Errorf(infer.NotReady, "version %.32q of model %.128q is not ready", number, name)
			}
			return s.Model, nil
		}
	}
	return nil, infer.Errorf(infer.UnknownVersion, "the pool has no version %.32q of model %.128q", number, name)
}

// Ready implements [infer.Catalog].
func (p *Pool) Ready(ctx context.Context, name, number string) (bool, error) {
	m, err := p.Describe(ctx, name, number)
	var why *infer.Error
	if errors.As(err, &why) {
		return false, nil
	}
	return m != nil, err
}

// compareIDs orders by name, then by version, numbers by their value.
func compareIDs(a, b id) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	x, errX := strconv.ParseUint(a.version, 10, 64)
	y, errY := strconv.ParseUint(b.version, 10, 64)
	if errX == nil && errY == nil && x != y {
		return cmp.Compare(x, y)
	}
	return strings.Compare(a.version, b.version)
}

// sortedIDs returns the versions that any report has.
func sortedIDs(reports []*report) []id {
	var all []id
	for _, r := range reports {
		if r == nil {
			continue
		}
		for key := range r.versions {
			all = append(all, key)
		}
	}
	slices.SortFunc(all, compareIDs)
	return slices.Compact(all)
}
