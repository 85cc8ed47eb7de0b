//go:build cgo

package onnx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/tensor"
)

// threads returns how many threads the process has, -1 where the system does not say.
func threads() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	_, after, _ := strings.Cut(string(status), "\nThreads:")
	n := -1
	fmt.Sscan(after, &n)
	return n
}

// repository makes a folder with copies of the file at path as model m0, m1 and so on.
func repository(t testing.TB, path string, models int) string {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for i := range models {
		folder := filepath.Join(root, fmt.Sprintf("m%d", i), "1")
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "model.onnx"), src, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestManyModels(t *testing.T) {
	models := 1200
	if testing.Short() {
		models = 100
	}
	root := repository(t, digitsRepository+"/digits/1/model.onnx", models)
	started := time.Now()
	b := newBench(t, Options{Repository: root})
	took, n := time.Since(started), threads()
	t.Logf("%d models ready in %v with %d threads", models, took, n)
	if took > 30*time.Second {
		t.Errorf("%d models took %v, want 30 s at most", models, took)
	}
	if n >= 100 {
		t.Errorf("%d models made %d threads, want fewer than 100", models, n)
	}
	m := b.model(t, fmt.Sprintf("m%d", models-1), "1")
	if a := b.run(t, m, b.request(m, in{0, tensor.FP32, []int64{1, 64}, make([]byte, 256)}))[0]; a.err != nil {
		t.Error(a.err)
	}
}

// resident returns the kilobytes of memory that the process has, -1 where the system does not say.
func resident() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return -1
	}
	_, after, _ := strings.Cut(string(status), "\nVmRSS:")
	n := -1
	fmt.Sscan(after, &n)
	return n
}

func TestUnloadGivesTheMemoryBack(t *testing.T) {
	b := newBench(t, Options{Repository: testdata(t, map[string]string{"relu": "", "text": "", "lookup": ""})})
	ctx := context.Background()
	cycle := func() {
		for _, name := range []string{"relu", "text", "lookup"} {
			if err := errors.Join(b.Unload(ctx, name), b.Load(ctx, name)); err != nil {
				t.Fatal(err)
			}
		}
		debug.FreeOSMemory()
	}
	for range 20 {
		cycle()
	}
	before := resident()
	for range 100 {
		cycle()
	}
	// A session takes 100 KB and more: 300 that stay would be 30 MB.
	if after := resident(); after > before+12<<10 {
		t.Errorf("300 loads and unloads: %d KB before, %d KB after", before, after)
	}
}
