package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/internal/leak"
)

// watch starts a watcher that is quick, and slow to recheck: only events wake
// it in a test.
func watch(t *testing.T, files ...string) *Watcher {
	t.Helper()
	leak.Goroutines(t)
	leak.FDs(t)
	w, err := Watch(files, WatchOptions{Settle: 5 * time.Millisecond, Longest: 50 * time.Millisecond, Recheck: time.Hour})
	if err != nil {
		t.Fatalf("Watch: %v", err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return w
}

func wantChange(t *testing.T, w *Watcher) {
	t.Helper()
	select {
	case <-w.Changed():
	case <-time.NewTimer(10 * time.Second).C:
		t.Fatal("the change was not seen")
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, name string) {
	t.Helper()
	if err := os.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, dir, file string)
	}{
		{"written in place", func(t *testing.T, dir, file string) { write(t, file, "b") }},
		{"renamed over", func(t *testing.T, dir, file string) {
			write(t, filepath.Join(dir, ".swap"), "b")
			rename(t, filepath.Join(dir, ".swap"), file)
		}},
		{"moved away and written anew", func(t *testing.T, dir, file string) {
			rename(t, file, file+"~")
			write(t, file, "b")
		}},
		{"removed", func(t *testing.T, dir, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}},
		{"replaced by a link", func(t *testing.T, dir, file string) {
			write(t, filepath.Join(dir, "real"), "b")
			symlink(t, "real", filepath.Join(dir, "link"))
			rename(t, filepath.Join(dir, "link"), file)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "sluice.yaml")
			write(t, file, "a")
			w := watch(t, file)
			tt.change(t, dir, file)
			wantChange(t, w)
		})
	}
}

// TestWatchKubernetes swaps the ..data link as a kubelet does for a mounted
// ConfigMap: the watched name itself never gets an event.
func TestWatchKubernetes(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	mkdir(t, in("..1"))
	write(t, in("..1/sluice.yaml"), "a")
	symlink(t, "..1", in("..data"))
	symlink(t, "..data/sluice.yaml", in("sluice.yaml"))
	w := watch(t, in("sluice.yaml"))
	for _, next := range []string{"..2", "..3"} {
		mkdir(t, in(next))
		write(t, in(next+"/sluice.yaml"), next)
		symlink(t, next, in("..data_tmp"))
		rename(t, in("..data_tmp"), in("..data"))
		wantChange(t, w)
	}
}

// TestWatchBehindLink: the file that a link leads to is written where it is.
func TestWatchBehindLink(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	target := filepath.Join(elsewhere, "real.yaml")
	write(t, target, "a")
	link := filepath.Join(dir, "sluice.yaml")
	symlink(t, target, link)
	w := watch(t, link)
	write(t, target, "b")
	wantChange(t, w)
}

// TestWatchCheck: only content counts, and changes that nobody took are one.
func TestWatchCheck(t *testing.T) {
	leak.FDs(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	write(t, file, "a")
	w, err := newWatcher([]string{file}, WatchOptions{}) // its loop does not run
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.events.Close() }()
	for _, tt := range []struct {
		name   string
		change func()
		want   int
	}{
		{"nothing", func() {}, 0},
		{"another file", func() { write(t, filepath.Join(dir, "other"), "x") }, 0},
		{"the same content", func() { write(t, file, "a") }, 0},
		{"a change", func() { write(t, file, "b") }, 1},
		{"nothing more", func() {}, 1},
		{"a further change", func() { write(t, file, "c") }, 1},
		{"taken", func() { <-w.Changed() }, 0},
		{"a change of a new file", func() {
			write(t, filepath.Join(dir, "cert.pem"), "x")
			w.setFiles(fingerprints([]string{file, filepath.Join(dir, "cert.pem")}))
			write(t, filepath.Join(dir, "cert.pem"), "y")
		}, 1},
	} {
		tt.change()
		w.check()
		if got := len(w.changed); got != tt.want {
			t.Errorf("after %s: %d changes are waiting, want %d", tt.name, got, tt.want)
		}
	}
}

func TestWatchSetFiles(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	file, cert := filepath.Join(dir, "sluice.yaml"), filepath.Join(elsewhere, "cert.pem")
	write(t, file, "a")
	write(t, cert, "a")
	w := watch(t, file)
	w.SetFiles([]string{file, cert})
	write(t, cert, "b")
	wantChange(t, w)
}

func TestWatchNoFolder(t *testing.T) {
	leak.Goroutines(t)
	leak.FDs(t)
	if _, err := Watch([]string{filepath.Join(t.TempDir(), "none", "sluice.yaml")}, WatchOptions{}); err == nil {
		t.Error("Watch accepts a folder that does not exist")
	}
}

func TestWatchCloseTwice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, "a")
	w := watch(t, file)
	if err := w.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	w.SetFiles([]string{file}) // must not block
	w.SetFiles([]string{file})
}

// TestWait: the wait for quiet never starves.
func TestWait(t *testing.T) {
	first := time.Unix(100, 0)
	const settle, longest = 100 * time.Millisecond, time.Second
	for after, want := range map[time.Duration]time.Duration{
		0:                      settle,
		500 * time.Millisecond: settle,
		950 * time.Millisecond: 50 * time.Millisecond,
		time.Second:            0,
		time.Minute:            0,
	} {
		if got := wait(first, first.Add(after), settle, longest); got != want {
			t.Errorf("after %v: wait %v, want %v", after, got, want)
		}
	}
}
