package onnx

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDevices(t *testing.T) {
	for _, c := range []struct {
		name string
		want int
		ok   bool
	}{
		{"cpu", cpuDevice, true},
		{"cuda:0", 0, true},
		{"cuda:15", 15, true},
		{"cuda", 0, false},
		{"cuda:", 0, false},
		{"cuda:-1", 0, false},
		{"cuda:01", 0, false},
		{"cuda:+1", 0, false},
		{"CPU", 0, false},
		{"", 0, false},
	} {
		got, err := parseDevice(c.name)
		if (err == nil) != c.ok || err == nil && got != c.want {
			t.Errorf("%q: got %d, %v", c.name, got, err)
		}
	}
}

func TestOptionsNameEveryMistake(t *testing.T) {
	o := Options{Devices: []string{"cpu", "cpu", "gpu"}, SessionsPerDevice: -1, Workers: 5000, MaxRows: -3}
	err := o.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"repository: missing", `devices[1]: "cpu" is there twice`, `devices[2]: "gpu"`, "sessions_per_device: -1", "workers: 5000", "max rows: -3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	o = Options{Repository: "x"}
	o.EnsureDefaults()
	if err := o.Validate(); err != nil || o.MaxRows != 32 || o.SessionsPerDevice != 1 || o.Devices[0] != "cpu" {
		t.Errorf("defaults: %+v, %v", o, err)
	}
}

func TestThreadsTimesWorkersAreTheCores(t *testing.T) {
	for _, c := range []struct {
		opts             Options
		cores, versions  int
		threads, workers int
	}{
		{Options{}, 1, 1, 1, 1},
		{Options{}, 2, 1, 1, 2},
		{Options{}, 2, 1200, 1, 2},
		{Options{}, 16, 2, 8, 2},
		{Options{}, 16, 17, 1, 16},
		{Options{SessionsPerDevice: 9}, 16, 2, 1, 16},
		{Options{Threads: 4}, 16, 100, 4, 4},
		{Options{Threads: 32}, 16, 1, 32, 1},
		{Options{Workers: 3}, 16, 1, 8, 3},
	} {
		c.opts.EnsureDefaults()
		threads, workers := c.opts.share(c.cores, c.versions)
		if threads != c.threads || workers != c.workers {
			t.Errorf("%+v, %d cores, %d versions: %d threads, %d workers, want %d and %d", c.opts, c.cores, c.versions, threads, workers, c.threads, c.workers)
		}
	}
}

func TestFindLibrary(t *testing.T) {
	t.Setenv("SLUICE_ONNXRUNTIME", "/some/lib.so")
	if path, _ := FindLibrary(); path != "/some/lib.so" {
		t.Errorf("with SLUICE_ONNXRUNTIME: %q", path)
	}
	t.Setenv("SLUICE_ONNXRUNTIME", "")
	dir := t.TempDir()
	t.Chdir(dir)
	path, looked := FindLibrary()
	if path != libraryName() || len(looked) != 4 {
		t.Errorf("nowhere: %q, looked at %q", path, looked)
	}
	want := filepath.Join(dir, ".cache", "onnxruntime", libraryName())
	if err := os.MkdirAll(filepath.Dir(want), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, _ := FindLibrary()
	if resolved, _ := filepath.EvalSymlinks(want); got != want && got != resolved {
		t.Errorf("in the working directory: %q, want %q", got, want)
	}
}

func TestVersionsAreOrderedAsNumbers(t *testing.T) {
	for _, name := range []string{"0", "01", "-1", "+1", "1a", "", "v1", "99999999999999999999"} {
		if isVersion(name) {
			t.Errorf("%q passes for a version", name)
		}
	}
	if !isVersion("1") || !isVersion("20260101") || compareVersions("9", "10") >= 0 || compareVersions("2", "1") <= 0 || compareVersions("7", "7") != 0 {
		t.Error("versions")
	}
}
