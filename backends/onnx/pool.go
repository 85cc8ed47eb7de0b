//go:build cgo

package onnx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/onnx/ort"
	"github.com/sluice-serving/sluice/infer"
)

// Pool is a repository of models and their sessions. It implements [infer.Catalog]; its devices
// are the endpoints of [Devices].
type Pool struct {
	// Immutable after New.
	opts    Options
	log     *zap.Logger
	shared  *Devices
	devices []*device

	loaders chan struct{} // one slot a core: a loader holds one
	closed  chan struct{}
	held    atomic.Bool // somebody uses Hold

	mu struct {
		sync.Mutex // never held across a load
		models     map[string]*model
		versions   int // of all models, as scanned
		closed     bool
	}
	working sync.WaitGroup // loads and unloads under way

	root os.FileInfo // of the repository when it last had models; owned by New, then by Watch
}

// model is the versions of one name.
type model struct {
	turn chan struct{} // one slot: loads and unloads of a model take turns

	// Guarded by the pool's mu.
	versions []*version // sorted
	parked   bool       // an operator has unloaded it: the watch lets it be
}

// New returns a pool whose models are known but not loaded. It loads the ONNX Runtime library into the
// process if that has not happened yet.
func New(opts Options, devices *Devices, log *zap.Logger) (*Pool, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if err := loadLibrary(opts.Library); err != nil {
		return nil, err
	}
	p := &Pool{opts: opts, log: log, shared: devices, closed: make(chan struct{})}
	p.loaders = make(chan struct{}, runtime.GOMAXPROCS(0))
	p.mu.models = map[string]*model{}
	names, err := scan(opts.Repository)
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	if len(names) > 0 {
		if p.root, err = os.Stat(opts.Repository); err != nil {
			return nil, fmt.Errorf("repository: %w", err)
		}
	}
	for _, name := range names {
		f, err := open(opts.Repository, name)
		if err != nil {
			log.Warn("model folder", zap.String("model", name), zap.Error(err))
			continue
		}
		p.register(f)
	}
	_, workers := opts.share(runtime.GOMAXPROCS(0), p.mu.versions)
	for _, name := range opts.Devices {
		n := workers
		number, _ := parseDevice(name) // checked by Validate
		if number != cpuDevice && opts.Workers == 0 {
			n = cudaWorkers
		}
		if err := ort.Probe(number); err != nil {
			return nil, err
		}
		d, err := devices.acquire(name, n)
		if err != nil {
			return nil, fmt.Errorf("device %s: %w", name, err)
		}
		if opts.Workers != 0 && opts.Workers != len(d.workers) {
			log.Warn("another pool has decided on the workers of this device", zap.String("device", name),
				zap.Int("workers", len(d.workers)), zap.Int("asked", opts.Workers))
		}
		p.devices = append(p.devices, d)
	}
	for _, m := range p.mu.models {
		for _, v := range m.versions {
			v.devices = p.devices
		}
	}
	return p, nil
}

// cudaWorkers is how many batches a CUDA device runs at a time: two overlap copies with kernels.
const cudaWorkers = 2

func loadLibrary(path string) error {
	looked := []string{path}
	if path == "" {
		path, looked = FindLibrary()
	}
	if err := ort.Load(path); err != nil {
		return fmt.Errorf("ONNX Runtime is missing: `make onnxruntime` fetches it, SLUICE_ONNXRUNTIME names one elsewhere; it takes 1.24 or later, and was looked for at %s: %w",
			strings.Join(looked, ", "), err)
	}
	return nil
}

// threadsNow returns the threads of a session that is made now: one, once there are more sessions than
// cores, whatever there were at the start.
func (p *Pool) threadsNow() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	threads, _ := p.opts.share(runtime.GOMAXPROCS(0), p.mu.versions)
	return threads
}

// register makes the versions of a folder known. The caller holds mu or is alone.
func (p *Pool) register(f folder) *model {
	m := p.mu.models[f.name]
	if m == nil {
		m = &model{turn: make(chan struct{}, 1)}
		p.mu.models[f.name] = m
	}
	for _, file := range f.versions {
		if slices.ContainsFunc(m.versions, func(v *version) bool { return v.number == file.version }) {
			continue
		}
		m.versions = append(m.versions, &version{
			name: f.name, number: file.version, devices: p.devices,
			left: make(chan struct{}), state: infer.Loading, reason: "waits to be loaded",
		})
		p.mu.versions++
	}
	slices.SortFunc(m.versions, func(a, b *version) int { return compareVersions(a.number, b.number) })
	return m
}

// Close unloads everything and returns when the last run has ended. Nothing may be submitted any more.
func (p *Pool) Close() {
	p.mu.Lock()
	if p.mu.closed {
		p.mu.Unlock()
		return
	}
	p.mu.closed = true
	close(p.closed)
	p.mu.Unlock()
	p.working.Wait()
	p.mu.Lock()
	var all []*version
	for _, m := range p.mu.models {
		all = append(all, m.versions...)
	}
	p.mu.Unlock()
	var old []*loaded
	for _, v := range all {
		old = append(old, p.settle(v, nil, infer.Unavailable, "closed"))
	}
	retire(old...)
}

var errClosed = errors.New("the pool is closed")

// begin marks work under way that Close waits for.
func (p *Pool) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return errClosed
	}
	p.working.Add(1)
	return nil
}

// List implements [infer.Catalog].
func (p *Pool) List(context.Context) ([]infer.VersionStatus, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := make([]string, 0, len(p.mu.models))
	for name := range p.mu.models {
		names = append(names, name)
	}
	slices.Sort(names)
	var list []infer.VersionStatus
	for _, name := range names {
		for _, v := range p.mu.models[name].versions {
			s := infer.VersionStatus{Name: v.name, Version: v.number, State: v.state, Reason: v.reason}
			if l := v.current.Load(); l != nil {
				s.Model = l.model.Load()
			}
			if s.State == infer.Ready && p.shared.Group().Drained(s.Model) {
				s.State, s.Reason, s.Drained = infer.Unavailable, infer.ReasonDrained, true
			}
			list = append(list, s)
		}
	}
	return list, nil
}

// find returns a version that the pool knows, or nil.
func (p *Pool) find(name, number string) *version {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.mu.models[name]; m != nil {
		for _, v := range m.versions {
			if v.number == number {
				return v
			}
		}
	}
	return nil
}

// Describe implements [infer.Catalog].
func (p *Pool) Describe(_ context.Context, name, number string) (*infer.Model, error) {
	v := p.find(name, number)
	if v == nil {
		return nil, infer.Errorf(infer.UnknownVersion, "the pool has no version %.32q of model %.128q", number, name)
	}
	l := v.current.Load()
	if l == nil {
		return nil, errUnloaded
	}
	return l.model.Load(), nil
}

// Ready implements [infer.Catalog].
func (p *Pool) Ready(_ context.Context, name, number string) (bool, error) {
	v := p.find(name, number)
	return v != nil && v.current.Load() != nil, nil
}

// LoadAll loads every model that the pool knows, as many at a time as there are cores. Versions that fail
// are kept with their reason; only ctx and Close end it early.
func (p *Pool) LoadAll(ctx context.Context) error {
	p.mu.Lock()
	names := make([]string, 0, len(p.mu.models))
	for name := range p.mu.models {
		names = append(names, name)
	}
	p.mu.Unlock()
	slices.Sort(names)
	var each sync.WaitGroup
	next := make(chan string)
	for range min(cap(p.loaders), len(names)) {
		each.Go(func() {
			for name := range next {
				_ = p.Load(ctx, name) // what fails is kept and logged by version
			}
		})
	}
	for _, name := range names {
		next <- name
	}
	close(next)
	each.Wait()
	return ctx.Err()
}

// Load implements [infer.Catalog]: it reads the model's folder again, loads versions that are new, changed
// or were not servable, and unloads those whose folder is gone. It returns an error if one of them fails;
// the others serve all the same.
func (p *Pool) Load(ctx context.Context, name string) error {
	if err := p.begin(); err != nil {
		return err
	}
	defer p.working.Done()
	m, f, err := p.enter(ctx, name)
	if err != nil {
		return err
	}
	defer func() { <-m.turn }()
	if f.missing {
		p.forget(m, f)
		return errNoModel(name)
	}
	p.mu.Lock()
	m.parked = false
	p.register(f)
	p.mu.Unlock()
	err = p.refreshAll(ctx, m, f, f.versions)
	p.forget(m, f)
	return err
}

// enter waits for the turn of a model that is known, or becomes so because the repository has its folder now, and
// reads the folder. The caller gives the turn back.
func (p *Pool) enter(ctx context.Context, name string) (*model, folder, error) {
	for {
		m, err := p.known(name)
		if err != nil {
			return nil, folder{}, err
		}
		if err := p.take(ctx, m.turn); err != nil {
			return nil, folder{}, err
		}
		if !p.current(name, m) {
			<-m.turn // it was forgotten meanwhile, and may be there again
			continue
		}
		f, err := open(p.opts.Repository, name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			f.missing = err != nil
			return m, f, nil
		}
		<-m.turn
		return nil, folder{}, &infer.Error{
			Code: infer.Invalid, Origin: infer.FromBackend, Cause: err,
			Text: "the model cannot be loaded: " + backends.PublicText(err.Error()),
		}
	}
}

// current tells whether m is still the model of that name.
func (p *Pool) current(name string, m *model) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.models[name] == m
}

// known returns a model that is known, or becomes so because the repository has its folder now.
func (p *Pool) known(name string) (*model, error) {
	p.mu.Lock()
	m := p.mu.models[name]
	p.mu.Unlock()
	if m != nil {
		return m, nil
	}
	f, err := open(p.opts.Repository, name)
	if err != nil {
		return nil, errNoModel(name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.register(f), nil
}

// refreshAll loads versions of a model, each if that would change anything. The caller has the model's turn.
func (p *Pool) refreshAll(ctx context.Context, m *model, f folder, files []file) error {
	var errs []error
	for _, file := range files {
		if err := p.take(ctx, p.loaders); err != nil {
			return err
		}
		err := p.refresh(m, f, file)
		<-p.loaders
		if err != nil {
			errs = append(errs, fmt.Errorf("version %s: %s", file.version, backends.PublicText(err.Error())))
		}
	}
	p.shared.group.Room()
	if len(errs) > 0 {
		return &infer.Error{Code: infer.Invalid, Origin: infer.FromBackend, Text: "the model cannot be loaded: " + errors.Join(errs...).Error()}
	}
	return nil
}

func errNoModel(name string) error {
	return infer.Errorf(infer.UnknownModel, "the repository has no model %.128q", name)
}

// take takes a place in a channel of places, unless ctx or the pool ends first.
func (p *Pool) take(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.closed:
		return errClosed
	}
}

// refresh loads one version, if that would change anything.
func (p *Pool) refresh(m *model, f folder, file file) error {
	p.mu.Lock()
	i := slices.IndexFunc(m.versions, func(v *version) bool { return v.number == file.version })
	v := m.versions[i]
	if v.state == infer.Ready && v.stamp == file.stamp {
		p.mu.Unlock()
		return nil
	}
	if v.current.Load() == nil {
		v.state, v.reason = infer.Loading, ""
	}
	p.mu.Unlock()
	l, err := p.load(v, f, file)
	if err != nil {
		p.log.Error("model version failed to load", zap.String("model", v.name), zap.String("version", v.number), zap.Error(err))
		p.failed(v, file.stamp, err)
		return err
	}
	p.mu.Lock()
	v.stamp, v.tried = file.stamp, 0
	p.mu.Unlock()
	old := p.settle(v, l, infer.Ready, "")
	p.log.Info("model version ready", zap.String("model", v.name), zap.String("version", v.number),
		zap.String("merge", l.model.Load().Merge))
	retire(old)
	return nil
}

// failed notes why a version was not loaded from what the stamp says. What serves already serves on.
func (p *Pool) failed(v *version, tried stamp, err error) {
	p.mu.Lock()
	v.tried = tried
	if v.current.Load() != nil {
		v.reason = "serves what was loaded before: " + err.Error()
	} else {
		v.state, v.reason = infer.Unavailable, err.Error()
	}
	p.mu.Unlock()
	p.opts.OnChange()
}

// settle puts what was loaded in place of what was there, and returns that for retire.
func (p *Pool) settle(v *version, l *loaded, state infer.State, reason string) *loaded {
	p.mu.Lock()
	v.state, v.reason = state, reason
	old := v.current.Swap(l)
	p.mu.Unlock()
	p.opts.OnChange()
	return old
}

// retire frees what settle has replaced, after its last run, and gives the memory back.
func retire(old ...*loaded) {
	freed := false
	for _, l := range old {
		if l != nil {
			l.retire()
			freed = true
		}
	}
	if freed {
		ort.Trim()
	}
}

// forget takes out versions whose folder is gone, and the model if it was the last one. The caller has the
// model's turn.
func (p *Pool) forget(m *model, f folder) {
	p.mu.Lock()
	gone := p.takeOut(m, func(v *version) bool {
		return !slices.ContainsFunc(f.versions, func(file file) bool { return file.version == v.number })
	})
	p.mu.Unlock()
	p.depart(gone)
}

// takeOut takes versions off the list, and the model if it was the last one. It runs under mu.
func (p *Pool) takeOut(m *model, which func(*version) bool) []*version {
	var gone []*version
	m.versions = slices.DeleteFunc(m.versions, func(v *version) bool {
		if which(v) {
			gone = append(gone, v)
			return true
		}
		return false
	})
	p.mu.versions -= len(gone)
	if len(m.versions) == 0 {
		for name, known := range p.mu.models {
			if known == m {
				delete(p.mu.models, name)
			}
		}
	}
	return gone
}

// Unload implements [infer.Catalog]: the model's versions take no new requests, their last runs end and their
// sessions are freed. It stays unloaded, whatever happens to its files, until Load. When ctx ends first, all of
// that goes on without the caller.
func (p *Pool) Unload(ctx context.Context, name string) error {
	if err := p.begin(); err != nil {
		return err
	}
	defer p.working.Done()
	p.mu.Lock()
	m := p.mu.models[name]
	p.mu.Unlock()
	if m == nil {
		return infer.Errorf(infer.UnknownModel, "the pool has no model %.128q", name)
	}
	if err := p.take(ctx, m.turn); err != nil {
		return err
	}
	freed := p.depart(p.park(m))
	<-m.turn
	select {
	case <-freed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// park puts versions that are not loaded in place of those of a model, and returns the old ones. Requests that were
// decoded against those still reach them.
func (p *Pool) park(m *model) []*version {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.parked = true
	old := m.versions
	m.versions = make([]*version, len(old))
	for i, v := range old {
		m.versions[i] = &version{
			name: v.name, number: v.number, devices: v.devices, left: make(chan struct{}),
			state: infer.Unavailable, reason: infer.ReasonUnloaded,
		}
	}
	return old
}
