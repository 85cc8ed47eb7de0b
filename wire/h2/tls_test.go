package h2

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// TestTLS holds that a connection without non-blocking calls answers large messages too: all its writing is
// the writer's.
func TestTLS(t *testing.T) {
	lender := httptest.NewUnstartedServer(nil)
	lender.StartTLS()
	cert, roots := lender.TLS.Certificates[0], x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	lender.Close()
	r := newRig(t, Options{})
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r.wg.Go(func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		r.srv.ServeConn(conn, nil)
	})
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{"h2"}})
	if err := conn.HandshakeContext(deadline(t)); err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, conn, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24})
	p.Must(p.Framer.WriteWindowUpdate(0, 1<<24))
	for i := range 20 {
		id := uint32(2*i + 1)
		p.Headers(id, false, call("Unary")...)
		whole := h2test.Message(h2test.Pattern(40_000))
		for at := 0; at < len(whole); at += 16_384 {
			p.Must(p.Framer.WriteData(id, at+16_384 >= len(whole), whole[at:min(at+16_384, len(whole))]))
		}
		if got := p.WantAnswer(id, "grpc-status: 0"); !bytes.Equal(got, whole) {
			t.Errorf("%d bytes came back, and not those that were sent", len(got))
		}
	}
	_ = conn.Close()
}

func TestContinue(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r)
	p.Headers(1, false, post("/all", "expect", "100-continue", "content-length", "5")...)
	f, err := p.Next()
	p.Must(err)
	h, ok := f.(*http2.MetaHeadersFrame)
	if !ok || h.PseudoValue("status") != "100" || h.StreamEnded() {
		t.Fatalf("%v came, want status 100", f)
	}
	p.Must(p.Framer.WriteData(1, true, []byte("hello")))
	if got := p.WantAnswer(1, ":status: 200"); string(got) != "hello" {
		t.Errorf("the answer is %q", got)
	}
	p.Headers(3, true, post("/all", "expect", "magic")...)
	p.WantAnswer(3, ":status: 417")
}
