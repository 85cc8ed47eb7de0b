//go:build cgo

package onnx

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// status returns how a version stands.
func (b *bench) status(t testing.TB, name, version string) infer.VersionStatus {
	t.Helper()
	list, err := b.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		if s.Name == name && s.Version == version {
			return s
		}
	}
	t.Fatalf("%s/%s is not listed", name, version)
	return infer.VersionStatus{}
}

func TestABadVersionKeepsNoOtherFromServing(t *testing.T) {
	root := testdata(t, map[string]string{"relu": "", "text": `name: "other"`})
	write(t, filepath.Join(root, "relu", "2", "model.onnx"), []byte("no model"))
	write(t, filepath.Join(root, "relu", "3", "other.onnx"), nil)
	write(t, filepath.Join(root, "relu", "4", "model.onnx", "data"), nil)
	write(t, filepath.Join(root, "relu", "5", "weights"), nil)
	if err := os.Symlink(os.DevNull, filepath.Join(root, "relu", "5", "model.onnx")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "relu", "10", "model.onnx"), readFileOf(t, filepath.Join("testdata", "relu.onnx")))
	write(t, filepath.Join(root, "relu", "latest", "model.onnx"), nil)
	write(t, filepath.Join(root, "relu", "007", "model.onnx"), nil)
	write(t, filepath.Join(root, "file"), nil)
	write(t, filepath.Join(root, ".hidden", "1", "model.onnx"), nil)
	b := newBench(t, Options{Repository: root})
	list, err := b.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name, version string
		state         infer.State
		reason        string
	}{
		{"relu", "1", infer.Ready, ""},
		{"relu", "2", infer.Unavailable, "Protobuf"},
		{"relu", "3", infer.Unavailable, "no relu/3/model.onnx"},
		{"relu", "4", infer.Unavailable, "relu/4/model.onnx is no regular file"},
		{"relu", "5", infer.Unavailable, "relu/5/model.onnx is no regular file"},
		{"relu", "10", infer.Ready, ""},
		{"text", "1", infer.Unavailable, `config.pbtxt: line 1: name: "other" is not the folder's name`},
	}
	if len(list) != len(want) {
		t.Fatalf("got %+v, want %d versions", list, len(want))
	}
	for i, w := range want {
		if s := list[i]; s.Name != w.name || s.Version != w.version || s.State != w.state || !strings.Contains(s.Reason, w.reason) {
			t.Errorf("version %d: got %s/%s %v %q, want %+v", i, s.Name, s.Version, s.State, s.Reason, w)
		}
	}
	if ready, _ := b.Ready(context.Background(), "relu", "2"); ready {
		t.Error("a version that failed is ready")
	}
	err = b.Load(context.Background(), "relu")
	var e *infer.Error
	if !errors.As(err, &e) || !strings.Contains(e.Text, "version 2") || strings.Contains(e.Text, root) {
		t.Errorf("load: %v, want an error of version 2 without paths", err)
	}
}

func readFileOf(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNamesCannotLeaveTheRepository(t *testing.T) {
	root := testdata(t, map[string]string{"relu": ""})
	b := newBench(t, Options{Repository: filepath.Join(root, "relu")}) // so that .. is a model's folder
	for _, name := range []string{"", ".", "..", "../relu", "/relu", "a/b", "a\\b", "a\x00b", ".hidden", "no such model", strings.Repeat("x", 300), "..\x00"} {
		err := b.Load(context.Background(), name)
		var e *infer.Error
		if !errors.As(err, &e) || e.Code != infer.UnknownModel {
			t.Errorf("load %.20q: %v, want UNKNOWN_MODEL", name, err)
		}
		if err := b.Unload(context.Background(), name); !errors.As(err, &e) || e.Code != infer.UnknownModel {
			t.Errorf("unload %.20q: %v, want UNKNOWN_MODEL", name, err)
		}
	}
}

func TestLoadFindsWhatChanged(t *testing.T) {
	root := testdata(t, map[string]string{"relu": "", "text": ""})
	var changes atomic.Int32
	b := newBench(t, Options{Repository: root, OnChange: func() { changes.Add(1) }})
	ctx := context.Background()
	first := b.model(t, "relu", "1")
	if err := b.Load(ctx, "relu"); err != nil || b.find("relu", "1").current.Load().model.Load() != first {
		t.Errorf("loading what has not changed: %v, or it was loaded again", err)
	}
	write(t, filepath.Join(root, "relu", "2", "model.onnx"), readFileOf(t, "testdata/relu.onnx"))
	write(t, filepath.Join(root, "relu", "1", "model.onnx"), readFileOf(t, "testdata/cumsum.onnx"))
	before := changes.Load()
	if err := b.Load(ctx, "relu"); err != nil {
		t.Fatal(err)
	}
	if now := b.model(t, "relu", "1"); now.MaxBatch != 0 || !strings.Contains(now.Merge, "never") || changes.Load() == before {
		t.Errorf("a changed file: %d, %q, %d changes", now.MaxBatch, now.Merge, changes.Load()-before)
	}
	b.model(t, "relu", "2")
	// A request that was decoded against the earlier loading has the same inputs and runs.
	if a := b.run(t, first, b.request(first, in{0, tensor.FP32, []int64{2, 4}, floats(1, 1, 1, 1, 2, 2, 2, 2)}))[0]; a.err != nil ||
		!bytes.Equal(a.outputs[0].data, floats(1, 1, 1, 1, 3, 3, 3, 3)) {
		t.Errorf("a request against the earlier loading: %+v", a)
	}
	write(t, filepath.Join(root, "relu", "1", "model.onnx"), readFileOf(t, "testdata/text.onnx"))
	if err := b.Load(ctx, "relu"); err != nil {
		t.Fatal(err)
	}
	if a := b.run(t, first, b.request(first, in{0, tensor.FP32, []int64{1, 4}, floats(1, 2, 3, 4)}))[0]; a.err == nil || a.err.Code != infer.NotReady {
		t.Errorf("a request against other inputs: %+v, want NOT_READY", a)
	}
	write(t, filepath.Join(root, "relu", "2", "model.onnx"), []byte("no model"))
	if err := b.Load(ctx, "relu"); err == nil {
		t.Error("a bad file was loaded")
	}
	second := b.model(t, "relu", "2")
	if a := b.run(t, second, b.request(second, in{0, tensor.FP32, []int64{1, 4}, floats(1, 2, 3, 4)}))[0]; a.err != nil ||
		b.status(t, "relu", "2").Reason == "" {
		t.Errorf("after a bad file took the place of a good one: %+v, %+v", a, b.status(t, "relu", "2"))
	}
	if err := os.RemoveAll(filepath.Join(root, "relu", "2")); err != nil {
		t.Fatal(err)
	}
	if err := b.Load(ctx, "relu"); err != nil {
		t.Fatal(err)
	}
	if list, _ := b.List(ctx); len(list) != 2 {
		t.Errorf("after a folder went: %+v", list)
	}
	if err := b.Unload(ctx, "relu"); err != nil {
		t.Fatal(err)
	}
	if s := b.status(t, "relu", "1"); s.State != infer.Unavailable || s.Reason != "unloaded" {
		t.Errorf("after unload: %+v", s)
	}
	if a := b.run(t, first, b.request(first, in{0, tensor.FP32, []int64{1, 4}, floats(1, 2, 3, 4)}))[0]; a.err == nil || a.err.Code != infer.NotReady {
		t.Errorf("a request after unload: %+v, want NOT_READY", a)
	}
	if err := os.RemoveAll(filepath.Join(root, "relu")); err != nil {
		t.Fatal(err)
	}
	var e *infer.Error
	if err := b.Load(ctx, "relu"); !errors.As(err, &e) || e.Code != infer.UnknownModel {
		t.Errorf("loading a model whose folder is gone: %v", err)
	}
	if list, _ := b.List(ctx); len(list) != 1 {
		t.Errorf("after the model's folder went: %+v", list)
	}
	if err := b.Load(ctx, "text"); err != nil || b.status(t, "text", "1").State != infer.Ready {
		t.Errorf("the other model: %v", err)
	}
}

// TestLoadsUnderLoad loads and unloads while requests run: every answer is right or says that the model is
// not loaded.
func TestLoadsUnderLoad(t *testing.T) {
	root := testdata(t, map[string]string{"relu": ""})
	b := newBench(t, Options{Repository: root, Workers: 4, SessionsPerDevice: 2})
	m := b.model(t, "relu", "1")
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 3 {
		clients.Go(func() {
			m := m
			for n := float32(1); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				want := floats(n, n, n, n)
				// What was unloaded is another version when it is loaded again.
				if now, err := b.Describe(context.Background(), "relu", "1"); err == nil {
					m = now
				}
				a := b.run(t, m, b.request(m, in{0, tensor.FP32, []int64{1, 4}, want}), b.request(m, in{0, tensor.FP32, []int64{1, 4}, want}))
				for _, a := range a {
					if a.err != nil && a.err.Code != infer.NotReady || a.err == nil && !bytes.Equal(a.outputs[0].data, want) {
						t.Errorf("got %+v, want %x", a, want)
						return
					}
				}
			}
		})
	}
	var loaders sync.WaitGroup
	for range 2 {
		loaders.Go(func() {
			for range 50 {
				if err := b.Unload(context.Background(), "relu"); err != nil {
					t.Error(err)
				}
				if err := b.Load(context.Background(), "relu"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	loaders.Wait()
	close(stop)
	clients.Wait()
}

// refill is an owner that puts the next batch in the device's queue before the last one is finished, so that
// the queue is never empty.
type refill struct {
	b     *bench
	t     *testing.T
	model *infer.Model
	stop  atomic.Bool
	ended chan struct{}
}

func (r *refill) BatchDone(b *infer.Batch, _ *infer.Error, _ *infer.Burst) {
	if r.stop.Load() {
		r.b.group.Release(b.Slot)
		close(r.ended)
		return
	}
	r.submit(b.Slot)
}

func (r *refill) submit(slot infer.Slot) {
	request := r.b.request(r.model, in{0, tensor.FP32, []int64{1, 4}, make([]byte, 16)})
	c := r.b.memory.NewCall(request)
	request.Release()
	batch := r.b.memory.NewBatch()
	batch.Model, batch.Slot, batch.Slots, batch.Owner = r.model, slot, r.b.group, r
	batch.Add(c, infer.AllRows)
	batch.Seal()
	c.Release()
	if err := slot.Runner.Run(batch, nil); err != nil {
		r.t.Error(err)
	}
}

func TestABusyDeviceLoadsModels(t *testing.T) {
	root := testdata(t, map[string]string{"relu": "", "text": ""})
	b := newBench(t, Options{Repository: root, Workers: 1})
	r := &refill{b: b, t: t, model: b.model(t, "relu", "1"), ended: make(chan struct{})}
	slot, ok := b.group.TryAcquire(r.model)
	if !ok {
		t.Fatal("no slot")
	}
	r.submit(slot)
	if err := errors.Join(b.Unload(context.Background(), "text"), b.Load(context.Background(), "text")); err != nil {
		t.Error(err)
	}
	if m := b.model(t, "text", "1"); m.MaxBatch == 0 {
		t.Errorf("loaded under load: %s", m.Merge)
	}
	r.stop.Store(true)
	<-r.ended
}

func TestNeverIsForGood(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"shy": ""})})
	l := b.find("shy", "1").current.Load()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { l.decide(mergeProven, "proved") })
		all.Go(func() { l.decide(mergeNever, "never: refuted") })
	}
	all.Wait()
	if m := b.model(t, "shy", "1"); m.MaxBatch != 0 || m.Merge != "never: refuted" || l.merging() != mergeNever {
		t.Errorf("got %d, %q, %d", m.MaxBatch, m.Merge, l.merging())
	}
}

func TestConfigIsHonoured(t *testing.T) {
	labels := "zero\none\ntwo\nthree\n"
	root := testdata(t, map[string]string{
		"relu":           `max_batch_size: 5 output { name: "y" label_filename: "labels.txt" } dynamic_batching { }`,
		"relu-labels":    `output { name: "y" label_filename: "../relu/labels.txt" }`,
		"relu-missing":   `output { name: "y" label_filename: "labels.txt" }`,
		"relu-file":      `default_model_filename: "net.onnx"`,
		"relu-outside":   `default_model_filename: "../1/model.onnx"`,
		"relu-no-batch":  `input { name: "x" dims: [ -1, 4 ] }`,
		"relu-bad-rank":  `input { name: "x" dims: [ 4 ] }`,
		"relu-bad-input": `input { name: "z" }`,
		"relu-triton":    `backend: "tensorrt"`,
	})
	write(t, filepath.Join(root, "relu", "labels.txt"), []byte(labels))
	write(t, filepath.Join(root, "relu-file", "1", "net.onnx"), readFileOf(t, "testdata/relu.onnx"))
	b := newBench(t, Options{Repository: root})
	m := b.model(t, "relu", "1")
	if m.MaxBatch != 5 || m.AnyRows || len(m.Outputs[0].Labels) != 4 || m.Outputs[0].Labels[3] != "three" {
		t.Errorf("got %+v", m)
	}
	if m := b.model(t, "relu-file", "1"); m.MaxBatch != 32 || !m.AnyRows {
		t.Errorf("without max_batch_size: %+v", m)
	}
	b.model(t, "relu-no-batch", "1")
	for name, want := range map[string]string{
		"relu-labels":    "not inside the model's folder",
		"relu-missing":   "label_filename",
		"relu-outside":   "no plain file name",
		"relu-bad-rank":  "do not fit the model's [-1,4]",
		"relu-bad-input": "the model has none of that name",
		"relu-triton":    "not what this pool runs",
	} {
		if s := b.status(t, name, "1"); s.State != infer.Unavailable || !strings.Contains(s.Reason, want) {
			t.Errorf("%s: %v %q, want %q", name, s.State, s.Reason, want)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	library := library(t)
	memory := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
	devices := NewDevices(backends.NewGroup(), memory)
	defer devices.Close()
	root := t.TempDir()
	for _, c := range []struct {
		name string
		opts Options
		want string
	}{
		{"no repository", Options{Library: library, Repository: filepath.Join(root, "none")}, "none"},
		{"no library", Options{Library: filepath.Join(root, "lib.so"), Repository: root}, "ONNX Runtime is missing"},
		{"no CUDA", Options{Library: library, Repository: root, Devices: []string{"cpu", "cuda:3"}}, "cuda:3"},
		{"no such device", Options{Library: library, Repository: root, Devices: []string{"tpu"}}, `"tpu" is no device`},
		{"a device twice", Options{Library: library, Repository: root, Devices: []string{"cpu", "cpu"}}, "twice"},
		{"negative threads", Options{Library: library, Repository: root, Threads: -1}, "threads: -1"},
	} {
		if p, err := New(c.opts, devices, zap.NewNop()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.name, err, c.want)
			if p != nil {
				p.Close()
			}
		}
	}
}

func TestClosedPools(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"relu": ""})})
	m := b.model(t, "relu", "1")
	b.Close()
	b.Close()
	if err := b.Load(context.Background(), "relu"); err == nil {
		t.Error("a closed pool loads")
	}
	if a := b.run(t, m, b.request(m, in{0, tensor.FP32, []int64{1, 4}, floats(1, 2, 3, 4)}))[0]; a.err == nil || a.err.Code != infer.NotReady {
		t.Errorf("a request to a closed pool: %+v", a)
	}
}
