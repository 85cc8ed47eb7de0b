package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/onnx"
)

// buildCommand builds the binary, with the race detector where it can be had, once for all system tests.
var buildCommand = sync.OnceValue(func() error {
	build := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", commandPath, "../../cmd/sluice")
	if !onnx.Built { // without cgo there is no race detector either
		build.Args = slices.DeleteFunc(build.Args, func(arg string) bool { return arg == "-race" })
	}
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

// system skips what needs the binary where tests are to be short, and returns its path.
func system(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts the real binary")
	}
	if err := buildCommand(); err != nil {
		t.Fatalf("build the command: %v", err)
	}
	return commandPath
}

// process is the real binary, running.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	words   *lockedBuffer
	started time.Time
	ended   chan struct{} // closed when it has ended
	http    string
	admin   string
}

// begin starts the binary; its addresses are yet unknown.
func begin(t *testing.T, stdout io.Writer, args ...string) *process {
	t.Helper()
	return beginWith(t, func(cmd *exec.Cmd) { cmd.Stdout = stdout }, args...)
}

// beginWith is begin of a command that prepare has changed.
func beginWith(t *testing.T, prepare func(*exec.Cmd), args ...string) *process {
	t.Helper()
	p := &process{t: t, words: &lockedBuffer{}, ended: make(chan struct{}), started: time.Now()}
	p.cmd = exec.Command(system(t), args...)
	prepare(p.cmd)
	p.cmd.Stderr = p.words
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // by default the race detector waits for a second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // ProcessState tells
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
		if words := p.words.String(); strings.Contains(words, "DATA RACE") || strings.Contains(words, "panic") || strings.Contains(words, "BUG") {
			t.Errorf("the gateway says:\n%s", words)
		}
	})
	return p
}

func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// serveDigits starts serve with a configuration and waits until it is ready.
func serveDigits(t *testing.T, file string) *process {
	t.Helper()
	needsRuntime(t)
	ready := filepath.Join(t.TempDir(), "ready.json")
	p := begin(t, nil, "serve", "-c", file, "--ready-file", ready)
	addresses, err := awaitReady(ready, p.gone)
	if err != nil {
		t.Fatalf("%v\n%s", err, p.words.String())
	}
	p.http, p.admin = addresses["http"], addresses["admin"]
	return p
}

// servePuppet starts a gateway whose model echo takes a set time, and waits until it is ready.
func servePuppet(t *testing.T, script, drain string) *process {
	t.Helper()
	system(t)
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	write(t, file, `version: 1
listen: {http: {address: "127.0.0.1:0"}, metrics: {address: "127.0.0.1:0"}, admin: {address: "127.0.0.1:0"}}
pools: [{name: puppet, kind: puppet, discover: true, script: "`+script+`"}]
drain: `+drain+"\n")
	out := &lockedBuffer{}
	p := begin(t, out, "bench", "gateway", "-c", file)
	err := eventually(func() error {
		var addresses map[string]string
		if p.gone() {
			return fatal{errors.New("the gateway ended before it was ready")}
		}
		if err := json.Unmarshal([]byte(out.String()), &addresses); err != nil {
			return err
		}
		p.http, p.admin = addresses["http"], addresses["admin"]
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, p.words.String())
	}
	return p
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// endsWithin waits for the end and returns how long it took from since; code is the exit code that is wanted.
func (p *process) endsWithin(since time.Time, limit time.Duration, code int) time.Duration {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit + patience):
		p.t.Fatalf("still running %s after it was to end within %s\n%s", patience, limit, p.words.String())
	}
	took := time.Since(since)
	if took > limit {
		p.t.Errorf("it ended after %s, want %s at most\n%s", took, limit, p.words.String())
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("it ended with %d, want %d\n%s", got, code, p.words.String())
	}
	return took
}

// stop ends it as an operator would, without the delay.
func (p *process) stop() {
	p.t.Helper()
	p.signal(os.Interrupt)
	p.endsWithin(time.Now(), patience, exitOK)
}

// ask sends one request over a connection of its own and returns the status and the body.
func ask(method, address, path, body string) (int, http.Header, string, error) {
	e, err := newEndpoint("the gateway", "url", address, tlsFlags{})
	if err != nil {
		return 0, nil, "", err
	}
	defer e.close()
	req, err := http.NewRequest(method, e.base+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(data), err
}

// get asks the admin API for JSON.
func (p *process) get(path string, v any) {
	p.t.Helper()
	status, _, body, err := ask(http.MethodGet, p.admin, path, "")
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("GET %s: %d %v\n%s", path, status, err, body)
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		p.t.Fatal(err)
	}
}

// change asks the admin API to do something.
func (p *process) change(method, path, body string) {
	p.t.Helper()
	status, _, answer, err := ask(method, p.admin, path, body)
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("%s %s: %d %v\n%s", method, path, status, err, answer)
	}
}

// write replaces a file as an editor does: all of it at once.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// echoBody asks the model echo of a puppet, digitsBody the digits.
const echoBody = `{"inputs":[{"name":"x","shape":[1,1],"datatype":"FP32","data":[1]}]}`

var digitsBody = `{"inputs":[{"name":"image","shape":[1,64],"datatype":"FP32","data":[` + strings.Repeat("1,", 63) + `1]}]}`

// load is clients that ask one after the other, each over its connection for as long as the server keeps it.
type load struct {
	answered, refused, lost int
	errors                  []string
	statuses                map[int]int

	mu      sync.Mutex
	stop    chan struct{}
	clients sync.WaitGroup
}

// startLoad starts n clients that POST body to path.
func startLoad(address, path, body string, n int) *load {
	l := &load{stop: make(chan struct{}), statuses: map[int]int{}}
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	for range n {
		l.clients.Go(func() {
			for l.connection(address, request) {
			}
		})
	}
	return l
}

// connection uses one connection to its end, and tells whether to go on with another.
func (l *load) connection(address string, request []byte) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false // nobody listens any more
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return false
	}
	r := newResponseReader(conn)
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return false
		default:
		}
		_, err := conn.Write(request)
		var resp *http.Response
		if err == nil {
			resp, err = r.next()
		}
		// A connection that was never answered may have waited in the kernel when the listener closed: it was
		// not accepted.
		if err != nil && n == 0 {
			return false
		}
		l.note(resp, err)
		if err != nil || resp.Close {
			return true
		}
	}
}

func (l *load) note(resp *http.Response, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.lost++
		l.errors = append(l.errors, err.Error())
	case resp.StatusCode == http.StatusOK:
		l.answered++
		l.statuses[resp.StatusCode]++
	default:
		l.refused++
		l.statuses[resp.StatusCode]++
	}
}

// count is how many requests were answered so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answered
}

// await waits until so many requests were answered.
func (l *load) await(t *testing.T, n int) {
	t.Helper()
	err := eventually(func() error {
		if got := l.count(); got < n {
			return fmt.Errorf("%d of %d requests are answered", got, n)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v: %v", err, l.errors)
	}
}

// end stops the clients and fails for every request that got no right answer.
func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.clients.Wait()
	if l.lost > 0 || l.refused > 0 {
		t.Errorf("%d answered, %d refused (%v), %d lost: %.500v", l.answered, l.refused, l.statuses, l.lost, l.errors)
	}
}

// held opens a connection, sends a request that takes long and returns once the gateway has it.
func held(t *testing.T, p *process) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.http)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "POST /v2/models/echo/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(echoBody), echoBody); err != nil {
		t.Fatal(err)
	}
	err = eventually(func() error {
		var status struct {
			Load struct {
				InFlight int `json:"in_flight_requests"`
			} `json:"load"`
		}
		p.get("/v1/status", &status)
		if status.Load.InFlight == 0 {
			return errors.New("the request is not in flight")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// readStatus reads the status of the answer on conn.
func readStatus(t *testing.T, conn net.Conn) int {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	resp, err := newResponseReader(conn).next()
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return resp.StatusCode
}

// signalled is when a signal was sent.
func (p *process) signalled(s syscall.Signal) time.Time {
	p.t.Helper()
	now := time.Now()
	p.signal(s)
	return now
}

// responseReader reads answers one after the other.
type responseReader struct{ r *bufio.Reader }

func newResponseReader(conn net.Conn) *responseReader { return &responseReader{bufio.NewReader(conn)} }

// next reads a whole answer.
func (r *responseReader) next() (*http.Response, error) {
	resp, err := http.ReadResponse(r.r, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}
