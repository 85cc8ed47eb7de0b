package gateway

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ready.json")
	if err := os.WriteFile(path, []byte(`{"http":"of an earlier process, which had more to say"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := clearReadyFile(path); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left before anything is ready: %v, %v", left, err)
	}
	want := map[string]string{"http": "127.0.0.1:1"}
	for range 2 {
		if err := writeReadyFile(path, want); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(data, &got); err != nil || got["http"] != want["http"] {
		t.Errorf("got %s, %v", data, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("rights %v, %v: others cannot read it", info.Mode(), err)
	}
}

// TestReadyFileThatCannotBe has a start end where whoever waits for the file would wait for ever.
func TestReadyFileThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"no folder": filepath.Join(dir, "none", "ready.json"), "a folder": full} {
		if err := clearReadyFile(path); err == nil || !strings.Contains(err.Error(), "--ready-file") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadyFileThatIsNoFile writes into a pipe, which must be one afterwards, too.
func TestReadyFileThatIsNoFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := clearReadyFile(path); err != nil {
		t.Fatal(err)
	}
	if err := writeReadyFile(path, nil); err == nil {
		t.Error("written although nobody reads")
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := writeReadyFile(path, map[string]string{"http": "here"}); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil || line != `{"http":"here"}`+"\n" {
		t.Errorf("read %q, %v", line, err)
	}
	for _, open := range []string{"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", path} {
		if !isStream(open) {
			t.Errorf("%s would be replaced", open)
		}
	}
}
