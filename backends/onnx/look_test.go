package onnx

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name        string
		now, before stamp
		known       *standing
		want        verdict
	}{
		{"nothing", 0, 0, nil, leave},
		{"came and went", 0, 7, nil, leave},
		{"new", 7, 0, nil, wait},
		{"grows", 8, 7, nil, wait},
		{"stands still", 8, 8, nil, fetch},
		{"noted and grows", 8, 7, &standing{}, wait},
		{"noted and stands still", 8, 8, &standing{}, fetch},
		{"is being loaded", 8, 8, &standing{busy: true}, leave},
		{"is being loaded and gone", 0, 0, &standing{busy: true}, leave},
		{"failed", 8, 8, &standing{tried: 8}, leave},
		{"failed and is repaired", 9, 8, &standing{tried: 8}, wait},
		{"failed and was repaired", 9, 9, &standing{tried: 8}, fetch},
		{"serves", 8, 8, &standing{loaded: 8}, agree},
		{"serves, after a look elsewhere", 8, 9, &standing{loaded: 8}, agree},
		{"serves and changes", 9, 8, &standing{loaded: 8}, wait},
		{"serves and has changed", 9, 9, &standing{loaded: 8}, report},
		{"serves and what came failed", 9, 9, &standing{loaded: 8, tried: 9}, leave},
		{"unloaded", 8, 8, &standing{parked: true}, leave},
		{"unloaded and changes", 9, 8, &standing{parked: true}, leave},
		{"unloaded and gone", 0, 0, &standing{parked: true}, drop},
		{"serves and has just gone", 0, 8, &standing{loaded: 8}, wait},
		{"serves and is gone", 0, 0, &standing{loaded: 8}, drop},
		{"failed and is gone", 0, 0, &standing{tried: 8}, drop},
	} {
		if got := judge(c.now, c.before, c.known); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// TestStamps changes one thing after the other, each of which a stamp must show.
func TestStamps(t *testing.T) {
	root := t.TempDir()
	version, config := filepath.Join(root, "1"), filepath.Join(root, configName)
	write(t, filepath.Join(version, "model.onnx"), []byte("model"))
	write(t, filepath.Join(version, "weights", "a.bin"), []byte("weights"))
	seen := map[stamp]string{stampOf(version, config): "the beginning"}
	old := time.Now().Add(-time.Hour)
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"a file grows", func() error { return os.WriteFile(filepath.Join(version, "model.onnx"), []byte("model."), 0o600) }},
		{"a time goes back", func() error { return os.Chtimes(filepath.Join(version, "model.onnx"), old, old) }},
		{"weights in a folder change", func() error {
			return os.WriteFile(filepath.Join(version, "weights", "a.bin"), []byte("weights."), 0o600)
		}},
		{"a file comes", func() error { return os.WriteFile(filepath.Join(version, ".model.onnx.part"), nil, 0o600) }},
		{"a file goes", func() error { return os.Remove(filepath.Join(version, "model.onnx")) }},
		{"a file is renamed", func() error {
			return os.Rename(filepath.Join(version, ".model.onnx.part"), filepath.Join(version, "model.onnx"))
		}},
		{"the configuration comes", func() error { return os.WriteFile(config, []byte("max_batch_size: 1"), 0o600) }},
		{"the folder goes", func() error { return os.RemoveAll(version) }},
	} {
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		now := stampOf(version, config)
		if now == 0 || seen[now] != "" {
			t.Errorf("after %s the stamp is %x, that of %q", change.name, now, seen[now])
		}
		if again := stampOf(version, config); again != now {
			t.Errorf("after %s two looks differ: %x and %x", change.name, now, again)
		}
		seen[now] = change.name
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
