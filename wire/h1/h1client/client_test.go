package h1client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

// asker is a client under test, with a pool of its own.
type asker struct {
	t    testing.TB
	cl   *Client
	pool *slab.Pool
}

// newAsker makes a client that is closed when the test ends, and then checks that nothing is left.
func newAsker(t testing.TB, opts Options) *asker {
	t.Helper()
	return newPoorAsker(t, 256<<20, opts)
}

// newPoorAsker is newAsker with a budget of its own.
func newPoorAsker(t testing.TB, budget int64, opts Options) *asker {
	t.Helper()
	a := &asker{t: t, pool: slab.NewPool(slab.Options{}, slab.NewBudget(budget))}
	cl, err := New(opts, a.pool, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	a.cl = cl
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		cl.Close(ctx)
		if n := a.pool.Budget().InUse(); n != 0 {
			t.Errorf("%d bytes are in use at the end\n%s", n, strings.Join(a.pool.Leaks(), "\n"))
		}
		if st := cl.Stats(); st != (Stats{}) {
			t.Errorf("the client still holds %+v", st)
		}
	})
	return a
}

// answered is a 1-slot channel that a call is answered on.
type answered chan *Call

func (d answered) Answered(call *Call) { d <- call }

// call returns a call with a body, which may be nil.
func (a *asker) call(method, path string, body []byte) *Call {
	call := &Call{Method: method, Path: path, Done: make(answered, 1)}
	a.fill(call, body, len(body))
	return call
}

// fill gives a call a body in views of at most step bytes.
func (a *asker) fill(call *Call, body []byte, step int) {
	for len(body) > 0 {
		n := min(step, len(body))
		s := a.pool.Get(n)
		copy(s.Bytes(), body[:n])
		call.Body.AppendOwned(s.View(0, n))
		body = body[n:]
	}
}

func (a *asker) start(call *Call) *Call {
	a.t.Helper()
	if err := a.cl.Start(call); err != nil {
		a.t.Fatal(err)
	}
	return call
}

// await waits for the answer, drops the body, and has the answer dropped at the end.
func (a *asker) await(call *Call) *Call {
	a.t.Helper()
	select {
	case <-call.Done.(answered):
	case <-time.After(10 * time.Second):
		a.t.Fatalf("%s is not answered: %+v", call.Path, a.cl.Stats())
	}
	call.Body.Release()
	a.t.Cleanup(call.Answer.Release)
	return call
}

func (a *asker) ask(call *Call) *Call {
	a.t.Helper()
	return a.await(a.start(call))
}

// eventually waits until something holds that other goroutines bring about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}

func flat(l *slab.List) []byte {
	b := make([]byte, l.Size())
	l.CopyTo(b)
	return b
}

func pattern(n int) []byte { return bytes.Repeat([]byte("sluice."), n/7+1)[:n] }

func wantBody(t testing.TB, call *Call, want []byte) {
	t.Helper()
	if call.Fault != nil || call.Status != 200 || !call.Sent || !bytes.Equal(flat(&call.Answer), want) {
		t.Errorf("%s: status %d, fault %v, sent %v and %d bytes; want the %d",
			call.Path, call.Status, call.Fault, call.Sent, call.Answer.Size(), len(want))
	}
}

func TestClientAsksOurServer(t *testing.T) {
	addr := newOurs(t, echo)
	a := newAsker(t, Options{Address: addr})
	for _, size := range []int{0, 1, copyBody, copyBody + 1, 8 << 10, writeBeside, writeBeside + 1, 100_000, bodyLimit} {
		for _, step := range []int{size + 1, size/3 + 1, size/40 + 1} {
			call := a.call("POST", "/v2/x?q=1", nil)
			a.fill(call, pattern(size), step)
			wantBody(t, a.ask(call), pattern(size))
		}
	}
	if st := a.cl.Stats(); st.Connections != 1 || st.Idle != 1 {
		t.Errorf("one call after the other was made over %+v", st)
	}
}

// testServer is net/http with what tests ask of it.
func testServer() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", fmt.Sprint(r.Method, " ", r.Host, " ", r.UserAgent(), " ", r.URL.RawQuery, " ", r.Header.Get("X-A")))
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body)
	})
	mux.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-T")
		for i := 0; len(body) > 0; i++ {
			n := min(len(body), 1+i*997)
			w.Write(body[:n])
			w.(http.Flusher).Flush()
			body = body[n:]
		}
		w.Header().Set("X-T", "t")
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "bye")
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "hints")
	})
	mux.HandleFunc("/none", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/same", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) })
	return mux
}

func TestClientAsksNetHTTP(t *testing.T) {
	srv := httptest.NewServer(testServer())
	t.Cleanup(srv.Close)
	a := newAsker(t, Options{Address: srv.Listener.Addr().String(), UserAgent: "u"})
	for _, size := range []int{1, 5000, 300_000} {
		call := a.call("POST", "/echo?a=%41", pattern(size))
		call.Header = []wire.Header{{Name: "X-A", Value: []byte("one two")}}
		wantBody(t, a.ask(call), pattern(size))
		want := "POST " + srv.Listener.Addr().String() + " u a=%41 one two"
		if got := string(call.HeaderValue("x-seen")); got != want {
			t.Errorf("the server saw %q, want %q", got, want)
		}
		wantBody(t, a.ask(a.call("PUT", "/chunks", pattern(size))), pattern(size))
	}
	wantBody(t, a.ask(a.call("GET", "/hints", nil)), []byte("hints"))
	if call := a.ask(a.call("HEAD", "/hints", nil)); call.Fault != nil || call.Status != 200 || call.Answer.Size() != 0 {
		t.Errorf("HEAD: status %d, fault %v, %d bytes", call.Status, call.Fault, call.Answer.Size())
	}
	for path, status := range map[string]int{"/none": 204, "/same": 304, "/nowhere": 404} {
		if call := a.ask(a.call("GET", path, nil)); call.Fault != nil || call.Status != status {
			t.Errorf("%s: status %d, fault %v", path, call.Status, call.Fault)
		}
	}
	if st := a.cl.Stats(); st.Connections != 1 {
		t.Errorf("one call after the other was made over %+v", st)
	}
	wantBody(t, a.ask(a.call("GET", "/close", nil)), []byte("bye"))
	if st := a.cl.Stats(); st.Connections != 0 {
		t.Errorf("after Connection: close there is %+v", st)
	}
	wantBody(t, a.ask(a.call("GET", "/close", nil)), []byte("bye"))
}

func TestClientListsHeader(t *testing.T) {
	addr := newScript(t, "HTTP/1.1 200\r\nX-A: 1\r\nx-b:\r\nX-A: \t2 3 \r\nContent-Length: 0\r\n\r\n")
	a := newAsker(t, Options{Address: addr})
	call := a.ask(a.call("GET", "/", nil))
	var got []string
	for i := range call.NumHeader() {
		name, value := call.HeaderAt(i)
		got = append(got, string(name)+"="+string(value))
	}
	if want := "[X-A=1 x-b= X-A=2 3 Content-Length=0]"; call.Fault != nil || fmt.Sprint(got) != want {
		t.Errorf("fault %v, header %v, want %s", call.Fault, got, want)
	}
	if call.HeaderValue("none") != nil || call.HeaderValue("X-B") == nil || string(call.HeaderValue("x-a")) != "1" {
		t.Error("fields are not found by name")
	}
	call.Reset()
	if call.NumHeader() != 0 || call.HeaderValue("x-a") != nil {
		t.Error("header fields outlive Reset")
	}
}

func TestClientRefusesToSend(t *testing.T) {
	a := newAsker(t, Options{Address: "127.0.0.1:1"})
	for name, call := range map[string]*Call{
		"no method":         {Path: "/"},
		"CONNECT":           {Method: "CONNECT", Path: "/"},
		"method with space": {Method: "GET /", Path: "/"},
		"no path":           {Method: "GET"},
		"relative path":     {Method: "GET", Path: "x"},
		"path with space":   {Method: "GET", Path: "/a b"},
		"path with line":    {Method: "GET", Path: "/ HTTP/1.1\r\nX: y"},
		"fragment":          {Method: "GET", Path: "/a#b"},
		"empty name":        {Method: "GET", Path: "/", Header: []wire.Header{{}}},
		"name with colon":   {Method: "GET", Path: "/", Header: []wire.Header{{Name: "a:"}}},
		"value with line":   {Method: "GET", Path: "/", Header: []wire.Header{{Name: "a", Value: []byte("1\r\nb: 2")}}},
		"framing":           {Method: "GET", Path: "/", Header: []wire.Header{{Name: "Transfer-Encoding", Value: []byte("chunked")}}},
		"length":            {Method: "GET", Path: "/", Header: []wire.Header{{Name: "content-LENGTH", Value: []byte("1")}}},
		"expect":            {Method: "GET", Path: "/", Header: []wire.Header{{Name: "Expect", Value: []byte("100-continue")}}},
	} {
		if err := a.cl.Start(call); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// newPeer starts a server that does with each connection, counted from 0, what serve says, and then closes it.
func newPeer(t testing.TB, serve func(i int, c *net.TCPConn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ; i++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				serve(i, c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}

// readRequest reads a request that is small enough to come at once.
func readRequest(c net.Conn) bool {
	n, err := c.Read(make([]byte, 64<<10))
	return n > 0 && err == nil
}

// hangUp closes a connection so that the client reads all that was written.
func hangUp(c *net.TCPConn) {
	_ = c.CloseWrite()
	_, _ = io.Copy(io.Discard, c)
}

// newScript starts a server that says the same to the first request of each connection, and hangs up.
func newScript(t testing.TB, answer string) (addr string) {
	return newPeer(t, func(_ int, c *net.TCPConn) {
		if readRequest(c) {
			io.WriteString(c, answer)
			hangUp(c)
		}
	})
}

func TestClientLeavesNothing(t *testing.T) {
	leak.Goroutines(t)
	leak.FDs(t)
	addr := newOurs(t, echo)
	a := newAsker(t, Options{Address: addr})
	for range 10 {
		wantBody(t, a.ask(a.call("POST", "/", pattern(100))), pattern(100))
	}
}
