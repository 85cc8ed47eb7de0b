package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/telemetry"
)

// gateway stands in for the process behind the API: two versions of one model whose weights and switches can change.
type gateway struct {
	url    string
	client *http.Client
	logs   *observer.ObservedLogs
	file   string

	token  atomic.Pointer[Token]
	config atomic.Pointer[config.Config]
	notYet atomic.Bool
	broken atomic.Pointer[error] // what changes fail with

	mu struct {
		sync.Mutex
		weights  map[string]float64 // nil: the file's
		disabled map[string]bool
		drained  bool   // every endpoint
		endpoint string // that was drained or undrained last, behind its pool
		reloads  uint64
	}
}

const file = "version: 1\nlisten:\n  http: {address: \"127.0.0.1:0\"}\n"

func start(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{file: filepath.Join(t.TempDir(), "sluice.yaml")}
	g.mu.disabled = map[string]bool{}
	if err := os.WriteFile(g.file, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := g.load(nil)
	if err != nil {
		t.Fatal(err)
	}
	g.config.Store(c)
	core, logs := observer.New(zapcore.InfoLevel)
	g.logs = logs
	log := zap.New(core)
	server := NewServer(New(g.deps(log)), log)

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.url = "http://" + ln.Addr().String()
	transport := &http.Transport{}
	g.client = &http.Client{Transport: transport}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-ended
	})
	return g
}

func (g *gateway) load(data []byte) (*config.Config, error) {
	return config.Load(config.Sources{File: g.file, Data: data}, []config.Kind{config.ONNX()})
}

func (g *gateway) deps(log *zap.Logger) Deps {
	return Deps{
		Token: g.token.Load,
		Ready: func() Readiness {
			if g.notYet.Load() {
				return Readiness{Reason: "starting", Models: []ModelReadiness{{"digits", "1", "loading", ""}}}
			}
			return Readiness{Ready: true, Models: []ModelReadiness{{"digits", "1", "unavailable", "no such file"}}}
		},
		Status: func() Status {
			return Status{Version: "v1", Listeners: map[string]string{"admin": g.url}, Generation: Generation{ID: 7, Hash: "abc"}}
		},
		Models: g.models,
		Pools: func() []Pool {
			g.mu.Lock()
			defer g.mu.Unlock()
			state := "ready"
			if g.mu.drained {
				state = "drained"
			}
			return []Pool{
				{Name: "local", Kind: "onnx", Endpoints: []Endpoint{{Name: "cpu", State: state}}},
				{Name: "team/gpus", Kind: "triton", Endpoints: []Endpoint{{Name: "unix:/run/t.sock", State: state}, {Name: "[::1]:8001", State: state}}},
			}
		},
		Drain: func(_ context.Context, pool, endpoint string, drained bool) error {
			if err := g.broken.Load(); err != nil {
				return *err
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			g.mu.drained = drained
			g.mu.endpoint = pool + " " + endpoint
			return nil
		},
		Config: g.config.Load,
		Check:  g.load,
		Reload: func(context.Context) (Reload, error) {
			next, err := g.load(nil)
			if err != nil {
				return Reload{}, fmt.Errorf("reload: %w", err)
			}
			changes := config.Diff(g.config.Swap(next), next)
			g.mu.Lock()
			defer g.mu.Unlock()
			g.mu.reloads++
			return Reload{Generation: Generation{ID: g.mu.reloads, Hash: next.Hash()}, Changes: changes}, nil
		},
		Split: func(_ context.Context, model string, weights map[string]float64) error {
			if err := g.broken.Load(); err != nil {
				return *err
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			g.mu.weights = weights
			return nil
		},
		Enable: func(_ context.Context, model, version string, enabled bool) error {
			if version == "2" && model == "panics" {
				panic("a fault")
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			g.mu.disabled[version] = !enabled
			return nil
		},
		Load:   func(_ context.Context, model string) error { return g.control(model, false) },
		Unload: func(_ context.Context, model string) error { return g.control(model, true) },
		Log:    log,
		IDs:    telemetry.NewIDs(),
	}
}

// last is the endpoint that was drained or undrained last, behind its pool.
func (g *gateway) last() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.endpoint
}

// control loads or unloads: all versions of digits, as disabling does.
func (g *gateway) control(model string, unload bool) error {
	switch model {
	case "digits":
	case "team/ocr":
		return infer.Errorf(infer.Invalid, "the model cannot be loaded: version 1: no such file")
	default:
		return infer.Errorf(infer.UnknownModel, "there is no model %q", model)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.disabled["1"], g.mu.disabled["2"] = unload, unload
	return nil
}

func (g *gateway) models() []Model {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := Model{Name: "digits", Overridden: g.mu.weights != nil}
	for version, configured := range map[string]float64{"1": 95, "2": 5} {
		weight := configured
		if g.mu.weights != nil {
			weight = g.mu.weights[version]
		}
		m.Versions = append(m.Versions, Version{
			Version: version, State: "ready", Disabled: g.mu.disabled[version],
			Weight:   Weight{Configured: configured, Effective: weight, Share: weight / 100},
			Batching: Batching{Merges: true, Why: "proved: rows of merged runs equal single runs", MaxRows: 32},
		})
	}
	slices.SortFunc(m.Versions, func(a, b Version) int { return strings.Compare(a.Version, b.Version) })
	return []Model{m, {Name: "panics", Versions: m.Versions}, {Name: "team/ocr"}}
}

// call sends one request. headers are name, value pairs.
func (g *gateway) call(t *testing.T, method, path, body string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(method, g.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := g.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, out
}

// ask is call for JSON answers with status want.
func ask[T any](t *testing.T, g *gateway, want int, method, path, body string, headers ...string) T {
	t.Helper()
	resp, out := g.call(t, method, path, body, headers...)
	var answer T
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&answer); err != nil || resp.StatusCode != want || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s answered %d (%v), want %d\n%s", method, path, resp.StatusCode, err, want, out)
	}
	return answer
}
