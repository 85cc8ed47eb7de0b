package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/internal/gateway"
	"github.com/sluice-serving/sluice/telemetry"
)

const oneModel = `
pools:
  - {name: p, kind: puppet, script: "model:m"}
models:
  - name: m
    targets:
      - {version: "1", pool: p, weight: 3, labels: [stable]}
      - {version: "2", pool: p, weight: 1, labels: [canary]}
`

func TestServesWhatTheFileSays(t *testing.T) {
	r := start(t, oneModel)
	got := map[string]int{}
	for range 40 {
		status, version := r.infer("m")
		if status != 200 {
			t.Fatalf("%d %s", status, version)
		}
		got[version]++
	}
	if got["1"] != 30 || got["2"] != 10 {
		t.Errorf("versions served %v, want 30 to 10", got)
	}
	if status, version := r.infer("m/versions/canary"); status != 200 || version != "2" {
		t.Errorf("the label leads to %d %s", status, version)
	}
	if status, text := r.infer("nope"); status != 404 || !strings.Contains(text, `"m"`) {
		t.Errorf("unknown model: %d %s", status, text)
	}
	if _, body := r.call("metrics", "GET", "/metrics", ""); !strings.Contains(body, `sluice_requests_total{code="OK",model="m",protocol="http",version="2"} 11`) {
		t.Errorf("metrics do not count the requests:\n%s", grep(body, "requests_total"))
	}
	var ready map[string]string
	data, err := os.ReadFile(filepath.Join(filepath.Dir(r.file), "ready.json"))
	if err != nil || json.Unmarshal(data, &ready) != nil || ready["http"] != r.g.Addresses()["http"] {
		t.Errorf("ready file %s, %v", data, err)
	}
}

func grep(text, what string) string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, what) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

func TestDiscoversWhatAPoolReports(t *testing.T) {
	r := start(t, `
pools:
  - {name: p, kind: puppet, script: "model:a,model:b", discover: true}
  - {name: q, kind: puppet, script: "model:b,model:c", discover: true}
`)
	for _, m := range []string{"a", "b", "c"} {
		if status, version := r.infer(m); status != 200 || version != "2" {
			t.Errorf("%s: %d %s, want the highest version", m, status, version)
		}
	}
	_, body := r.call("admin", "GET", "/v1/models/b", "")
	if !strings.Contains(body, `"pool": "p"`) || strings.Contains(body, `"pool": "q"`) {
		t.Errorf("the first pool does not have the name: %s", body)
	}
	const warning = "a pool listed before has one of its name"
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if log := r.logged(); strings.Count(log, warning) != 1 || !strings.Contains(log, `"model":"b","pool":"q","serving_pool":"p"`) {
		t.Errorf("want one warning of b in q: %s", log)
	}
}

func TestAPoolThatFailsKeepsNoOtherFromServing(t *testing.T) {
	r := &running{
		t: t, puppets: newPuppets(), file: filepath.Join(t.TempDir(), "sluice.yaml"),
		signals: make(chan os.Signal, 2), ended: make(chan error, 1), lines: &lockedBuffer{},
	}
	r.puppets.fail["model:bad"] = errors.New("the device is on fire")
	r.begin(strings.Replace(oneModel, "pools:\n", "pools:\n  - {name: broken, kind: puppet, script: \"model:bad\"}\n", 1) + `
  - {name: bad, targets: [{version: "1", pool: broken}]}
  - {name: lost, targets: [{version: "7", pool: p}]}
`[1:])
	if status, text := r.infer("m"); status != 200 {
		t.Errorf("m: %d %s", status, text)
	}
	for _, m := range []string{"bad", "lost"} {
		if status, text := r.infer(m); status != 503 || strings.Contains(text, "fire") {
			t.Errorf("%s: %d %s", m, status, text)
		}
	}
	if _, body := r.call("admin", "GET", "/v1/models/bad", ""); !strings.Contains(body, "the device is on fire") {
		t.Errorf("operators are not told why: %s", body)
	}
	if status, _ := r.call("http", "GET", "/v2/health/ready", ""); status != 200 {
		t.Error("not ready although what failed has failed for good")
	}
	if !strings.Contains(r.logged(), "the device is on fire") {
		t.Error("the log does not say why")
	}
}

// TestNotReadyWhereNoPoolCanBeOpened has the only pool fail, as without the library of ONNX Runtime, and be there later.
func TestNotReadyWhereNoPoolCanBeOpened(t *testing.T) {
	r := &running{
		t: t, puppets: newPuppets(), file: filepath.Join(t.TempDir(), "sluice.yaml"),
		signals: make(chan os.Signal, 2), ended: make(chan error, 1), lines: &lockedBuffer{},
	}
	const script = "model:bad"
	r.puppets.fail[script] = errors.New("the device is on fire")
	r.launch("pools: [{name: broken, kind: puppet, script: \"" + script + "\", discover: true}]\n")
	if status, body := r.call("admin", "GET", "/readyz", ""); status != 503 || !strings.Contains(body, `\"broken\": the device is on fire`) {
		t.Errorf("readyz of the admin port: %d %s", status, body)
	}
	if status, _ := r.call("http", "GET", "/v2/health/ready", ""); status != 503 {
		t.Errorf("ready on the data port: %d", status)
	}
	if status, text := r.infer("bad"); status != 503 || strings.Contains(text, "fire") || strings.Contains(text, "there are no models") {
		t.Errorf("a model that there may be: %d %s", status, text)
	}
	if status, body := r.call("admin", "POST", "/v1/models/bad:load", ""); status != 503 || !strings.Contains(body, "could not be opened") {
		t.Errorf("loading a model that there may be: %d %s", status, body)
	}
	if log := r.logged(); !strings.Contains(log, "not ready") {
		t.Errorf("the log does not say that nothing can be served: %s", log)
	}
	r.puppets.mu.Lock()
	delete(r.puppets.fail, script)
	r.puppets.mu.Unlock()
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	<-r.g.Ready()
	if status, body := r.call("admin", "GET", "/readyz", ""); status != 200 {
		t.Errorf("readyz when the pool is there: %d %s", status, body)
	}
	if status, text := r.infer("bad"); status != 200 {
		t.Errorf("the model when the pool is there: %d %s", status, text)
	}
}

func TestReloads(t *testing.T) {
	r := start(t, oneModel)
	r.write(strings.Replace(oneModel, `version: "1", pool: p, weight: 3`, `version: "1", pool: p, weight: 0`, 1))
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if _, version := r.infer("m"); version != "2" {
			t.Fatalf("version %s served after its weight went to zero", version)
		}
	}
	r.write("models: [{nme: x}]\n")
	var problems config.Errors
	if err := r.reload(); !errors.As(err, &problems) || !strings.Contains(err.Error(), `did you mean "name"`) {
		t.Errorf("a bad file: %v", err)
	}
	if status, version := r.infer("m"); status != 200 || version != "2" {
		t.Errorf("after a bad file: %d %s", status, version)
	}
	if _, body := r.call("metrics", "GET", "/metrics", ""); !strings.Contains(body, "sluice_config_last_reload_successful 0") {
		t.Error("the gauge does not tell of the bad file")
	}
}

func TestAChangedFileIsNoticed(t *testing.T) {
	r := start(t, oneModel)
	r.write(strings.Replace(oneModel, "name: m\n", "name: renamed\n", 1) + "    deadline: 1s\n")
	// The puppet knows no model called renamed, so the new one answers 503 and the old one is gone.
	deadline := time.Now().Add(10 * time.Second)
	for {
		if status, _ := r.infer("renamed"); status == 503 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the change was not noticed; log:\n%s", r.logged())
		}
		time.Sleep(20 * time.Millisecond)
	}
	if status, _ := r.infer("m"); status != 404 {
		t.Error("the old model still serves")
	}
}

func TestReloadsUnderLoadFailNobody(t *testing.T) {
	scripts := []string{"model:m,fixed:1ms,slots:2", "model:m,fixed:1ms,slots:3"}
	yaml := func(i int) string {
		y := strings.Replace(oneModel, "model:m", scripts[i/20%2], 1)
		return strings.Replace(y, "weight: 3", []string{"weight: 3", "weight: 5", "weight: 0"}[i%3], 1)
	}
	r := start(t, yaml(0))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var asked, failed atomic.Int64
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				if status, text := r.infer("m"); status != 200 {
					failed.Add(1)
					t.Errorf("%d %s", status, text)
					return
				}
			}
		})
	}
	reloads := 200
	if testing.Short() {
		reloads = 40
	}
	for i := range reloads {
		r.write(yaml(i + 1))
		if err := r.reload(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if failed.Load() > 0 || asked.Load() < int64(reloads) {
		t.Errorf("%d of %d requests failed over %d reloads", failed.Load(), asked.Load(), reloads)
	}
	waitFor(t, "old generations are gone", func() bool {
		_, body := r.call("admin", "GET", "/v1/status", "")
		return !strings.Contains(body, "retiring")
	})
	if n := r.puppets.count(); n != 1 {
		t.Errorf("%d pools are open, want 1", n)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("it never came to be that %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestOperatorsSplitAndSwitch(t *testing.T) {
	r := start(t, oneModel)
	steps := []struct {
		method, path, body string
		status             int
		then               string // version that serves, or "" for none
	}{
		{"PUT", "/v1/models/m/split", `{"1": 0, "2": 1}`, 200, "2"},
		{"POST", "/v1/models/m/versions/2:disable", "", 200, ""},
		{"POST", "/v1/models/m/versions/2:enable", "", 200, "2"},
		{"PUT", "/v1/models/m/split", `{"3": 1}`, 400, "2"},
		{"PUT", "/v1/models/nope/split", `{"1": 1}`, 404, "2"},
		{"PUT", "/v1/models/m/split", `{"1": 1, "2": 0}`, 200, "1"},
	}
	for _, s := range steps {
		if status, body := r.call("admin", s.method, s.path, s.body); status/100 != s.status/100 {
			t.Errorf("%s %s %s: %d %s, want %d", s.method, s.path, s.body, status, body, s.status)
		}
		status, version := r.infer("m")
		if s.then == "" && status != 503 || s.then != "" && (status != 200 || version != s.then) {
			t.Errorf("after %s %s: %d %s, want version %q", s.path, s.body, status, version, s.then)
		}
	}
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if _, version := r.infer("m"); version != "1" {
		t.Error("a reload that did not touch the model's weights dropped the operator's split")
	}
}

func TestListenersMoveWithoutARestart(t *testing.T) {
	r := start(t, oneModel)
	was := r.g.Addresses()["http"]
	text := strings.Replace(listen+oneModel, `http: {address: "127.0.0.1:0"}`, `http: {address: "127.0.0.1:0", prefix: "/ml"}`, 1)
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if now := r.g.Addresses()["http"]; now != was {
		t.Errorf("the port moved from %s to %s although its address stayed", was, now)
	}
	// What the old port had accepted when it went is still answered as it was.
	waitFor(t, "the port answers behind its new prefix", func() bool {
		status, _ := r.call("http", "GET", "/ml/v2/health/live", "")
		if status != 200 && status != 404 {
			t.Fatalf("behind the new prefix: %d", status)
		}
		return status == 200
	})
	sock := filepath.Join(t.TempDir(), "s")
	text = strings.Replace(text, `http: {address: "127.0.0.1:0"`, `http: {address: "unix:`+sock+`"`, 1)
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if now := r.g.Addresses()["http"]; now != "unix:"+sock {
		t.Errorf("the port is %s", now)
	}
	if _, err := os.Stat(sock); err != nil {
		t.Error(err)
	}
}

func TestAPortInUseChangesNothing(t *testing.T) {
	r := start(t, oneModel)
	other := r.g.Addresses()["metrics"]
	text := strings.Replace(listen+oneModel, `http: {address: "127.0.0.1:0"}`, `http: {address: "`+other+`"}`, 1)
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.reload(); err == nil || !strings.Contains(err.Error(), "listen.http") {
		t.Errorf("a port in use: %v", err)
	}
	if status, version := r.infer("m"); status != 200 {
		t.Errorf("%d %s", status, version)
	}
}

func TestDrainAnswersWhatIsInFlight(t *testing.T) {
	r := start(t, strings.Replace(oneModel, "model:m", "model:m,fixed:300ms,slots:4", 1))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if status, text := r.infer("m"); status != 200 {
				t.Errorf("%d %s", status, text)
			}
		})
	}
	waitFor(t, "all are in flight", func() bool {
		_, body := r.call("admin", "GET", "/v1/status", "")
		return strings.Contains(body, `"in_flight_requests": 4`)
	})
	r.signals <- syscall.SIGTERM
	wg.Wait()
	if err := r.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	r := start(t, strings.Replace(oneModel, "model:m", "model:m,fixed:1h", 1))
	var wg sync.WaitGroup
	wg.Go(func() { r.infer("m") })
	waitFor(t, "it is in flight", func() bool {
		_, body := r.call("admin", "GET", "/v1/status", "")
		return strings.Contains(body, `"in_flight_requests": 1`)
	})
	begin := time.Now()
	r.signals <- syscall.SIGTERM
	r.signals <- syscall.SIGTERM
	if err := r.end(); err == nil {
		t.Error("ended as if all had been answered")
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
	wg.Wait()
}

func TestNewRefusesABadConfiguration(t *testing.T) {
	log, err := telemetry.NewLog(telemetry.LogOptions{Output: &lockedBuffer{}})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	_, err = gateway.New(gateway.Options{
		Sources: config.Sources{File: "x.yaml", Data: []byte("version: 2\n")}, Kinds: []gateway.Kind{newPuppets().kind()},
	}, log)
	var problems config.Errors
	if !errors.As(err, &problems) {
		t.Errorf("%v", err)
	}
}

func TestReloadAfterTheEndIsRefused(t *testing.T) {
	r := start(t, oneModel)
	_ = r.end()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := r.g.Reload(ctx); err == nil {
		t.Error("a gateway that has ended reloaded")
	}
}
