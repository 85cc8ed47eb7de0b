package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/gateway"
	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/telemetry"
)

func TestMain(m *testing.M) { leak.Main(m) }

// puppets is a kind of pools that are puppets, and remembers them by their script.
type puppets struct {
	mu   sync.Mutex
	open map[string]*puppet.Puppet
	fail map[string]error // scripts whose pool cannot be opened
}

func newPuppets() *puppets {
	return &puppets{open: map[string]*puppet.Puppet{}, fail: map[string]error{}}
}

func (p *puppets) kind() gateway.Kind {
	script := func(c *config.Pool) string {
		var o struct{ Script string }
		c.Options.Into(&o)
		return o.Script
	}
	return gateway.Kind{
		Config: config.Kind{Name: "puppet", Doc: "Answers as told.", Target: "script", Keys: []config.Key{
			{Name: "script", Type: config.String, Doc: "What it does.", Required: true},
		}},
		Start: func(gateway.Env) gateway.Host {
			return gateway.Host{
				Key:   script,
				Open:  func(c *config.Pool) (*backends.Pool, error) { return p.openPool(script(c)) },
				Close: func() {},
			}
		},
	}
}

func (p *puppets) openPool(script string) (*backends.Pool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.fail[script]; err != nil {
		return nil, err
	}
	opts, err := puppet.Parse(script)
	if err != nil {
		return nil, err
	}
	for _, m := range opts.Models {
		two := *m
		two.Version = "2"
		opts.Models = append(opts.Models, &two)
	}
	pup := puppet.New(opts)
	p.open[script] = pup
	return &backends.Pool{
		Open: func(*infer.Model) infer.Opener { return pup },
		Kind: "puppet", Slots: pup, Catalog: pup, Endpoints: func() []backends.EndpointStatus { return nil },
		Close: func(context.Context) error {
			p.mu.Lock()
			delete(p.open, script)
			p.mu.Unlock()
			pup.Close()
			return nil
		},
	}, nil
}

func (p *puppets) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// running is a gateway under test.
type running struct {
	t       *testing.T
	g       *gateway.Gateway
	puppets *puppets
	file    string
	signals chan os.Signal
	stop    context.CancelFunc
	ended   chan error
	log     *telemetry.Log
	lines   *lockedBuffer // of log
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const listen = `version: 1
listen:
  http: {address: "127.0.0.1:0"}
  metrics: {address: "127.0.0.1:0"}
  admin: {address: "127.0.0.1:0"}
drain: {delay: 0s, grace: 5s}
`

// start runs a gateway with a configuration file of listen and yaml.
func start(t *testing.T, yaml string) *running {
	t.Helper()
	r := &running{
		t: t, puppets: newPuppets(), file: filepath.Join(t.TempDir(), "sluice.yaml"),
		signals: make(chan os.Signal, 2), ended: make(chan error, 1), lines: &lockedBuffer{},
	}
	r.begin(yaml)
	return r
}

func (r *running) begin(yaml string) {
	r.t.Helper()
	r.launch(yaml)
	select {
	case <-r.g.Ready():
	case <-time.After(10 * time.Second):
		r.t.Fatalf("not ready; log:\n%s", r.logged())
	}
}

// launch is begin for one that may not become ready.
func (r *running) launch(yaml string) {
	r.t.Helper()
	r.write(yaml)
	log, err := telemetry.NewLog(telemetry.LogOptions{Output: r.lines, Burst: -1})
	if err != nil {
		r.t.Fatal(err)
	}
	r.log = log
	r.g, err = gateway.New(gateway.Options{
		Sources: config.Sources{File: r.file}, Kinds: []gateway.Kind{r.puppets.kind(), gateway.Triton(), gateway.TFServing(), gateway.KServe(), gateway.ONNX()},
		ReadyFile: filepath.Join(filepath.Dir(r.file), "ready.json"),
	}, log)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.ended <- r.g.Run(ctx, r.signals) }()
	r.t.Cleanup(func() {
		r.end()
		_ = log.Close()
	})
}

// logged returns what was logged so far. The log has a writer of its own, which is waited for.
func (r *running) logged() string {
	r.t.Helper()
	if err := r.log.Logger().Sync(); err != nil {
		r.t.Error(err)
	}
	return r.lines.String()
}

// end stops the gateway, if it has not ended, and checks that it gave everything back.
func (r *running) end() error {
	r.t.Helper()
	r.stop()
	if r.ended == nil {
		return nil
	}
	select {
	case err := <-r.ended:
		r.ended = nil
		http.DefaultClient.CloseIdleConnections()
		if e := r.g.Memory().Check(); e != nil {
			r.t.Error(e)
		}
		if n := r.puppets.count(); n != 0 {
			r.t.Errorf("%d pools are still open", n)
		}
		return err
	case <-time.After(10 * time.Second):
		r.t.Errorf("did not end; log:\n%s", r.logged())
		return nil
	}
}

// write replaces the configuration file as an editor does.
func (r *running) write(yaml string) {
	r.t.Helper()
	r.rewrite(listen + yaml)
}

func (r *running) rewrite(text string) {
	r.t.Helper()
	tmp := r.file + ".new"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(tmp, r.file); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) reload() error {
	_, err := r.g.Reload(context.Background())
	return err
}

// call makes a request to a port and returns the status and the body.
func (r *running) call(port, method, path, body string) (int, string) {
	req, err := http.NewRequest(method, "http://"+r.g.Addresses()[port]+path, strings.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return 0, ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

const ask = `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`

// infer asks a model and returns the status and the version that answered.
func (r *running) infer(model string) (status int, version string) {
	status, body := r.call("http", "POST", "/v2/models/"+model+"/infer", ask)
	var answer struct {
		Version string `json:"model_version"`
		Error   string `json:"error"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return status, fmt.Sprintf("%v: %s", err, body)
	}
	if status != http.StatusOK {
		return status, answer.Error
	}
	return status, answer.Version
}
