package h1

import (
	"bytes"
	"io"
	"net"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
)

// FuzzChunkedBody checks that what is accepted is what net/http's reader of chunks makes of it, and that
// it does not matter how it arrives.
func FuzzChunkedBody(f *testing.F) {
	for _, v := range chunking() {
		_, body, _ := strings.Cut(v.send, "\r\n\r\n")
		if len(body) < 4<<10 {
			f.Add([]byte(body), uint8(7))
		}
	}
	pool := slab.NewPool(slab.Options{}, slab.NewBudget(64<<20))
	s, err := New(Options{}, pool, handlerFunc(echo), zap.NewNop())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Shutdown(f.Context()); err != nil {
			f.Error(err)
		}
	})
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		const limit = 16 << 10
		got, rest, r := unchunked(t, s, b, len(b)+1, limit)
		slow, slowRest, slowRefusal := unchunked(t, s, b, int(step)+1, limit)
		if (r == nil) != (slowRefusal == nil) || r == nil && (!bytes.Equal(got, slow) || rest != slowRest) {
			t.Fatalf("at once: %q, %d left, %+v; in pieces: %q, %d left, %+v", got, rest, r, slow, slowRest, slowRefusal)
		}
		if n := pool.Budget().InUse(); n != 0 {
			t.Fatalf("%d bytes of slabs are left", n)
		}
		if r != nil {
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b)))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("accepted %q as %q, net/http reads %q, %v", b, got, want, err)
		}
	})
}

// pieces is a connection whose client sent b, n bytes at a time, and closed its side.
type pieces struct {
	net.Conn
	b []byte
	n int
}

func (p *pieces) Read(dst []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(dst[:min(len(dst), p.n)], p.b)
	p.b = p.b[n:]
	return n, nil
}

func (p *pieces) SetReadDeadline(time.Time) error { return nil }
func (p *pieces) RemoteAddr() net.Addr            { return &net.UnixAddr{} }

// unchunked reads a chunked body, and returns how many bytes behind it were left.
func unchunked(t testing.TB, s *Server, b []byte, step int, limit int64) ([]byte, int, *refusal) {
	t.Helper()
	sock := &pieces{b: append([]byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), b...), n: step}
	c := newConn(s, sock, sock, addrKey{}, time.Now())
	if !c.next() {
		t.Fatal("the head was not read")
	}
	var l slab.List
	r := c.x.readBody(&l, limit)
	got := make([]byte, l.Size())
	l.CopyTo(got)
	l.Release()
	rest := c.req.w - c.req.r + len(sock.b)
	s.release(c.req)
	return got, rest, r
}
