package h2

import (
	"net"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// peer is a client that sends frames one by one, well formed or not.
type peer struct{ *h2test.Peer }

// dialPeer connects and sends the preface and settings.
func dialPeer(t testing.TB, r *rig, settings ...http2.Setting) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, conn, settings...)
}

func newPeer(t testing.TB, conn net.Conn, settings ...http2.Setting) *peer {
	t.Helper()
	p := &peer{h2test.NewPeer(t, conn)}
	t.Cleanup(func() { _ = conn.Close() })
	p.Write([]byte(frame.Preface))
	p.Must(p.Framer.WriteSettings(settings...))
	return p
}

func get(path string, more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "http", ":path", path, ":authority", "localhost"}, more...)
}

func post(path string, more ...string) []string {
	return append([]string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "localhost"}, more...)
}

func call(method string, more ...string) []string {
	return post("/test.Echo/"+method, append([]string{"content-type", "application/grpc", "te", "trailers"}, more...)...)
}

// unary sends a whole call.
func (p *peer) unary(id uint32, method string, body []byte, more ...string) {
	p.T.Helper()
	p.Headers(id, false, call(method, more...)...)
	p.Must(p.Framer.WriteData(id, true, h2test.Message(body)))
}

// alive checks that the connection still answers.
func (p *peer) alive(id uint32) {
	p.T.Helper()
	p.unary(id, "Unary", []byte("alive"))
	if got := p.WantAnswer(id, "grpc-status: 0"); string(got) != string(h2test.Message([]byte("alive"))) {
		p.T.Errorf("a later call is answered with %q", got)
	}
}
