package h1

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

const bodyLimit = 1 << 20

// handlerFunc is a handler in one function.
type handlerFunc func(x wire.Exchange)

func (f handlerFunc) Serve(x wire.Exchange) { f(x) }

// echo answers with the body, and with an error as the table of answers says it.
func echo(x wire.Exchange) {
	r := wire.Reply{Status: 200, ContentType: "application/octet-stream"}
	if err := x.ReadBody(&r.Body, bodyLimit); err != nil {
		var e *wire.Error
		if !errors.As(err, &e) {
			panic(err)
		}
		r.Status, r.ContentType = e.Status, "application/json"
		r.Body.AppendOwned(slab.View{B: fmt.Appendf(nil, `{"error":%q,"code":%q}`, e.Text, e.Code)})
	}
	x.Reply(&r)
}

// harness is a server on a port of its own.
type harness struct {
	t       testing.TB
	srv     *Server
	addr    string
	pool    *slab.Pool
	refused atomic.Pointer[Reason]
	closed  chan Reason
	panics  atomic.Int64
	// rejected counts what was refused for what it asks.
	rejected atomic.Int64
}

func newHarness(t testing.TB, opts Options, h wire.Handler) *harness {
	t.Helper()
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newHarnessOn(t, ln, nil, opts, h)
}

func newHarnessOn(t testing.TB, ln net.Listener, tls *TLS, opts Options, h wire.Handler) *harness {
	t.Helper()
	k := &harness{t: t, addr: ln.Addr().String(), pool: slab.NewPool(slab.Options{}, slab.NewBudget(64<<20))}
	k.closed = make(chan Reason, 4096) // more than a test has connections that it asks about
	opts.Metrics = Metrics{
		ParseError: func(r Reason) { k.refused.Store(&r) },
		Rejected: func(r Reason) {
			k.refused.Store(&r)
			k.rejected.Add(1)
		},
		Panicked: func() { k.panics.Add(1) },
		ConnClosed: func(r Reason) {
			select {
			case k.closed <- r:
			default:
			}
		},
	}
	srv, err := New(opts, k.pool, h, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	k.srv = srv
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln, tls) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		ctx = context.WithoutCancel(ctx)
		ctx, cancel2 := context.WithTimeout(ctx, 5*time.Second)
		defer cancel2()
		if err := srv.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		if n := k.pool.Budget().InUse(); n != 0 {
			t.Errorf("%d bytes of slabs are left", n)
		}
	})
	return k
}

func (k *harness) dial() net.Conn {
	k.t.Helper()
	c, err := net.Dial("tcp", k.addr)
	if err != nil {
		k.t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = c.Close() })
	return c
}

// answer is a response with its body read.
type answer struct {
	*http.Response
	body []byte
}

func readAnswer(br *bufio.Reader, method string) (answer, error) {
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(resp.Body)
	return answer{resp, body}, err
}

func TestRoundTrip(t *testing.T) {
	k := newHarness(t, Options{}, handlerFunc(echo))
	c := k.dial()
	br := bufio.NewReader(c)
	for _, size := range []int{0, 1, 1000, 5000, 8 << 10, 100_000, bodyLimit} {
		body := bytes.Repeat([]byte("sluice."), size/7+1)[:size]
		fmt.Fprintf(c, "POST /v2/x?q=1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, body)
		a, err := readAnswer(br, "POST")
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if a.StatusCode != 200 || !bytes.Equal(a.body, body) {
			t.Fatalf("%d bytes: status %d with %d bytes", size, a.StatusCode, len(a.body))
		}
		if a.Header.Get("Date") == "" || a.Header.Get("Server") != "" {
			t.Errorf("%d bytes: header %v, want a Date and no Server", size, a.Header)
		}
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		for rest := body; len(rest) > 0; {
			n := min(len(rest), 3000)
			fmt.Fprintf(c, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		io.WriteString(c, "0\r\n\r\n")
		if a, err = readAnswer(br, "POST"); err != nil || a.StatusCode != 200 || !bytes.Equal(a.body, body) {
			t.Fatalf("%d bytes in chunks: status %v with %d bytes, error %v", size, a.Response, len(a.body), err)
		}
	}
}

func TestExchange(t *testing.T) {
	type seen struct{ method, path, query, proto, a, b, none, twice string }
	got := make(chan seen, 1)
	k := newHarness(t, Options{}, handlerFunc(func(x wire.Exchange) {
		s := seen{
			string(x.Method()), string(x.Path()), string(x.Query()), x.Proto(),
			string(x.Header("x-a")), string(x.Header("X-B")), string(x.Header("none")), string(x.Header("x-twice")),
		}
		if x.Header("none") != nil || x.Header("x-b") == nil || x.ContentLength() != 3 || !strings.HasPrefix(x.Remote(), "127.0.0.1:") {
			s.none = "wrong"
		}
		got <- s
		x.Reply(&wire.Reply{Status: 204})
	}))
	c := k.dial()
	io.WriteString(c, "PUT http://a/p/%41?q=1&r HTTP/1.1\r\nHost: A\r\nX-A: \t one two\t \r\nx-b:\r\nX-Twice: 1\r\nX-Twice: 2\r\nContent-Length: 3\r\n\r\nabc")
	want := seen{"PUT", "/p/%41", "q=1&r", "HTTP/1.1", "one two", "", "", ""}
	if s := <-got; s != want {
		t.Errorf("seen %+v, want %+v", s, want)
	}
	a, err := readAnswer(bufio.NewReader(c), "PUT")
	if err != nil || a.StatusCode != 204 || a.Header.Get("Content-Length") != "" {
		t.Errorf("answer %v, %v; want 204 without Content-Length", a.Response, err)
	}
}
