package config

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// WatchOptions tunes a Watcher. The zero value gives the defaults.
type WatchOptions struct {
	// Settle is how long the folders must be quiet before the files are read.
	// Default 100 ms. Raising it sees fewer half-written files and reloads
	// later.
	Settle time.Duration
	// Longest bounds the wait for quiet. Default 1 s. Raising it lets a busy
	// folder delay a reload for longer.
	Longest time.Duration
	// Recheck is the time between looks without any event: network file
	// systems send none, and a watch ends with its folder. Default 15 s.
	// Raising it costs less where there are no events and sees changes later.
	Recheck time.Duration
}

// EnsureDefaults fills in what is zero.
func (o *WatchOptions) EnsureDefaults() {
	if o.Settle == 0 {
		o.Settle = 100 * time.Millisecond
	}
	if o.Longest == 0 {
		o.Longest = time.Second
	}
	if o.Recheck == 0 {
		o.Recheck = 15 * time.Second
	}
}

// Watcher tells when the content of files has changed. It watches their
// folders, not the files: editors and Kubernetes replace files by renaming
// others, or links, over them. What it says is only "look again".
type Watcher struct {
	// immutable after Watch
	opts    WatchOptions
	events  *fsnotify.Watcher
	changed chan struct{}               // 1 slot: a poke
	files   chan map[string]fingerprint // 1 slot: the newest list
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once

	// owned by loop
	seen map[string]fingerprint
}

// fingerprint is a file's content, or that it has none that can be read.
type fingerprint [sha256.Size]byte

// Watch starts watching. Start it before the files are loaded, then no change
// falls between. The caller must Close it.
func Watch(files []string, opts WatchOptions) (*Watcher, error) {
	w, err := newWatcher(files, opts)
	if err != nil {
		return nil, err
	}
	go w.loop()
	return w, nil
}

// newWatcher makes a watcher whose loop is not running.
func newWatcher(files []string, opts WatchOptions) (*Watcher, error) {
	opts.EnsureDefaults()
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watching the configuration: %w", err)
	}
	w := &Watcher{
		opts:    opts,
		events:  events,
		changed: make(chan struct{}, 1),
		files:   make(chan map[string]fingerprint, 1),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	for _, dir := range dirs(files) {
		if err := events.Add(dir); err != nil {
			_ = events.Close()
			return nil, fmt.Errorf("watching the folder %s: %w", dir, err)
		}
	}
	w.seen = fingerprints(files)
	return w, nil
}

// Changed gets a value when some file has changed since it was last looked at.
// Changes that come before the value is taken are one.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// SetFiles replaces the files that are watched; what changes after it returns
// is seen. One goroutine may call it at a time.
func (w *Watcher) SetFiles(files []string) {
	select {
	case <-w.files:
	default:
	}
	w.files <- fingerprints(files)
}

// Close stops watching and returns when the goroutine has ended. It may be
// called more than once.
func (w *Watcher) Close() error {
	w.once.Do(func() { close(w.stop) })
	<-w.done
	return nil
}

func (w *Watcher) loop() {
	defer close(w.done)
	defer func() { _ = w.events.Close() }()
	timer := time.NewTimer(w.opts.Recheck)
	defer timer.Stop()
	var first time.Time // of the events that have not settled; zero: none
	for {
		select {
		case <-w.stop:
			return
		case files := <-w.files:
			w.setFiles(files)
			w.check() // for what changed before its folder was watched
			continue
		case <-w.events.Events:
		case <-w.events.Errors: //nolint:errcheck // events were lost: look, as after one
		case <-timer.C:
			first = time.Time{}
			w.check()
			timer.Reset(w.opts.Recheck)
			continue
		}
		now := time.Now()
		if first.IsZero() {
			first = now
		}
		timer.Reset(wait(first, now, w.opts.Settle, w.opts.Longest))
	}
}

// wait is the time to wait for quiet after an event at now, when the first of
// its run was at first.
func wait(first, now time.Time, settle, longest time.Duration) time.Duration {
	return max(0, min(settle, longest-now.Sub(first)))
}

// check looks at the files and says so when one has changed.
func (w *Watcher) check() {
	w.watchDirs(dirs(slices.Collect(maps.Keys(w.seen))))
	changed := false
	for name, was := range w.seen {
		if is := takeFingerprint(name); is != was {
			w.seen[name], changed = is, true
		}
	}
	if !changed {
		return
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// setFiles notes the files. Of those watched already it keeps what is known,
// lest a change that has not settled be lost.
func (w *Watcher) setFiles(files map[string]fingerprint) {
	for name := range files {
		if was, ok := w.seen[name]; ok {
			files[name] = was
		}
	}
	w.seen = files
}

func fingerprints(files []string) map[string]fingerprint {
	out := make(map[string]fingerprint, len(files))
	for _, name := range files {
		name = absolute("", name)
		out[name] = takeFingerprint(name)
	}
	return out
}

// dirs lists the folders that changes of the files show in: those of their
// names and those that links lead to.
func dirs(files []string) []string {
	var out []string
	for _, name := range files {
		name = absolute("", name)
		out = append(out, filepath.Dir(name))
		if target, err := filepath.EvalSymlinks(name); err == nil {
			out = append(out, filepath.Dir(target))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// watchDirs watches these folders and no others. One that cannot be watched is
// tried again at the next check.
func (w *Watcher) watchDirs(want []string) {
	have := w.events.WatchList()
	for _, dir := range have {
		if !slices.Contains(want, dir) {
			_ = w.events.Remove(dir) // fails where the folder is gone, as it should be
		}
	}
	for _, dir := range want {
		_ = w.events.Add(dir) // adding twice is harmless, and renews a watch whose folder was replaced
	}
}

// takeFingerprint reads a file, but nothing that could block or never end.
func takeFingerprint(name string) fingerprint {
	var none fingerprint
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return none
	}
	f, err := os.Open(name)
	if err != nil {
		return none
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxFile+1)); err != nil {
		return none
	}
	var out fingerprint
	h.Sum(out[:0])
	return out
}
