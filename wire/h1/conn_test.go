package h1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
)

// transcript is a connection whose client sent everything at the start and notes what comes back.
type transcript struct {
	pieces
	out    bytes.Buffer
	closed bool
}

func (c *transcript) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *transcript) SetWriteDeadline(time.Time) error { return nil }
func (c *transcript) Close() error                     { c.closed = true; return nil }

// FuzzConnection checks that whatever comes, each answer can be read, nothing panics or stays behind, and
// the answers do not depend on how the bytes arrive.
func FuzzConnection(f *testing.F) {
	for _, v := range vectors() {
		if len(v.send) < 4<<10 {
			f.Add([]byte(v.send), uint8(3))
		}
	}
	pool := slab.NewPool(slab.Options{}, slab.NewBudget(1<<20))
	panics := 0
	s, err := New(Options{Metrics: Metrics{Panicked: func() { panics++ }}}, pool, handlerFunc(func(x wire.Exchange) {
		if strings.HasPrefix(string(x.Path()), "/unread") {
			x.Reply(&wire.Reply{Status: 200})
			return
		}
		echo(x)
	}), zap.NewNop())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := s.Shutdown(f.Context()); err != nil {
			f.Error(err)
		}
	})
	play := func(t *testing.T, b []byte, n int) []int {
		sock := &transcript{pieces: pieces{b: b, n: n}}
		c := newConn(s, sock, sock, addrKey{}, time.Now())
		if err := s.fast.ServeConn(c); err != nil {
			t.Fatalf("serve: %v", err)
		}
		if !sock.closed || panics > 0 || pool.Budget().InUse() != 0 {
			t.Fatalf("closed %v, %d panics, %d bytes left", sock.closed, panics, pool.Budget().InUse())
		}
		return statuses(t, b, sock.out.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		at := play(t, b, len(b)+1)
		if pieces := play(t, b, int(step)+1); !slices.Equal(at, pieces) {
			t.Fatalf("answers %v at once, %v in pieces", at, pieces)
		}
	})
}

// statuses reads answers to their end. Those to HEAD have no body, and whether one was asked is in b only
// loosely: with a HEAD anywhere, the answers are not read.
func statuses(t *testing.T, b, out []byte) (all []int) {
	t.Helper()
	if bytes.Contains(b, []byte("HEAD")) {
		return nil
	}
	br := bufio.NewReader(bytes.NewReader(out))
	for {
		if _, err := br.Peek(1); errors.Is(err, io.EOF) {
			return all
		}
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("answer %d of %q: %v", len(all), out, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatalf("answer %d of %q: %v", len(all), out, err)
		}
		if resp.StatusCode != http.StatusContinue {
			all = append(all, resp.StatusCode)
		}
	}
}

var _ net.Conn = (*transcript)(nil)
