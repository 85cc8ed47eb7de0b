package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/admin"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/router"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/telemetry"
)

// Options configures a Gateway.
type Options struct {
	// Sources is where the configuration comes from.
	Sources config.Sources
	// Kinds are the kinds of pools that there are: [Kinds] in the product.
	Kinds []Kind
	// ReadyFile, if set, is written once the gateway is ready, with the bound addresses as JSON.
	ReadyFile string
	// Build says what is running.
	Build telemetry.Build
}

// Gateway is a running data plane.
type Gateway struct {
	// Immutable after New.
	opts    Options
	kinds   []config.Kind
	log     *telemetry.Log
	logger  *zap.Logger
	started time.Time
	memory  *infer.Memory
	expiry  *infer.Expiry
	router  *router.Router
	metrics *metrics
	pools   *pools
	lanes   *laneSet
	ports   *ports

	poke    chan struct{} // one slot: a pool's models have changed
	changes chan change   // what operators ask for, taken up by the loop
	ready   chan struct{} // closed when the gateway is ready for the first time

	current  atomic.Pointer[generation]
	token    atomic.Pointer[admin.Token]
	draining atomic.Bool
	edges    infer.Notifier // told of what changes for them

	// Owned by the loop.
	nextID  uint64
	watcher *config.Watcher
	told    map[versionKey]versionState // what was last logged of each version
	hidden  []hiddenModel               // of which was last logged that they are

	retiring sync.WaitGroup
	giveUp   chan struct{} // closed when the grace is over: retired generations are dropped as they are
	graceEnd time.Time     // when a drain is to be over; written by who runs

	mu struct {
		sync.Mutex
		reload *admin.ReloadStatus
		old    map[*generation]struct{}
	}
}

// New reads the configuration and opens the listeners; Run serves. An error that is a [config.Errors] is the
// configuration's fault.
func New(opts Options, log *telemetry.Log) (*Gateway, error) {
	g := &Gateway{
		opts: opts, log: log, logger: log.Logger(), started: time.Now(),
		poke: make(chan struct{}, 1), changes: make(chan change), ready: make(chan struct{}),
		giveUp: make(chan struct{}), told: map[versionKey]versionState{},
	}
	g.mu.old = map[*generation]struct{}{}
	for _, k := range opts.Kinds {
		g.kinds = append(g.kinds, k.Config)
	}
	cfg, err := config.Load(opts.Sources, g.kinds)
	if err != nil {
		return nil, err
	}
	token, err := readToken(cfg)
	if err != nil {
		return nil, err
	}
	g.token.Store(token)
	budget := slab.NewBudget(byteLimit(cfg))
	g.memory = infer.NewMemory(slab.NewPool(slab.Options{}, budget))
	g.metrics = newMetrics(opts.Build, g)
	log.Register(g.metrics.registry)
	if g.ports, err = newPorts(g); err != nil {
		return nil, err
	}
	g.expiry = infer.NewExpiry()
	g.router = router.New(g.expiry)
	g.pools = newPools(opts.Kinds, Env{Memory: g.memory, Upstream: g.metrics.upstream, Log: g.logger}, g.metrics.batching, g.changed)
	g.lanes = newLaneSet(g.pools, g.metrics.edge)
	if err := g.begin(cfg); err != nil {
		g.closeWatch()
		g.closeShared()
		return nil, err
	}
	return g, nil
}

// begin opens the listeners and puts the first generation in force.
func (g *Gateway) begin(cfg *config.Config) error {
	staged, err := g.ports.stage(cfg)
	if err != nil {
		return err
	}
	// Now that the ports are this process's, so is the file.
	if err := clearReadyFile(g.opts.ReadyFile); err != nil {
		staged.abandon()
		return err
	}
	if files := cfg.Files(); len(files) > 0 {
		w, err := config.Watch(files, config.WatchOptions{})
		if err != nil {
			g.logger.Warn("changes of the configuration file will not be noticed", zap.Error(err))
		}
		g.watcher = w
	}
	g.nextID++
	gen, err := g.build(context.Background(), cfg, g.nextID) //nolint:forbidigo // the first one has nobody to stop it
	if err != nil {
		staged.abandon()
		return err
	}
	g.swap(gen)
	staged.commit(cfg)
	if gen.shut() != nil {
		g.logger.Error("nothing can be served, and the gateway is not ready, until a reload opens a pool")
	}
	return nil
}

// Memory is where the gateway's requests live, for whoever drives it without a wire.
func (g *Gateway) Memory() *infer.Memory { return g.memory }

// Front is the gateway as an edge sees it.
func (g *Gateway) Front() infer.Front {
	return infer.Front{
		Lookup:   g.router.Lookup,
		Submit:   g.router.Submit,
		Open:     g.router.Open,
		Versions: func() []infer.VersionStatus { return g.current.Load().statuses() },
		Ready:    g.isReady,
		Changed:  g.edges.Changed,
	}
}

// Ready is closed when the gateway is ready for the first time, and the ready file is written.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

// Addresses are the bound addresses by purpose: http, metrics, admin.
func (g *Gateway) Addresses() map[string]string { return g.ports.addresses() }

// isReady tells whether balancers may send requests. Once it is so, a version that comes later does not change it: it
// gets no requests before it is loaded. It is not so where no pool could be opened: a rollout of what can never answer
// would replace what does.
func (g *Gateway) isReady() bool {
	if g.draining.Load() {
		return false
	}
	select {
	case <-g.ready:
		return true
	default:
		gen := g.current.Load()
		return gen.shut() == nil && gen.settled()
	}
}

// changed notes that a pool's models have changed.
func (g *Gateway) changed() {
	select {
	case g.poke <- struct{}{}:
	default:
	}
}

// swap puts a generation in force and retires the one before.
func (g *Gateway) swap(gen *generation) {
	old := g.current.Swap(gen)
	retired := g.router.Swap(gen.table)
	g.memory.Slabs.Budget().SetLimit(byteLimit(gen.cfg))
	g.edges.Notify()
	g.tell(gen)
	if old == nil {
		return
	}
	if retired != old.Generation {
		panic("BUG: gateway: the router had another generation in force")
	}
	g.mu.Lock()
	g.mu.old[old] = struct{}{}
	g.mu.Unlock()
	g.retiring.Go(func() { g.retire(old) })
}

// retire waits until nobody holds a generation and gives back what it holds.
func (g *Gateway) retire(old *generation) {
	old.Retire(g.giveUp)
	g.drop(old)
	g.mu.Lock()
	delete(g.mu.old, old)
	g.mu.Unlock()
}

// Run serves until ctx is done or a signal says so, and returns after everything has ended. SIGHUP reloads.
// SIGTERM drains; SIGINT, and the end of ctx, drain without the delay; a second one of them ends at once, with
// an error.
func (g *Gateway) Run(ctx context.Context, signals <-chan os.Signal) error {
	loopCtx, stopLoop := context.WithCancel(ctx)
	var loop sync.WaitGroup
	loop.Go(func() { g.loop(loopCtx) })
	g.ports.serve()
	err := g.wait(ctx, signals)
	stopLoop()
	loop.Wait()
	g.closeAll()
	return err
}

// loop takes up changes one by one.
func (g *Gateway) loop(ctx context.Context) {
	var fileChanged <-chan struct{}
	if g.watcher != nil {
		fileChanged = g.watcher.Changed()
	}
	pace := newPace()
	defer pace.stop()
	g.announce()
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-g.changes:
			c.done <- c.do(ctx)
		case <-fileChanged:
			// The outcome is logged and kept; there is nobody to tell.
			_, _ = g.reload(ctx)
		case <-g.poke:
			pace.poked()
		case <-pace.due():
			start := time.Now()
			g.refresh(ctx)
			pace.took(time.Since(start))
		}
		g.announce()
	}
}

// refresh makes a new generation of the same configuration, because a pool's models have changed.
func (g *Gateway) refresh(ctx context.Context) {
	g.nextID++
	gen, err := g.build(ctx, g.current.Load().cfg, g.nextID)
	if err != nil {
		g.logger.Error("the models cannot be brought up to date", zap.Error(err))
		return
	}
	g.swap(gen)
}

// announce tells once that the gateway is ready.
func (g *Gateway) announce() {
	select {
	case <-g.ready:
		return
	default:
	}
	if !g.isReady() {
		return
	}
	defer close(g.ready) // behind the file, which who waits for it may read
	addresses := g.ports.addresses()
	g.logger.Info("ready", zap.Any("listening", addresses), zap.Duration("after", time.Since(g.started)))
	if g.opts.ReadyFile == "" {
		return
	}
	if err := writeReadyFile(g.opts.ReadyFile, addresses); err != nil {
		g.logger.Error("cannot write the ready file", zap.Error(err))
	}
}

// closeAll ends what is left after the ports are closed.
func (g *Gateway) closeAll() {
	close(g.giveUp)
	// What still runs at servers has nobody who waits for it: it has what is left of the grace to end.
	defer time.AfterFunc(time.Until(g.graceEnd), g.pools.end).Stop()
	g.closeWatch()
	last := g.current.Load()
	last.Retire(g.giveUp)
	g.drop(last)
	g.retiring.Wait()
	g.closeShared()
}

func (g *Gateway) closeWatch() {
	if g.watcher == nil {
		return
	}
	if err := g.watcher.Close(); err != nil {
		g.logger.Warn("closing the watch of the configuration", zap.Error(err))
	}
}

func (g *Gateway) closeShared() {
	g.pools.close()
	g.expiry.Close()
}

// errEnded says that a second signal cut the drain short.
var errEnded = errors.New("a second signal ended it before the drain was over")

// readToken reads the admin token that cfg names, nil if it names none.
func readToken(cfg *config.Config) (*admin.Token, error) {
	if cfg.Listen.Admin.Token == "" {
		return nil, nil
	}
	t, err := admin.ReadToken(cfg.Listen.Admin.Token)
	if err != nil {
		return nil, fmt.Errorf("listen.admin.token: %w", err)
	}
	return t, nil
}
