package h1client

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/wire"
)

// gate is a server that answers when it is told to, with the address that the request came from.
type gate struct {
	addr string
	open chan struct{}
	seen atomic.Int64
}

func newGate(t testing.TB) *gate {
	t.Helper()
	g := &gate{open: make(chan struct{})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.seen.Add(1)
		if r.URL.Path == "/wait" {
			select {
			case <-g.open:
			case <-r.Context().Done():
			}
		}
		io.WriteString(w, r.RemoteAddr)
	}))
	t.Cleanup(srv.Close)
	g.addr = srv.Listener.Addr().String()
	return g
}

// meet starts n calls and returns when all are at the server.
func (g *gate) meet(a *asker, n int) (calls []*Call) {
	a.t.Helper()
	before := g.seen.Load()
	for range n {
		calls = append(calls, a.start(a.call("GET", "/wait", nil)))
	}
	eventually(a.t, "the calls are at the server", func() bool { return g.seen.Load() == before+int64(n) })
	return calls
}

// age makes the n connections that were used longest ago idle for too long, and waits until there are left so many.
func (a *asker) age(n, left int) {
	a.t.Helper()
	cl := a.cl
	cl.mu.Lock()
	for _, c := range cl.mu.idle[:n] {
		c.since -= int64(cl.opts.IdleTimeout)
	}
	cl.mu.pruner.Reset(0) // it is set for as long as one is idle
	cl.mu.Unlock()
	eventually(a.t, "what is not needed is closed", func() bool { return a.cl.Stats() == Stats{Connections: left, Idle: left} })
}

func TestClientUsesTheLastConnectionFirst(t *testing.T) {
	g := newGate(t)
	a := newAsker(t, Options{Address: g.addr, IdleTimeout: time.Hour})
	calls := g.meet(a, 4)
	for range calls {
		g.open <- struct{}{}
	}
	for _, call := range calls {
		a.await(call)
	}
	if st := a.cl.Stats(); st != (Stats{Connections: 4, Idle: 4}) {
		t.Fatalf("the client holds %+v", st)
	}
	from := func() string {
		t.Helper()
		return string(flat(&a.ask(a.call("GET", "/", nil)).Answer))
	}
	last := from()
	for _, n := range []int{0, 2, 1} {
		a.age(n, a.cl.Stats().Idle-n)
		if got := from(); got != last {
			t.Fatalf("a call came from %s, and the one before from %s", got, last)
		}
	}
	a.age(1, 0)
	if got := from(); got == last {
		t.Error("a connection that was closed made a call")
	}
}

func TestClientQueuesCalls(t *testing.T) {
	g := newGate(t)
	a := newAsker(t, Options{Address: g.addr, MaxConnections: 2, MaxWaiting: 3})
	busy := g.meet(a, 2)
	var order []*Call
	for range 3 {
		order = append(order, a.start(a.call("GET", "/wait", nil)))
	}
	if err := a.cl.Start(a.call("GET", "/", nil)); !errors.Is(err, ErrFull) {
		t.Fatalf("one call more than may wait: %v", err)
	}
	if st := a.cl.Stats(); st != (Stats{Connections: 2, Waiting: 3}) {
		t.Fatalf("the client holds %+v", st)
	}
	order[1].Cancel()
	if a.await(order[1]); order[1].Fault != &faultCancelled || order[1].Sent {
		t.Errorf("cancelled in the queue: %v, sent %v", order[1].Fault, order[1].Sent)
	}
	busy[0].Cancel()
	if a.await(busy[0]); busy[0].Fault != &faultCancelled || !busy[0].Sent {
		t.Errorf("cancelled in flight: %v, sent %v", busy[0].Fault, busy[0].Sent)
	}
	eventually(t, "the first in the queue is at the server", func() bool { return g.seen.Load() == 3 })
	if st := a.cl.Stats(); st.Waiting != 1 {
		t.Errorf("the client holds %+v", st)
	}
	close(g.open)
	for _, call := range []*Call{busy[1], order[0], order[2]} {
		if a.await(call); call.Fault != nil {
			t.Errorf("the others: %v", call.Fault)
		}
	}
}

func TestClientCancels(t *testing.T) {
	g := newGate(t)
	a := newAsker(t, Options{Address: g.addr})
	early := a.call("GET", "/", nil)
	early.Cancel()
	if a.ask(early); early.Fault != &faultCancelled || early.Sent {
		t.Errorf("cancelled before Start: %v, sent %v", early.Fault, early.Sent)
	}
	calls := g.meet(a, 1)
	calls[0].Cancel()
	calls[0].Cancel()
	if a.await(calls[0]); calls[0].Fault != &faultCancelled || calls[0].Status != 0 {
		t.Errorf("cancelled in flight: %v", calls[0].Fault)
	}
	late := a.ask(a.call("GET", "/", nil))
	if late.Cancel(); late.Fault != nil || a.cl.Stats().Idle != 1 {
		t.Errorf("cancelled when over: %v, %+v", late.Fault, a.cl.Stats())
	}
	late.Reset()
	if a.ask(late); late.Fault != nil || late.Status != 200 {
		t.Errorf("used again: %v", late.Fault)
	}
}

func TestClientCannotConnect(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	a := newAsker(t, Options{Address: addr, MinBackoff: 300 * time.Millisecond, MaxBackoff: 300 * time.Millisecond})
	if call := a.ask(a.call("GET", "/", nil)); call.Fault != &faultDown || call.Sent {
		t.Errorf("nobody listens: %v, sent %v", call.Fault, call.Sent)
	}
	if err := a.cl.Start(a.call("GET", "/", nil)); !errors.Is(err, ErrDown) {
		t.Errorf("right after: %v", err)
	}
	if ln, err = net.Listen("tcp", addr); err != nil {
		t.Skip("somebody else took the port")
	}
	srv := &http.Server{Handler: testServer()} //nolint:gosec // of a test
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	var call *Call
	eventually(t, "it is tried again", func() bool {
		call = a.call("GET", "/hints", nil)
		return a.cl.Start(call) == nil
	})
	wantBody(t, a.await(call), []byte("hints"))
}

// TestClientTriesEachCallOnce has a server take connections and end them, before or after a request came.
func TestClientTriesEachCallOnce(t *testing.T) {
	var taken atomic.Int64
	addr := newPeer(t, func(i int, c *net.TCPConn) {
		taken.Add(1)
		if i%2 == 0 {
			readRequest(c)
		}
	})
	a := newAsker(t, Options{Address: addr, MinBackoff: time.Nanosecond, MaxBackoff: time.Nanosecond})
	for i := range int64(20) {
		call := a.ask(a.call("GET", "/", nil))
		if call.Fault == nil || call.Fault.Kind != FaultLost && call.Fault.Kind != FaultUnreached {
			t.Errorf("the call ends with %v", call.Fault)
		}
		eventually(t, "the connection was taken", func() bool { return taken.Load() == i+1 })
	}
}

// TestClientSurvivesIdleCloses has a server close each connection after an answer without saying so.
func TestClientSurvivesIdleCloses(t *testing.T) {
	var closed atomic.Int64
	addr := newPeer(t, func(_ int, c *net.TCPConn) {
		if readRequest(c) {
			io.WriteString(c, okShort)
		}
		_ = c.Close()
		closed.Add(1)
	})
	a := newAsker(t, Options{Address: addr, IdleTimeout: time.Minute})
	for i := range int64(20) {
		wantBody(t, a.ask(a.call("POST", "/", pattern(10))), []byte("ok"))
		eventually(t, "the server has closed", func() bool { return closed.Load() == i+1 })
	}
}

// TestClientSurvivesTheEndOfAnUnusedConnection has a server give up a connection that was opened for a call which
// another one took in the end.
func TestClientSurvivesTheEndOfAnUnusedConnection(t *testing.T) {
	closed := make(chan struct{})
	addr := newPeer(t, func(i int, c *net.TCPConn) {
		if i == 0 {
			_ = c.Close()
			close(closed)
			return
		}
		for readRequest(c) {
			io.WriteString(c, okShort)
		}
	})
	a := newAsker(t, Options{Address: addr, MinBackoff: time.Minute, MaxBackoff: time.Minute})
	a.cl.mu.Lock()
	a.cl.mu.dialing++
	a.cl.running.Add(1)
	a.cl.mu.Unlock()
	a.cl.dial()
	<-closed
	wantBody(t, a.ask(a.call("POST", "/", nil)), []byte("ok"))
	wantBody(t, a.ask(a.call("POST", "/", nil)), []byte("ok"))
}

// TestClientIsNotSureOfLostCalls has a connection end when a request has been written: it may have been worked on.
func TestClientIsNotSureOfLostCalls(t *testing.T) {
	for name, end := range map[string]func(c *net.TCPConn){
		"closed": func(c *net.TCPConn) { _ = c.CloseWrite() },
		"reset":  func(c *net.TCPConn) { _ = c.SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			addr := newPeer(t, func(_ int, c *net.TCPConn) {
				if readRequest(c) {
					io.WriteString(c, okShort)
					readRequest(c)
				}
				end(c)
			})
			a := newAsker(t, Options{Address: addr})
			a.ask(a.call("POST", "/", pattern(10)))
			if call := a.ask(a.call("POST", "/", pattern(10))); call.Fault != &faultSilent || !call.Sent || call.Status != 0 {
				t.Errorf("fault %v, sent %v", call.Fault, call.Sent)
			}
			wantBody(t, a.ask(a.call("POST", "/", pattern(10))), []byte("ok"))
		})
	}
}

// TestClientTakesEarlyAnswers has a server answer before it has read what it refuses.
func TestClientTakesEarlyAnswers(t *testing.T) {
	for name, after := range map[string]func(c *net.TCPConn, over <-chan struct{}){
		"it reads on":        func(c *net.TCPConn, _ <-chan struct{}) { _, _ = io.Copy(io.Discard, c) },
		"it reads no more":   func(_ *net.TCPConn, over <-chan struct{}) { <-over },
		"it resets, at last": func(c *net.TCPConn, _ <-chan struct{}) { _ = c.SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{})
			addr := newPeer(t, func(_ int, c *net.TCPConn) {
				readRequest(c)
				io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
				after(c, over)
			})
			defer close(over)
			a := newAsker(t, Options{Address: addr})
			call := a.ask(a.call("POST", "/", make([]byte, 16<<20)))
			if strings.HasPrefix(name, "it resets") {
				// The answer may have been lost on the way, or not.
				if call.Fault != nil && call.Fault.Kind != FaultLost || !call.Sent {
					t.Errorf("fault %v, sent %v", call.Fault, call.Sent)
				}
				return
			}
			if call.Fault != nil || call.Status != 413 || string(flat(&call.Answer)) != "big" || !call.Sent {
				t.Errorf("fault %v, status %d, sent %v", call.Fault, call.Status, call.Sent)
			}
		})
	}
}

func TestClientCloses(t *testing.T) {
	g := newGate(t)
	a := newAsker(t, Options{Address: g.addr, MaxConnections: 2})
	calls := g.meet(a, 2)
	waits := a.start(a.call("GET", "/wait", nil))
	g.open <- struct{}{} // one is answered, and the one that waits takes its connection
	eventually(t, "the third call is at the server", func() bool { return g.seen.Load() == 3 })
	fourth := a.start(a.call("GET", "/wait", nil))
	closed := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		a.cl.Close(ctx)
		close(closed)
	}()
	if a.await(fourth); fourth.Fault != &faultClosed || fourth.Sent {
		t.Errorf("waiting: %v, sent %v", fourth.Fault, fourth.Sent)
	}
	if err := a.cl.Start(a.call("GET", "/", nil)); !errors.Is(err, ErrClosed) {
		t.Errorf("a call after Close: %v", err)
	}
	g.open <- struct{}{} // another is answered although the client closes
	eventually(t, "two calls are answered", func() bool {
		return len(calls[0].Done.(answered))+len(calls[1].Done.(answered))+len(waits.Done.(answered)) == 2
	})
	select {
	case <-closed:
		t.Error("Close did not wait")
	default:
	}
	cancel()
	<-closed
	ends := map[*Fault]int{}
	for _, call := range append(calls, waits) {
		ends[a.await(call).Fault]++
	}
	if ends[nil] != 2 || ends[&faultForced] != 1 {
		t.Errorf("the calls in flight ended as %v, want two answers and one that was cut off", ends)
	}
}

func TestClientOptionsAreChecked(t *testing.T) {
	for name, opts := range map[string]Options{
		"no address":     {},
		"no path":        {Address: "unix:"},
		"host":           {Address: "a:1", Host: "a b"},
		"user agent":     {Address: "a:1", UserAgent: "a\r\nb"},
		"timeout":        {Address: "a:1", IdleTimeout: -1},
		"connections":    {Address: "a:1", MaxConnections: -1},
		"head":           {Address: "a:1", MaxHeaderBytes: 49 << 10},
		"back-off":       {Address: "a:1", MinBackoff: time.Hour},
		"fields":         {Address: "a:1", MaxHeaders: 101},
		"body":           {Address: "a:1", MaxBody: -1},
		"waiting":        {Address: "a:1", MaxWaiting: -1},
		"ratio":          {Address: "a:1", MaxRatio: -1},
		"connect":        {Address: "a:1", ConnectTimeout: -1},
		"longest wait":   {Address: "a:1", MaxBackoff: -1},
		"shortest wait":  {Address: "a:1", MinBackoff: -1},
		"default header": {Address: "a/b"},
	} {
		if _, err := New(opts, nil, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestClientSurvivesPanics has whoever takes an answer panic.
func TestClientSurvivesPanics(t *testing.T) {
	addr := newOurs(t, echo)
	a := newAsker(t, Options{Address: addr})
	call := a.call("GET", "/", nil)
	took := make(chan struct{}, 1)
	call.Done = panics(took)
	a.start(call)
	<-took
	wantBody(t, a.ask(a.call("POST", "/", pattern(10))), pattern(10))
}

type panics chan struct{}

func (p panics) Answered(*Call) {
	p <- struct{}{}
	panic("taken")
}

// follower makes a call from within the answer to the one before.
type follower struct {
	cl   *Client
	left int
	done chan *Call
}

func (f *follower) Answered(call *Call) {
	if f.left--; f.left == 0 || call.Fault != nil {
		f.done <- call
		return
	}
	call.Reset()
	if err := f.cl.Start(call); err != nil {
		panic(err)
	}
}

func TestClientCallsFromAnswers(t *testing.T) {
	addr := newOurs(t, echo)
	a := newAsker(t, Options{Address: addr})
	f := &follower{cl: a.cl, left: 1000, done: make(chan *Call, 1)}
	call := a.call("POST", "/", pattern(100))
	call.Done = f
	call.Header = []wire.Header{{Name: "x", Value: []byte("y")}}
	a.start(call)
	wantBody(t, <-f.done, pattern(100))
	call.Body.Release()
	call.Answer.Release()
	if st := a.cl.Stats(); st.Connections != 1 {
		t.Errorf("one call after the other was made over %+v", st)
	}
}

// TestTrouble holds what operators are told of connections: not what we ended ourselves.
func TestTrouble(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a := newAsker(t, Options{Address: ln.Addr().String()})
	call := a.start(a.call("GET", "/", nil))
	sock, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	if _, err := sock.Read(make([]byte, 1)); err != nil { // it waits for the answer
		t.Fatal(err)
	}
	call.Cancel()
	a.await(call)
	eventually(t, "the connection is gone", func() bool { return a.cl.Stats().Connections == 0 })
	if why := a.cl.Trouble(); why != "" {
		t.Errorf("after a call that was cancelled: %q", why)
	}
	call = a.start(a.call("GET", "/", nil))
	again, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(again, "\x15\x03\x01\x00\x02\x02\x46"); err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
	a.await(call)
	if why := a.cl.Trouble(); why != "it speaks TLS, where HTTP/1.1 was expected" {
		t.Errorf("after an alert of TLS: %q", why)
	}
}
