package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func show(t *testing.T, c *Config, origins bool) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Show(&b, origins); err != nil {
		t.Fatalf("Show: %v", err)
	}
	return b.String()
}

// TestShowRoundTrips: what show prints is a configuration, and the same one.
func TestShowRoundTrips(t *testing.T) {
	everything, _ := full(t)
	flagged, err := Load(Sources{Flags: []Flag{{"http", ":0"}, {"backend", "onnx=testdata/models"}}}, kinds())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Config{
		"everything set": everything,
		"flags":          flagged,
		"defaults":       mustLoad(t, "version: 1\n"),
	} {
		for _, origins := range []bool{false, true} {
			text := show(t, c, origins)
			// From another folder: what show prints must not depend on it.
			again, err := Load(Sources{File: filepath.Join(t.TempDir(), "x.yaml"), Data: []byte(text)}, kinds())
			if err != nil {
				t.Fatalf("%s: show's output does not load: %v\n%s", name, err, text)
			}
			if got, want := show(t, again, false), show(t, c, false); got != want {
				t.Errorf("%s: show of show:\n%s\nwant:\n%s", name, got, want)
			}
			if changes := Diff(c, again); len(changes) > 0 {
				t.Errorf("%s: show's output differs: %s", name, strings.Join(changes, "; "))
			}
			if !reflect.DeepEqual(c.Models, again.Models) || c.Listen != again.Listen || c.Telemetry != again.Telemetry {
				t.Errorf("%s: show's output loads as something else", name)
			}
		}
	}
}

func TestShowOrigins(t *testing.T) {
	c, err := Load(Sources{
		File:  "testdata/sluice.yaml",
		Data:  []byte("version: 1\npools:\n  - {name: p, kind: onnx, repository: models}\nmodels:\n  - {name: m, targets: [{version: 1, pool: p, labels: [a, b]}, {version: 2, pool: p}]}\n"),
		Flags: []Flag{{"http", ":0"}},
	}, []Kind{ONNX()})
	if err != nil {
		t.Fatal(err)
	}
	if c, err = c.WithSplit("m", map[string]float64{"1": 9, "2": 1}); err != nil {
		t.Fatal(err)
	}
	if c, err = c.WithVersion("m", "2", false); err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/show.txt", strings.ReplaceAll(show(t, c, true), wd, "$DIR"))
}

// golden compares text with a file, or writes it there with -rewrite.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *rewrite {
		write(t, name, got)
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is stale (go test ./config -rewrite writes it); got:\n%s", name, got)
	}
}

func TestExplain(t *testing.T) {
	c := mustLoad(t, "version: 1\npools:\n  - {name: p, kind: onnx, repository: models}\nmodels:\n  - {name: m, targets: [{version: 1, pool: p}], queue: {max_rows: 7}}\n")
	var b strings.Builder
	for _, path := range []string{
		"", "listen", "models[m].queue.max_rows", "models[0].queue.max_wait", "models[m].targets[\"1\"].weight",
		"models[m].deadline", "pools[p].devices", "pools[p].kind", "models[].deadline", "pools[].threads", "models[].targets[].labels",
		"limits.bdy", "models.queue", "models[x]", "models[7].name", "models[0", "models[].x", "listen[]", "limits.body[0]", "limits.body.x",
	} {
		b.WriteString("> " + path + "\n")
		e, err := c.Explain(path)
		if err != nil {
			b.WriteString("error: " + err.Error() + "\n")
		} else {
			b.WriteString(e.String())
		}
	}
	golden(t, "testdata/explain.txt", b.String())
}

func TestEntries(t *testing.T) {
	c := mustLoad(t, "version: 1\ndrain: {grace: 5s}\n")
	got := make(map[string]Entry)
	for _, e := range c.Entries() {
		got[e.Path] = e
	}
	for _, want := range []Entry{
		{"version", "1", "testdata/sluice.yaml:1:10"},
		{"drain.grace", "5s", "testdata/sluice.yaml:2:16"},
		{"drain.delay", "5s", "default"},
		{"limits.in_flight", "auto", "default"},
	} {
		if got[want.Path] != want {
			t.Errorf("%s: got %+v, want %+v", want.Path, got[want.Path], want)
		}
	}
	if e, ok := got["listen.admin.token"]; ok {
		t.Errorf("an unset value is listed: %+v", e)
	}
}
