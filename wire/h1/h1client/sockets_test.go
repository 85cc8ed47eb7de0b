package h1client

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h1"
)

// secureServer is net/http over TLS, and what a client needs to believe it.
func secureServer(t *testing.T) (*httptest.Server, *tls.Config) {
	t.Helper()
	srv := httptest.NewTLSServer(testServer())
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return srv, &tls.Config{RootCAs: roots, ServerName: "example.com"} //nolint:gosec // the default minimum is TLS 1.2
}

func TestClientSpeaksTLS(t *testing.T) {
	srv, config := secureServer(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config.MinVersion, config.MaxVersion = version, version
		a := newAsker(t, Options{Address: srv.Listener.Addr().String(), TLS: config})
		for _, size := range []int{1, 5000, 300_000} {
			wantBody(t, a.ask(a.call("POST", "/echo", pattern(size))), pattern(size))
			wantBody(t, a.ask(a.call("POST", "/chunks", pattern(size))), pattern(size))
		}
		if st := a.cl.Stats(); st != (Stats{Connections: 1, Idle: 1}) {
			t.Errorf("one call after the other was made over %+v", st)
		}
		wantBody(t, a.ask(a.call("GET", "/close", nil)), []byte("bye"))
	}
	stranger := newAsker(t, Options{Address: srv.Listener.Addr().String(), TLS: &tls.Config{}}) //nolint:gosec // the default minimum is TLS 1.2
	if call := stranger.ask(stranger.call("GET", "/", nil)); call.Fault != &faultDown || call.Sent {
		t.Errorf("a server whose certificate nobody signed: %v", call.Fault)
	}
}

// TestClientPoisonsTLS has a server say more over TLS than was asked, or end, once its answer was taken.
func TestClientPoisonsTLS(t *testing.T) {
	srv, config := secureServer(t)
	for name, after := range map[string]func(c *tls.Conn){
		"an answer nobody asked for": func(c *tls.Conn) { io.WriteString(c, okShort) },
		"its end":                    func(c *tls.Conn) { _ = c.CloseWrite() },
		"the socket's end":           func(c *tls.Conn) { _ = c.NetConn().(*net.TCPConn).CloseWrite() },
		"no TLS":                     func(c *tls.Conn) { io.WriteString(c.NetConn(), okShort) },
	} {
		t.Run(name, func(t *testing.T) {
			taken, said := make(chan struct{}), make(chan struct{})
			addr := newPeer(t, func(i int, sock *net.TCPConn) {
				c := tls.Server(sock, srv.TLS)
				for readRequest(c) {
					fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", i)
					if i == 0 {
						<-taken
						after(c)
						close(said)
						_, _ = io.Copy(io.Discard, sock)
						return
					}
				}
			})
			a := newAsker(t, Options{Address: addr, TLS: config, IdleTimeout: time.Minute})
			wantBody(t, a.ask(a.call("POST", "/", nil)), []byte("0"))
			close(taken)
			<-said
			wantBody(t, a.ask(a.call("POST", "/", nil)), []byte("1"))
			wantBody(t, a.ask(a.call("POST", "/", nil)), []byte("1"))
		})
	}
}

func TestClientSpeaksOverUnixSockets(t *testing.T) {
	address := wire.UnixPrefix + filepath.Join(t.TempDir(), "s")
	ln, err := h1.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	newOursOn(t, ln, echo)
	a := newAsker(t, Options{Address: address})
	for _, size := range []int{1, 5000, 300_000} {
		wantBody(t, a.ask(a.call("POST", "/", pattern(size))), pattern(size))
	}
	if st := a.cl.Stats(); st.Connections != 1 {
		t.Errorf("one call after the other was made over %+v", st)
	}
}

func TestClientAsksFasthttp(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &fasthttp.Server{
		MaxRequestBodySize: 1 << 20,
		IdleTimeout:        time.Second,
		Handler: fasthttp.CompressHandler(func(ctx *fasthttp.RequestCtx) {
			body := append([]byte(nil), ctx.PostBody()...)
			if string(ctx.Path()) == "/stream" {
				ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
					for ; len(body) > 0; body = body[min(1000, len(body)):] {
						_, _ = w.Write(body[:min(1000, len(body))])
						_ = w.Flush()
					}
				})
				return
			}
			ctx.SetBody(body)
		}),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = srv.Shutdown()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	a := newAsker(t, Options{Address: ln.Addr().String()})
	for _, coded := range []bool{false, true} {
		for _, size := range []int{0, 1, 5000, 300_000} {
			for _, path := range []string{"/", "/stream"} {
				call := a.call("POST", path, pattern(size))
				call.Coded = coded
				wantBody(t, a.ask(call), pattern(size))
				if got := string(call.HeaderValue("content-encoding")); coded && size > 1000 && path == "/" && got != "gzip" {
					t.Errorf("%d bytes came as %q, want gzip", size, got)
				}
			}
		}
	}
	if call := a.ask(a.call("POST", "/", make([]byte, 2<<20))); call.Fault == nil && call.Status != 413 && call.Status != 400 || call.Fault != nil && call.Fault.Kind != FaultLost {
		t.Errorf("a body too large: status %d, fault %v", call.Status, call.Fault)
	}
	wantBody(t, a.ask(a.call("POST", "/", pattern(100))), pattern(100))
}
