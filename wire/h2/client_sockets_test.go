package h2

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/wire"
)

// also serves ln until the test ends.
func (r *rig) also(ln net.Listener) {
	r.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() {
				if secure, ok := c.(*tls.Conn); ok && secure.Handshake() != nil {
					_ = c.Close()
					return
				}
				r.srv.ServeConn(c, nil)
			})
		}
	})
	r.t.Cleanup(func() { _ = ln.Close() })
}

// listenUnix has r serve a unix socket, and returns how to reach it.
func listenUnix(t *testing.T, r *rig) ClientOptions {
	path := t.TempDir() + "/s"
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	r.also(ln)
	return ClientOptions{Address: wire.UnixPrefix + path}
}

// listenTLS has r serve TLS, and returns how to reach it.
func listenTLS(t *testing.T, r *rig) ClientOptions { return listenALPN(t, r, "h2") }

func listenALPN(t *testing.T, r *rig, protocols ...string) ClientOptions {
	lender := httptest.NewUnstartedServer(nil)
	lender.StartTLS()
	cert, roots := lender.TLS.Certificates[0], x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	lender.Close()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols})
	if err != nil {
		t.Fatal(err)
	}
	r.also(ln)
	return ClientOptions{
		Address: ln.Addr().String(), Authority: "example.com",
		TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
}

func TestClientOverUnixSocket(t *testing.T) {
	r := newRig(t, Options{})
	opts := listenUnix(t, r)
	a := newAsker(t, opts)
	wantEcho(t, a.ask(a.call("/test.Echo/Unary", pattern(100<<10))), pattern(100<<10))
	if got := a.cl.opts.Authority; got != "localhost" {
		t.Errorf("calls name %q, want localhost", got)
	}

	opts.MinBackoff = time.Millisecond
	opts.MaxBackoff = time.Millisecond
	b := newAsker(t, opts)
	if err := os.Remove(strings.TrimPrefix(opts.Address, wire.UnixPrefix)); err != nil {
		t.Fatal(err)
	}
	if call := b.ask(b.call("/test.Echo/Unary", nil)); call.Status != Unavailable || call.Sent {
		t.Errorf("without a socket: status %d %q, sent %v", call.Status, call.Text, call.Sent)
	}
	listen, err := net.Listen("unix", strings.TrimPrefix(opts.Address, wire.UnixPrefix))
	if err != nil {
		t.Fatal(err)
	}
	r.also(listen)
	eventuallyEcho(t, b, "/test.Echo/Unary")
}

// TestClientNegotiates holds that a connection over TLS is used only where HTTP/2 was agreed on and the
// certificate is the server's.
func TestClientNegotiates(t *testing.T) {
	for _, tc := range []struct {
		name      string
		protocols []string
		change    func(o *ClientOptions)
		want      Status
	}{
		{"HTTP/2", []string{"h2"}, func(*ClientOptions) {}, OK},
		{"HTTP/2 among others", []string{"http/1.1", "h2"}, func(*ClientOptions) {}, OK},
		{"HTTP/1.1", []string{"http/1.1"}, func(*ClientOptions) {}, Unavailable},
		{"nothing", nil, func(*ClientOptions) {}, Unavailable},
		{"a name that the certificate has not", []string{"h2"}, func(o *ClientOptions) { o.Authority = "other.example" }, Unavailable},
		{"a name that the certificate has, said apart", []string{"h2"}, func(o *ClientOptions) {
			o.Authority, o.TLS.ServerName = "other.example", "example.com"
		}, OK},
		{"an authority with a port", []string{"h2"}, func(o *ClientOptions) { o.Authority = "example.com:8001" }, OK},
		{"an authority unknown", []string{"h2"}, func(o *ClientOptions) { o.TLS.RootCAs = x509.NewCertPool() }, Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, Options{})
			opts := listenALPN(t, r, tc.protocols...)
			tc.change(&opts)
			a := newAsker(t, opts)
			if call := a.ask(a.call("/test.Echo/Unary", []byte("x"))); call.Status != tc.want || call.Sent != (tc.want == OK) {
				t.Errorf("status %d %q, sent %v, want %d", call.Status, call.Text, call.Sent, tc.want)
			}
		})
	}
}
