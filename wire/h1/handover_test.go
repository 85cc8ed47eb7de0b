package h1

import (
	"bufio"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
)

// handover takes connections as who speaks HTTP/2 does: it tells what it got, and closes them when it is told to.
type handover struct {
	got chan handedOver
	end chan struct{}
}

type handedOver struct {
	read  string
	below []string // functions on the stack
}

func (h *handover) serve(sock net.Conn, read []byte, done func()) {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	g := handedOver{read: string(read)}
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		g.below = append(g.below, f.Function)
	}
	h.got <- g
	go func() {
		<-h.end
		_ = sock.Close()
		done()
	}()
}

// TestHandOver holds that who speaks HTTP/2 gets what was read, on a stack without what serves HTTP/1.1: its
// connections may be idle for long.
func TestHandOver(t *testing.T) {
	h := &handover{got: make(chan handedOver), end: make(chan struct{})}
	k := newHarness(t, Options{HTTP2: h.serve}, handlerFunc(echo))
	c := k.dial()
	send(t, c, preface)
	got := <-h.got
	if got.read != preface {
		t.Errorf("handed over %q", got.read)
	}
	for _, f := range got.below {
		if strings.Contains(f, "fasthttp") {
			t.Errorf("%s is below", f)
		}
	}
	if why := <-k.closed; why != ClosedHandedOn {
		t.Errorf("counted as closed for %s", why)
	}
	close(h.end)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("then %v, want the end", err)
	}
}

// TestHandedConnectionsCount holds that one bound is for all connections, whatever they speak, and that what was
// handed over counts until it has ended.
func TestHandedConnectionsCount(t *testing.T) {
	for _, opts := range []Options{{MaxConnections: 2}, {MaxConnectionsPerIP: 2}} {
		h := &handover{got: make(chan handedOver), end: make(chan struct{})}
		opts.HTTP2 = h.serve
		k := newHarness(t, opts, handlerFunc(echo))
		for range 2 {
			send(t, k.dial(), preface)
			<-h.got
		}
		wantAnswer(t, bufio.NewReader(k.dial()), 503)
		close(h.end)
		for k.srv.Stats().Handed > 0 {
			runtime.Gosched()
		}
		c := k.dial()
		send(t, c, get(""))
		wantAnswer(t, bufio.NewReader(c), 200)
	}
}
