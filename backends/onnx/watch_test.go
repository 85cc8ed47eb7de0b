//go:build cgo

package onnx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// watched is a pool whose repository is watched, with short times.
type watched struct {
	*bench
	root    string
	changed chan struct{} // one slot
}

// newWatched returns a pool and runs its watch until the test ends.
func newWatched(t *testing.T, opts Options) *watched {
	t.Helper()
	w := &watched{root: opts.Repository, changed: make(chan struct{}, 1)}
	opts.OnChange = func() {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
	if opts.Settle == 0 {
		opts.Settle = 20 * time.Millisecond
	}
	w.bench = newBench(t, opts)
	w.begin(t)
	return w
}

// begin watches until the test ends.
func (w *watched) begin(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Watch(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
}

// await waits until the list of versions reads as want says: "relu/1 ready, relu/2 unavailable: Protobuf", where
// a reason must only be found.
func (w *watched) await(t *testing.T, want string) {
	t.Helper()
	patience := time.NewTimer(20 * time.Second)
	defer patience.Stop()
	for {
		list, err := w.List(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if reads(list, want) {
			return
		}
		select {
		case <-w.changed:
		case <-patience.C:
			t.Fatalf("got %+v, want %s", list, want)
		}
	}
}

func reads(list []infer.VersionStatus, want string) bool {
	lines := strings.Split(want, ", ")
	if want == "" {
		lines = nil
	}
	if len(lines) != len(list) {
		return false
	}
	for i, s := range list {
		head, reason, _ := strings.Cut(lines[i], ": ")
		if fmt.Sprintf("%s/%s %s", s.Name, s.Version, s.State) != head || !strings.Contains(s.Reason, reason) || reason == "" && s.Reason != "" {
			return false
		}
	}
	return true
}

func (w *watched) path(parts ...string) string {
	return filepath.Join(append([]string{w.root}, parts...)...)
}

// serves tells whether a relu answers.
func (w *watched) serves(t *testing.T, m *infer.Model) bool {
	t.Helper()
	row := floats(1, 2, 3, 4)
	a := w.run(t, m, w.request(m, in{0, tensor.FP32, []int64{1, 4}, row}))[0]
	return a.err == nil && bytes.Equal(a.outputs[0].data, row)
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestWatchFollowsTheRepository(t *testing.T) {
	w := newWatched(t, Options{Repository: testdata(t, map[string]string{"relu": ""})})
	relu := readFileOf(t, "testdata/relu.onnx")
	w.await(t, "relu/1 ready")
	first := w.model(t, "relu", "1")

	write(t, w.path("relu", "2", "model.onnx"), relu)
	w.await(t, "relu/1 ready, relu/2 ready")
	write(t, w.path("other", "7", "model.onnx"), relu)
	w.await(t, "other/7 ready, relu/1 ready, relu/2 ready")

	// Half a file is reported once it stands still, and loaded when the rest has come.
	write(t, w.path("relu", "3", "model.onnx"), relu[:len(relu)/2])
	w.await(t, "other/7 ready, relu/1 ready, relu/2 ready, relu/3 unavailable: rotobuf")
	write(t, w.path("relu", "3", "model.onnx"), relu)
	w.await(t, "other/7 ready, relu/1 ready, relu/2 ready, relu/3 ready")
	write(t, w.path("empty", "1", "notes.txt"), nil)
	w.await(t, "empty/1 unavailable: no empty/1/model.onnx, other/7 ready, relu/1 ready, relu/2 ready, relu/3 ready")

	remove(t, w.path("empty"))
	remove(t, w.path("relu", "2"))
	remove(t, w.path("other"))
	w.await(t, "relu/1 ready, relu/3 ready")
	if !w.serves(t, first) || w.model(t, "relu", "1") != first {
		t.Error("the version that nobody touched was loaded anew, or does not serve")
	}
	remove(t, w.path("relu"))
	w.await(t, "")
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.mu.models) != 0 || w.mu.versions != 0 {
		t.Errorf("%d models and %d versions are still known", len(w.mu.models), w.mu.versions)
	}
}

func TestWatchSwapsNothingSilently(t *testing.T) {
	w := newWatched(t, Options{Repository: testdata(t, map[string]string{"relu": "max_batch_size: 4"})})
	m := w.model(t, "relu", "1")
	write(t, w.path("relu", "1", "model.onnx"), []byte("no model"))
	w.await(t, "relu/1 ready: its files have changed since")
	if !w.serves(t, m) || w.model(t, "relu", "1") != m {
		t.Error("the version in use was loaded anew, or does not serve")
	}
	// What is loaded on demand and fails takes nothing down.
	if err := w.Load(context.Background(), "relu"); err == nil {
		t.Error("a broken file was loaded")
	}
	w.await(t, "relu/1 ready: rotobuf")
	if !w.serves(t, m) {
		t.Error("the version does not serve after a load that failed")
	}
	write(t, w.path("relu", "1", "model.onnx"), readFileOf(t, "testdata/cumsum.onnx"))
	w.await(t, "relu/1 ready: its files have changed since")
	write(t, w.path("relu", configName), nil)
	if err := w.Load(context.Background(), "relu"); err != nil {
		t.Fatal(err)
	}
	w.await(t, "relu/1 ready")
	if now := w.model(t, "relu", "1"); now == m || now.MaxBatch != 0 {
		t.Errorf("loaded on demand: %+v", now)
	}
	write(t, w.path("relu", configName), []byte("max_batch_size: 8"))
	w.await(t, "relu/1 ready: its files have changed since")
	if err := w.Load(context.Background(), "relu"); err != nil {
		t.Fatal(err)
	}
	w.await(t, "relu/1 ready")
}

func TestWatchLetsUnloadedModelsBe(t *testing.T) {
	w := newWatched(t, Options{Repository: testdata(t, map[string]string{"relu": "", "text": ""})})
	if err := w.Unload(context.Background(), "relu"); err != nil {
		t.Fatal(err)
	}
	w.await(t, "relu/1 unavailable: unloaded, text/1 ready")
	write(t, w.path("relu", "2", "model.onnx"), readFileOf(t, "testdata/relu.onnx"))
	// What the watch sees later than the new version of the unloaded model has it see that one as well.
	write(t, w.path("text", "2", "model.onnx"), readFileOf(t, "testdata/text.onnx"))
	w.await(t, "relu/1 unavailable: unloaded, text/1 ready, text/2 ready")
	if err := w.Load(context.Background(), "relu"); err != nil {
		t.Fatal(err)
	}
	w.await(t, "relu/1 ready, relu/2 ready, text/1 ready, text/2 ready")
}

func TestWatchWaitsForFilesToStandStill(t *testing.T) {
	w := &watched{root: testdata(t, map[string]string{"relu": ""})}
	w.bench = newBench(t, Options{Repository: w.root})
	write(t, filepath.Join(w.root, "relu", "2", "model.onnx"), readFileOf(t, "testdata/relu.onnx"))
	probe := &watch{pool: w.Pool, log: w.log}
	if !probe.look(context.Background()) {
		t.Error("a look has settled what it saw for the first time")
	}
	w.await(t, "relu/1 ready, relu/2 unavailable: its files still change")
	write(t, w.path("relu", "2", "model.onnx"), readFileOf(t, "testdata/text.onnx"))
	if !probe.look(context.Background()) {
		t.Error("a look has settled what it saw change")
	}
	probe.loads.Wait()
	w.await(t, "relu/1 ready, relu/2 unavailable: its files still change")
}

func TestWatchDoesNotBelieveAVanishedRepository(t *testing.T) {
	root := filepath.Join(t.TempDir(), "models")
	if err := os.Rename(testdata(t, map[string]string{"relu": ""}), root); err != nil {
		t.Fatal(err)
	}
	w := &watched{root: root}
	w.bench = newBench(t, Options{Repository: root})
	m := w.model(t, "relu", "1")
	probe := &watch{pool: w.Pool, log: w.log, settled: make(chan struct{}, 1)}
	look := func(what string) {
		t.Helper()
		for range 3 {
			if probe.look(context.Background()) {
				t.Errorf("%s: something is not settled", what)
			}
		}
		probe.loads.Wait()
		w.await(t, "relu/1 ready")
		if !w.serves(t, m) {
			t.Errorf("%s: the model does not serve", what)
		}
	}
	look("at first")
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	look("without a repository")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	look("with an empty folder in its place")
	remove(t, root)
	if err := os.Rename(root+".away", root); err != nil {
		t.Fatal(err)
	}
	look("back again")
}

// TestWatchSeesARepositoryThatIsBack puts another repository in the place of one that is gone, which no event tells of.
func TestWatchSeesARepositoryThatIsBack(t *testing.T) {
	parent := t.TempDir()
	root, next := filepath.Join(parent, "models"), filepath.Join(parent, "next")
	for _, path := range []string{root, next} {
		if err := os.Rename(testdata(t, map[string]string{"relu": ""}), path); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(next, "relu", "2", "model.onnx"), readFileOf(t, "testdata/relu.onnx"))
	w := &watched{root: root, changed: make(chan struct{}, 1)}
	w.bench = newBench(t, Options{Repository: root, Settle: 20 * time.Millisecond, Recheck: time.Hour, OnChange: func() {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}})
	missed := make(chan struct{})
	core, _ := observer.New(zapcore.WarnLevel)
	w.Pool.log = zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		if strings.Contains(e.Message, "cannot be read") {
			close(missed) // it is told once
		}
		return nil
	}))
	w.begin(t)
	write(t, w.path("relu", "3", "model.onnx"), readFileOf(t, "testdata/relu.onnx"))
	w.await(t, "relu/1 ready, relu/3 ready") // it watches now
	if err := os.Rename(root, root+".away"); err != nil {
		t.Fatal(err)
	}
	<-missed
	if err := os.Rename(next, root); err != nil {
		t.Fatal(err)
	}
	w.await(t, "relu/1 ready: files have changed, relu/2 ready")
}

// TestDepartingVersionsServeWhoHoldsThem takes a version out while somebody still sends requests to it.
func TestDepartingVersionsServeWhoHoldsThem(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(w *watched) error
		list string
	}{
		{"removed", func(w *watched) error { return os.RemoveAll(w.path("relu")) }, "text/1 ready"},
		{"unloaded", func(w *watched) error { return w.Unload(context.Background(), "relu") }, "relu/1 unavailable: unloaded, text/1 ready"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWatched(t, Options{Repository: testdata(t, map[string]string{"relu": "", "text": ""})})
			m := w.model(t, "relu", "1")
			v := m.Handle.(*version)
			release := w.Hold(m)
			done := make(chan error, 1)
			go func() { done <- c.do(w) }()
			w.await(t, c.list)
			timer := time.NewTimer(2 * departLag)
			<-timer.C
			if !w.serves(t, m) {
				t.Error("who holds the version is not served")
			}
			if v.current.Load() == nil {
				t.Fatal("its sessions are gone")
			}
			release()
			if err := <-done; err != nil {
				t.Error(err)
			}
			<-v.left
			w.Close()
			if v.current.Load() != nil {
				t.Error("nobody holds the version, and its sessions are still there")
			}
		})
	}
}

// TestCyclesLeaveNothingBehind adds and removes a version a hundred times.
func TestCyclesLeaveNothingBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	w := newWatched(t, Options{Repository: testdata(t, map[string]string{"relu": ""}), Settle: 5 * time.Millisecond})
	relu := readFileOf(t, "testdata/relu.onnx")
	cycle := func(i int) {
		name := fmt.Sprintf("model%d", i)
		write(t, w.path(name, "1", "model.onnx"), relu)
		w.await(t, name+"/1 ready, relu/1 ready")
		remove(t, w.path(name))
		w.await(t, "relu/1 ready")
	}
	for i := range 10 {
		cycle(i)
	}
	goroutines, resident := runtime.NumGoroutine(), residentBytes(t)
	for i := range 100 {
		cycle(i)
	}
	w.mu.Lock()
	models, versions := len(w.mu.models), w.mu.versions
	w.mu.Unlock()
	if models != 1 || versions != 1 {
		t.Errorf("%d models and %d versions are known, want the one that stayed", models, versions)
	}
	if n := runtime.NumGoroutine(); n > goroutines+5 {
		t.Errorf("%d goroutines after a hundred cycles, %d before", n, goroutines)
	}
	if grown := residentBytes(t) - resident; grown > 32<<20 {
		t.Errorf("a hundred cycles have taken %d KiB", grown>>10)
	}
}

// residentBytes returns the memory of this process.
func residentBytes(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// TestLoadOfWhatIsNoFolder loads a model whose folder became a file.
func TestLoadOfWhatIsNoFolder(t *testing.T) {
	w := newWatched(t, Options{Repository: testdata(t, map[string]string{"relu": ""})})
	m := w.model(t, "relu", "1")
	remove(t, w.path("relu"))
	write(t, w.path("relu"), []byte("no folder"))
	var refusal *infer.Error
	if err := w.Load(context.Background(), "relu"); !errors.As(err, &refusal) || refusal.Code != infer.Invalid || strings.Contains(refusal.Text, w.root) {
		t.Errorf("got %v, want a refusal that names no path", err)
	}
	if !w.serves(t, m) {
		t.Error("what was loaded does not serve on")
	}
}
