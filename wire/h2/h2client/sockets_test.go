package h2client

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
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// also serves ln until the test ends.
func (r *ours) also(ln net.Listener) {
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
func listenUnix(t *testing.T, r *ours) Options {
	path := t.TempDir() + "/s"
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	r.also(ln)
	return Options{Address: wire.UnixPrefix + path}
}

// listenTLS has r serve TLS, and returns how to reach it.
func listenTLS(t *testing.T, r *ours) Options { return listenALPN(t, r, "h2") }

func listenALPN(t *testing.T, r *ours, protocols ...string) Options {
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
	return Options{
		Address: ln.Addr().String(), Authority: "example.com",
		TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
}

func TestClientOverUnixSocket(t *testing.T) {
	r := newOurs(t, h2.Options{})
	opts := listenUnix(t, r)
	a := newAsker(t, opts)
	wantEcho(t, a.ask(a.call("/test.Echo/Unary", h2test.Pattern(100<<10))), h2test.Pattern(100<<10))
	if got := a.cl.opts.Authority; got != "localhost" {
		t.Errorf("calls name %q, want localhost", got)
	}

	opts.MinBackoff = time.Millisecond
	opts.MaxBackoff = time.Millisecond
	b := newAsker(t, opts)
	if err := os.Remove(strings.TrimPrefix(opts.Address, wire.UnixPrefix)); err != nil {
		t.Fatal(err)
	}
	if call := b.ask(b.call("/test.Echo/Unary", nil)); call.Status != grpc.Unavailable || call.Sent {
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
		change    func(o *Options)
		want      grpc.Status
	}{
		{"HTTP/2", []string{"h2"}, func(*Options) {}, grpc.OK},
		{"HTTP/2 among others", []string{"http/1.1", "h2"}, func(*Options) {}, grpc.OK},
		{"HTTP/1.1", []string{"http/1.1"}, func(*Options) {}, grpc.Unavailable},
		{"nothing", nil, func(*Options) {}, grpc.Unavailable},
		{"a name that the certificate has not", []string{"h2"}, func(o *Options) { o.Authority = "other.example" }, grpc.Unavailable},
		{"a name that the certificate has, said apart", []string{"h2"}, func(o *Options) {
			o.Authority, o.TLS.ServerName = "other.example", "example.com"
		}, grpc.OK},
		{"an authority with a port", []string{"h2"}, func(o *Options) { o.Authority = "example.com:8001" }, grpc.OK},
		{"an authority unknown", []string{"h2"}, func(o *Options) { o.TLS.RootCAs = x509.NewCertPool() }, grpc.Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newOurs(t, h2.Options{})
			opts := listenALPN(t, r, tc.protocols...)
			tc.change(&opts)
			a := newAsker(t, opts)
			if call := a.ask(a.call("/test.Echo/Unary", []byte("x"))); call.Status != tc.want || call.Sent != (tc.want == grpc.OK) {
				t.Errorf("status %d %q, sent %v, want %d", call.Status, call.Text, call.Sent, tc.want)
			}
		})
	}
}
