package cli

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/admin"
)

// errReady says that a server is still ready.
var errReady = errors.New("it is still ready")

// digitsFile writes a configuration of the digits models with the given weights; extra is further YAML.
func digitsFile(t *testing.T, path string, first, second int, extra string) {
	t.Helper()
	digitsFileOf(t, filepath.Join(repository(t), "examples", "digits", "models"), path, first, second, extra)
}

// digitsFileOf is digitsFile with models that lie elsewhere.
func digitsFileOf(t *testing.T, models, path string, first, second int, extra string) {
	t.Helper()
	write(t, path, fmt.Sprintf(`version: 1
listen: {http: {address: "127.0.0.1:0"}, metrics: {address: "127.0.0.1:0"}, admin: {address: "127.0.0.1:0"}}
pools: [{name: local, kind: onnx, repository: %q}]
models: [{name: digits, targets: [{version: "1", pool: local, weight: %d}, {version: "2", pool: local, weight: %d}]}]
%s`, models, first, second, extra))
}

// share waits until version 1 of the digits gets a share of the requests.
func (p *process) share(t *testing.T, want float64) {
	t.Helper()
	err := eventually(func() error {
		var m admin.Model
		p.get("/v1/models/digits", &m)
		if got := m.Versions[0].Weight.Share; got != want {
			return fmt.Errorf("version 1 gets a share of %g, want %g", got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, p.words.String())
	}
}

// reloaded waits for a reload after one that was seen before, and returns how it went.
func (p *process) reloaded(t *testing.T, before *admin.ReloadStatus) *admin.ReloadStatus {
	t.Helper()
	var st admin.Status
	err := eventually(func() error {
		st = admin.Status{}
		p.get("/v1/status", &st)
		if st.Reload == nil || before != nil && !st.Reload.At.After(before.At) {
			return errors.New("there was no reload")
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, p.words.String())
	}
	return st.Reload
}

// answeredBy asks the digits and returns the version that answered.
func (p *process) answeredBy(t *testing.T, path string) string {
	t.Helper()
	status, header, body, err := ask(http.MethodPost, p.http, path, digitsBody)
	if err != nil || status != http.StatusOK {
		t.Fatalf("POST %s: %d %v\n%s", path, status, err, body)
	}
	return header.Get("Sluice-Version")
}

const inferDigits = "/v2/models/digits/infer"

func TestSystemReloads(t *testing.T) {
	system(t)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	digitsFile(t, file, 1, 0, "")
	p := serveDigits(t, file)
	p.share(t, 1)
	if v := p.answeredBy(t, inferDigits); v != "1" {
		t.Errorf("version %s answered, want 1", v)
	}

	p.signal(syscall.SIGHUP)
	last := p.reloaded(t, nil)
	if !last.OK {
		t.Errorf("SIGHUP: %s", last.Error)
	}

	digitsFile(t, file, 0, 1, "")
	p.share(t, 0)
	if v := p.answeredBy(t, inferDigits); v != "2" {
		t.Errorf("version %s answered after the file changed, want 2", v)
	}
	last = p.reloaded(t, last)

	digitsFile(t, file, 1, 0, "limits: {boddy: 1MiB}\n")
	last = p.reloaded(t, last)
	if last.OK || !strings.Contains(last.Error, `sluice.yaml:5:10: limits: unknown field "boddy" (did you mean "body"?)`) {
		t.Errorf("a bad file: %+v", last)
	}
	status, _, body, err := ask(http.MethodPost, p.admin, "/v1/config/reload", "")
	if err != nil || status != http.StatusBadRequest || !strings.Contains(body, "boddy") {
		t.Errorf("reloading a bad file: %d %v\n%s", status, err, body)
	}
	p.share(t, 0)
	if v := p.answeredBy(t, inferDigits); v != "2" {
		t.Errorf("version %s answered under a bad file, want 2", v)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	last = p.reloaded(t, last)
	if last.OK {
		t.Error("a file that is gone was loaded")
	}
	digitsFile(t, file, 1, 0, "")
	p.share(t, 1)
	p.stop()
}

func TestSystemReloadsUnderLoad(t *testing.T) {
	system(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "sluice.yaml")
	models := filepath.Join(repository(t), "examples", "digits", "models")
	elsewhere := filepath.Join(dir, "models") // each other 20 reloads open one pool and close another
	if err := os.Symlink(models, elsewhere); err != nil {
		t.Fatal(err)
	}
	digitsFile(t, file, 1, 1, "")
	p := serveDigits(t, file)
	l := startLoad(p.http, inferDigits, digitsBody, 8)
	l.await(t, 10)
	start := time.Now()
	for i := range 200 {
		digitsFileOf(t, []string{models, elsewhere}[i/20%2], file, 1+i%3, 1, "")
		p.change(http.MethodPost, "/v1/config/reload", "")
	}
	took := time.Since(start)
	l.await(t, l.count()+50)
	l.end(t)
	var st admin.Status
	p.get("/v1/status", &st)
	if st.Generation.ID < 200 {
		t.Errorf("the generation is %d after 200 reloads", st.Generation.ID)
	}
	err := eventually(func() error {
		st = admin.Status{}
		p.get("/v1/status", &st)
		if len(st.Retiring) > 0 || st.Load.InFlightRequests > 0 || st.Load.InFlightBytes > 0 {
			return fmt.Errorf("%d generations and %+v are left", len(st.Retiring), st.Load)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	var pools struct {
		Pools []admin.Pool `json:"pools"`
	}
	p.get("/v1/pools", &pools)
	for _, e := range pools.Pools[0].Endpoints {
		if e.SlotsInUse != 0 {
			t.Errorf("%s has %d slots in use at rest", e.Name, e.SlotsInUse)
		}
	}
	t.Logf("200 reloads in %s, %d requests answered", took.Round(time.Millisecond), l.answered)
	p.stop()
}

func TestSystemOverrides(t *testing.T) {
	system(t)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	digitsFile(t, file, 0, 1, "")
	p := serveDigits(t, file)
	version := func(what, want string) {
		t.Helper()
		for range 5 {
			if v := p.answeredBy(t, inferDigits); v != want {
				t.Errorf("%s: version %s answered, want %s", what, v, want)
			}
		}
	}
	version("as configured", "2")
	p.change(http.MethodPut, "/v1/models/digits/split", `{"1": 100}`)
	version("after the split", "1")
	p.change(http.MethodDelete, "/v1/models/digits/split", "")
	version("after the split was dropped", "2")

	p.change(http.MethodPut, "/v1/models/digits/split", `{"1": 50, "2": 50}`)
	p.change(http.MethodPost, "/v1/models/digits/versions/2:disable", "")
	version("after version 2 was disabled", "1")
	if status, _, body, err := ask(http.MethodPost, p.http, "/v2/models/digits/versions/2/infer", digitsBody); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("a disabled version answers %d %v\n%s", status, err, body)
	}
	p.change(http.MethodPost, "/v1/config/reload", "") // neither override is undone by a reload of the same
	version("after a reload", "1")
	p.change(http.MethodPost, "/v1/models/digits/versions/2:enable", "")
	if v := p.answeredBy(t, "/v2/models/digits/versions/2/infer"); v != "2" {
		t.Errorf("version %s answered, want 2, which was enabled again", v)
	}
	if status, _, _, err := ask(http.MethodPut, p.admin, "/v1/models/digits/split", `{"9": 1}`); err != nil || status != http.StatusNotFound {
		t.Errorf("a split to a version that is not there: %d %v", status, err)
	}
	p.stop()
}

// TestSystemAfterKill kills the gateway; the next one serves on the same port and socket at once.
func TestSystemAfterKill(t *testing.T) {
	system(t)
	dir := t.TempDir()
	socket := filepath.Join(dir, "sluice.sock")
	file := filepath.Join(dir, "sluice.yaml")
	metrics := freePort(t) // on which only one gateway can listen at a time
	write(t, file, fmt.Sprintf(`version: 1
listen: {http: {address: %q}, metrics: {address: %q}, admin: {address: "127.0.0.1:0"}}
pools: [{name: local, kind: onnx, repository: %q, discover: true}]
`, "unix:"+socket, metrics, filepath.Join(repository(t), "examples", "digits", "models")))
	first := serveDigits(t, file)
	if first.http != "unix:"+socket {
		t.Fatalf("the data port is at %s, want unix:%s", first.http, socket)
	}
	if v := first.answeredBy(t, inferDigits); v != "2" {
		t.Errorf("version %s answered over the socket, want 2", v)
	}
	second := begin(t, nil, "serve", "-c", file)
	second.endsWithin(second.started, patience, exitFailed)
	if !strings.Contains(second.words.String(), socket) {
		t.Errorf("a second gateway on the socket says:\n%s", second.words.String())
	}
	if v := first.answeredBy(t, inferDigits); v != "2" {
		t.Errorf("version %s answered after a second gateway failed, want 2", v)
	}
	first.signal(syscall.SIGKILL)
	<-first.ended
	if _, err := os.Stat(socket); err != nil {
		t.Fatalf("the test wants a stale socket: %v", err)
	}
	next := serveDigits(t, file)
	if v := next.answeredBy(t, inferDigits); v != "2" {
		t.Errorf("version %s answered after the restart, want 2", v)
	}
	t.Logf("serving %s after the start", time.Since(next.started).Round(time.Millisecond))
	next.stop()
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// freePort returns an address that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
