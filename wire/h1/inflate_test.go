package h1

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
)

// inflated reads body as a request's, all of which is in the buffer.
func inflated(t testing.TB, s *Server, body []byte, coding string, limit int64) ([]byte, error) {
	t.Helper()
	client, sock := net.Pipe()
	_ = client.Close()
	c := newConn(s, sock, sock, addrKey{}, time.Now())
	c.req = s.acquire()
	s.grow(c.req)
	c.req.w = copy(c.req.buf, fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", coding, len(body), body))
	c.req.head.reset()
	if done, r := c.req.head.scan(c.req.buf[:c.req.w], testLimits); !done || r != nil {
		t.Fatal(done, r)
	}
	c.req.r = c.req.head.line
	c.body.start(&c.req.head)
	var l slab.List
	err := c.x.ReadBody(&l, limit)
	got := make([]byte, l.Size())
	l.CopyTo(got)
	l.Release()
	s.release(c.req)
	_ = sock.Close()
	return got, err
}

// FuzzCompressedBody checks that what is accepted is what the standard library makes of it, within the
// limit, and that nothing stays behind.
func FuzzCompressedBody(f *testing.F) {
	text := bytes.Repeat([]byte("sluice "), 100)
	f.Add(gzipOf(text), true)
	f.Add(zlibOf(text), false)
	f.Add(rawOf(text), false)
	f.Add(gzipOf(make([]byte, 1<<20)), true)
	f.Add(append(gzipOf(text), gzipOf(text)...), true)
	f.Add(append(gzipOf(text), 0), true)
	f.Add([]byte{0x1f, 0x8b}, true)
	const limit = 256 << 10
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
	f.Fuzz(func(t *testing.T, body []byte, zipped bool) {
		if len(body) > 50<<10 {
			return
		}
		coding := "deflate"
		if zipped {
			coding = "gzip"
		}
		got, err := inflated(t, s, body, coding, limit)
		if n := pool.Budget().InUse(); n != 0 {
			t.Fatalf("%d bytes of slabs are left", n)
		}
		if err != nil {
			return
		}
		want, err := standard(body, zipped)
		if err != nil {
			t.Fatalf("accepted %q, which the standard library refuses: %v", body, err)
		}
		if len(got) > limit || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d that are equal and at most %d", len(got), len(want), limit)
		}
	})
}

func standard(body []byte, zipped bool) ([]byte, error) {
	src := bytes.NewReader(body)
	var r io.Reader
	var err error
	switch {
	case zipped:
		r, err = gzip.NewReader(src)
	case len(body) > 1 && body[0]&0x0f == 8 && body[0]>>4 <= 7 && (int(body[0])<<8|int(body[1]))%31 == 0: // zlib's head
		r, err = zlib.NewReader(src)
	default:
		r = flate.NewReader(src)
	}
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(r)
	if err == nil && src.Len() > 0 {
		err = fmt.Errorf("%d bytes follow", src.Len())
	}
	return all, err
}

func TestBombsStayWithinTheLimit(t *testing.T) {
	k := newHarness(t, Options{MaxRatio: 1 << 20}, handlerFunc(echo))
	for coding, bomb := range map[string][]byte{"gzip": gzipOf(make([]byte, 8<<20)), "deflate": zlibOf(make([]byte, 8<<20))} {
		got, err := inflated(t, k.srv, bomb, coding, bodyLimit)
		if err == nil || len(got) > 0 {
			t.Errorf("%s: %d bytes, %v; want TOO_LARGE", coding, len(got), err)
		}
	}
}
