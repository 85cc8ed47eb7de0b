//go:build cgo

package onnx

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/infer"
)

// reasonChanged is why a version that serves is not as its files say.
const reasonChanged = "serves what was loaded before: its files have changed since, and are taken over when the model is loaded again"

// Watch keeps the pool's models what the repository has, until ctx or the pool ends: see the package comment. LoadAll
// has returned.
func (p *Pool) Watch(ctx context.Context) {
	if p.begin() != nil {
		return
	}
	defer p.working.Done()
	w := &watch{
		pool: p, log: p.log.With(zap.String("repository", p.opts.Repository)),
		settled: make(chan struct{}, 1),
	}
	labels := pprof.Labels("loop", "onnx repository watch", "repository", p.opts.Repository)
	pprof.Do(ctx, labels, w.loop)
	w.loads.Wait()
}

// versionName is the place of a version in a repository.
type versionName struct{ model, version string }

// watch is the state of one Watch. Its fields belong to its goroutine.
type watch struct {
	pool    *Pool
	log     *zap.Logger
	events  *fsnotify.Watcher // nil: there is none, and only the recheck sees changes
	settled chan struct{}     // one slot: a load has ended
	loads   sync.WaitGroup

	seen    map[versionName]stamp // by the last look; nil before the first
	trouble map[string]string     // by model, "" for the repository: what cannot be read, and was told
}

// loop looks when something happened, when what it saw has had time to settle, and now and then.
func (w *watch) loop(ctx context.Context) {
	opts := &w.pool.opts
	var events chan fsnotify.Event
	var lost chan error
	if watcher, err := fsnotify.NewWatcher(); err != nil {
		w.log.Warn("changes of the repository are seen late", zap.Duration("looks_every", opts.Recheck), zap.Error(err))
	} else {
		defer func() { _ = watcher.Close() }()
		w.events, events, lost = watcher, watcher.Events, watcher.Errors
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var last time.Time // when the last look began
	soon := func() { timer.Reset(max(opts.Settle/4, time.Until(last.Add(opts.Settle)))) }
	for pending := true; ; {
		select {
		case <-ctx.Done():
			return
		case <-w.pool.closed:
			return
		case <-timer.C:
			last = time.Now()
			pending = w.look(ctx)
			timer.Reset(opts.Recheck)
			if pending || w.trouble[""] != "" { // nothing tells when the repository is back
				timer.Reset(opts.Settle)
			}
			continue
		case <-events:
		case <-lost: //nolint:errcheck // events were lost: look, as after one
		case <-w.settled:
		}
		if !pending {
			pending = true
			soon()
		}
	}
}

// look compares the repository with what the pool has, and acts on what has stood still since the look before. It
// tells whether something has not.
func (w *watch) look(ctx context.Context) (again bool) {
	p := w.pool
	now, unread, ok := w.read()
	if !ok {
		return false
	}
	p.mu.Lock()
	var acts []act
	names := map[versionName]bool{}
	for _, m := range p.mu.models {
		for _, v := range m.versions {
			names[versionName{v.name, v.number}] = true
		}
	}
	for name := range now {
		names[name] = true
	}
	for name := range names {
		if unread[name.model] {
			now[name] = w.seen[name]
			continue
		}
		v, known := p.stand(name)
		if m := p.mu.models[name.model]; m != nil && m.parked && v == nil {
			continue
		}
		what := judge(now[name], w.seen[name], known)
		if what == drop && w.seen == nil {
			what = wait // there was no look before
		}
		if what != leave {
			acts = append(acts, act{name, what, now[name]})
		}
	}
	changed := p.note(acts, w.log)
	p.mu.Unlock()
	w.seen = now
	if changed {
		p.opts.OnChange()
	}
	w.carryOut(ctx, acts)
	return slices.ContainsFunc(acts, func(a act) bool { return a.what == wait })
}

// act is what a look has decided about a version.
type act struct {
	name  versionName
	what  verdict
	stamp stamp
}

// read reads the stamps of all versions, and names the models that it could not read. It fails where the repository
// as a whole cannot be read or believed.
func (w *watch) read() (now map[versionName]stamp, unread map[string]bool, ok bool) {
	p, repository := w.pool, w.pool.opts.Repository
	trouble := map[string]string{}
	defer func() { w.tell(trouble) }()
	names, err := scan(repository)
	root, statErr := os.Stat(repository)
	if err = errors.Join(err, statErr); err != nil {
		trouble[""] = err.Error()
		return nil, nil, false
	}
	if len(names) == 0 && p.root != nil && !os.SameFile(root, p.root) {
		trouble[""] = "it is another folder than before, and empty: its file system may be gone"
		return nil, nil, false
	}
	if len(names) > 0 {
		p.root = root
	}
	now, unread = map[versionName]stamp{}, map[string]bool{}
	dirs := []string{repository}
	for _, name := range names {
		f, err := open(repository, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			trouble[name], unread[name] = err.Error(), true
			continue
		}
		dirs = append(dirs, filepath.Join(repository, name))
		for _, file := range f.versions {
			now[versionName{name, file.version}] = file.stamp
			dirs = append(dirs, filepath.Dir(file.path))
		}
	}
	w.follow(dirs)
	return now, unread, true
}

// tell logs what cannot be read, once.
func (w *watch) tell(trouble map[string]string) {
	for name, text := range trouble {
		if w.trouble[name] != text {
			w.log.Warn("the repository cannot be read: what is loaded serves on", zap.String("model", name), zap.String("error", text))
		}
	}
	w.trouble = trouble
}

// follow has events of these folders and no others wake the loop. One that cannot be watched, because there are too
// many, is seen by the recheck.
func (w *watch) follow(dirs []string) {
	if w.events == nil {
		return
	}
	want := make(map[string]bool, len(dirs))
	for _, dir := range dirs {
		want[dir] = true
		_ = w.events.Add(dir) // adding twice is harmless, and renews a watch whose folder was replaced
	}
	for _, dir := range w.events.WatchList() {
		if !want[dir] {
			_ = w.events.Remove(dir) // fails where the folder is gone, as it should be
		}
	}
}

// stand returns a version and where it stands, nil where the pool does not know it. It runs under mu.
func (p *Pool) stand(name versionName) (*version, *standing) {
	m := p.mu.models[name.model]
	if m == nil {
		return nil, nil
	}
	i := slices.IndexFunc(m.versions, func(v *version) bool { return v.number == name.version })
	if i < 0 {
		return nil, nil
	}
	v := m.versions[i]
	s := &standing{tried: v.tried, busy: v.state == infer.Loading, parked: m.parked}
	if v.current.Load() != nil {
		s.loaded = v.stamp
	}
	return v, s
}

// note writes down what the acts mean for the list of versions, and tells whether any of it is new. It runs under mu.
func (p *Pool) note(acts []act, log *zap.Logger) (changed bool) {
	for _, a := range acts {
		v, _ := p.stand(a.name)
		if v == nil {
			m := p.register(folder{name: a.name.model, versions: []file{{version: a.name.version}}})
			v = m.versions[slices.IndexFunc(m.versions, func(v *version) bool { return v.number == a.name.version })]
			v.state, v.reason, changed = infer.Unavailable, infer.ReasonCopying, true
		}
		switch {
		case a.what == fetch:
			v.state, v.reason, changed = infer.Loading, "", true
		case a.what == report && v.reason != reasonChanged:
			log.Warn("files of a model version that is in use have changed", zap.String("model", v.name), zap.String("version", v.number))
			v.reason, changed = reasonChanged, true
		case a.what == agree && v.reason != "":
			v.reason, v.tried, changed = "", 0, true
		}
	}
	return changed
}

// carryOut starts what the acts need, a goroutine for each model.
func (w *watch) carryOut(ctx context.Context, acts []act) {
	p := w.pool
	work := map[string]map[string]stamp{} // by model and version: what to load; 0: what to take out
	for _, a := range acts {
		if a.what != fetch && a.what != drop {
			continue
		}
		if work[a.name.model] == nil {
			work[a.name.model] = map[string]stamp{}
		}
		work[a.name.model][a.name.version] = a.stamp
	}
	for name, versions := range work {
		w.loads.Go(func() {
			p.bring(ctx, name, versions)
			select {
			case w.settled <- struct{}{}:
			default:
			}
		})
	}
}

// bring brings versions of a model to what the repository was seen to have: a stamp to load, 0 to take out. What
// is no longer so is left to the next look.
func (p *Pool) bring(ctx context.Context, name string, want map[string]stamp) {
	m, f, err := p.enter(ctx, name)
	if err != nil {
		p.unfinished(name, want)
		return
	}
	var files []file
	for _, file := range f.versions {
		if s := want[file.version]; s != 0 && s == file.stamp {
			files = append(files, file)
		}
	}
	p.mu.Lock()
	gone := p.takeOut(m, func(v *version) bool {
		s, asked := want[v.number]
		return asked && s == 0 && !slices.ContainsFunc(f.versions, func(file file) bool { return file.version == v.number })
	})
	p.mu.Unlock()
	for _, v := range gone {
		p.log.Info("model version is gone from the repository", zap.String("model", v.name), zap.String("version", v.number))
	}
	p.depart(gone)
	// What fails is kept and logged by version.
	_ = p.refreshAll(ctx, m, f, files)
	<-m.turn
	p.unfinished(name, want)
}

// unfinished puts versions back that were to be loaded and were not tried.
func (p *Pool) unfinished(name string, want map[string]stamp) {
	p.mu.Lock()
	changed := false
	for number, s := range want {
		if v, known := p.stand(versionName{name, number}); s != 0 && v != nil && known.busy && known.loaded == 0 {
			v.state, v.reason, changed = infer.Unavailable, infer.ReasonCopying, true
		}
	}
	p.mu.Unlock()
	if changed {
		p.opts.OnChange()
	}
}
