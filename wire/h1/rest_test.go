package h1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// resting waits until all connections of the server rest.
func (k *harness) resting() {
	k.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		waits := 0
		for _, c := range k.srv.snapshot() {
			if c.state.Load() != stateResting {
				waits++
			}
		}
		if waits == 0 {
			return
		}
		if time.Now().After(end) {
			k.t.Fatalf("%d connections do not rest", waits)
		}
	}
}

// rested is a connection that rests after a request.
func rested(t *testing.T, opts Options) (*harness, net.Conn, *bufio.Reader) {
	t.Helper()
	opts.RestAfter = 1
	k := newHarness(t, opts, handlerFunc(echo))
	c := k.dial()
	br := bufio.NewReader(c)
	send(t, c, post("Content-Length: 3\r\n", "one"))
	wantAnswer(t, br, 200)
	k.resting()
	return k, c, br
}

func (k *harness) wantClosed(want Reason) {
	k.t.Helper()
	if got := <-k.closed; got != want {
		k.t.Errorf("the connection closed for %v, want %v", got, want)
	}
}

func TestRestingConnectionsServe(t *testing.T) {
	k, c, br := rested(t, Options{})
	for _, body := range []string{"two", "", "three"} {
		send(t, c, chunks("0\r\n\r\n")+get("")+post("Content-Length: 5\r\n", "after")+chunks("1\r\n"+"x\r\n0\r\n\r\n"))
		for _, want := range []string{"", "", "after", "x"} {
			if a := wantAnswer(t, br, 200); string(a.body) != want {
				t.Errorf("answer %q, want %q", a.body, want)
			}
		}
		k.resting()
		head := "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nX-Word: " + body + "\r\n\r\n"
		for _, part := range []string{head[:1], head[1:30], head[30:], "123", "456789"} {
			send(t, c, part)
			runtime.Gosched()
		}
		if a := wantAnswer(t, br, 200); string(a.body) != "123456789" {
			t.Errorf("answer %q to a request in parts", a.body)
		}
		k.resting()
	}
	if n := k.srv.Stats(); n.Connections != 1 || n.Active != 0 {
		t.Errorf("stats %+v, want one connection that is not active", n)
	}
}

func TestRestingConnectionsEnd(t *testing.T) {
	t.Run("by their client", func(t *testing.T) {
		k, c, _ := rested(t, Options{})
		_ = c.Close()
		k.wantClosed(ClosedByClient)
	})
	t.Run("by a reset", func(t *testing.T) {
		k, c, _ := rested(t, Options{})
		if err := c.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		k.wantClosed(ClosedReset)
	})
	t.Run("by nonsense", func(t *testing.T) {
		_, c, br := rested(t, Options{})
		send(t, c, "nonsense\r\n\r\n")
		wantAnswer(t, br, 400)
	})
	t.Run("by a head that does not come", func(t *testing.T) {
		_, c, br := rested(t, Options{HeaderTimeout: 50 * time.Millisecond})
		send(t, c, "GET / HT")
		wantAnswer(t, br, 408)
	})
	t.Run("for they are idle", func(t *testing.T) {
		k, c, _ := rested(t, Options{IdleTimeout: 50 * time.Millisecond})
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("an idle connection reads %v, want its end", err)
		}
		k.wantClosed(ClosedIdle)
	})
	t.Run("at a shutdown", func(t *testing.T) {
		k, c, _ := rested(t, Options{})
		if err := k.srv.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after a shutdown the connection reads %v, want its end", err)
		}
		k.wantClosed(ClosedDrain)
	})
	t.Run("in a drain", func(t *testing.T) {
		k, c, _ := rested(t, Options{})
		k.srv.BeginDrain(time.Nanosecond)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("in a drain the connection reads %v, want its end", err)
		}
		k.wantClosed(ClosedDrain)
	})
	t.Run("by force", func(t *testing.T) {
		k, _, _ := rested(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = k.srv.Shutdown(ctx) // whether it was quicker than the drain is a matter of luck
		if got := <-k.closed; got != ClosedForced && got != ClosedDrain {
			t.Errorf("the connection closed for %v", got)
		}
	})
}

// TestConnectionsInUseRestLess has the deadline of a connection pass while it is in use: the next one is further ahead.
func TestConnectionsInUseRestLess(t *testing.T) {
	k := newHarness(t, Options{RestAfter: 10 * time.Second}, handlerFunc(echo))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	sock, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	c := newConn(k.srv, sock, sock, addrKey{}, time.Now())
	c.served = true
	c.idleBefore(c.idleUntil())
	if ahead := c.readUntil.Sub(c.now); ahead != 10*time.Second {
		t.Errorf("the deadline is %v ahead, want 10 s", ahead)
	}
	send(t, client, "x")
	if err := c.tire(); err != nil || c.req == nil || c.rest != restNot {
		t.Fatalf("a connection in use: %v, rest %d, want a byte of a request", err, c.rest)
	}
	c.srv.release(c.req)
	c.req = nil
	if ahead := c.readUntil.Sub(c.now); ahead != 20*time.Second {
		t.Errorf("the next deadline is %v ahead, want 20 s", ahead)
	}
	c.now = c.now.Add(time.Second)
	c.idleBefore(c.idleUntil())
	if ahead := c.readUntil.Sub(c.now); ahead != 19*time.Second {
		t.Errorf("the deadline is %v ahead, want that which stands", ahead)
	}
}
