package h2

import (
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// script is a connection whose client has said all it says, in reads of a fixed size.
type script struct {
	net.Conn
	in   []byte
	step int
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), s.step)], s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error)        { return len(b), nil }
func (s *script) Close() error                       { return nil }
func (s *script) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (s *script) SetReadDeadline(time.Time) error    { return nil }
func (s *script) SetWriteDeadline(t time.Time) error { return nil }

// FuzzConnection feeds a server whatever bytes: it must not panic, must let go of all bytes, and must end.
func FuzzConnection(f *testing.F) {
	record := &recorder{}
	p := newPeer(f, record)
	p.Must(p.Framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10}))
	p.Headers(1, false, call("Unary")...)
	p.Must(p.Framer.WriteDataPadded(1, true, h2test.Message([]byte("hello")), make([]byte, 9)))
	p.Headers(3, false, post("/all", "content-length", "3")...)
	p.Must(p.Framer.WriteData(3, true, []byte("abc")))
	p.Must(p.Framer.WriteRSTStream(3, http2.ErrCodeCancel))
	p.Must(p.Framer.WriteWindowUpdate(1, 1000))
	p.Must(p.Framer.WritePing(false, [8]byte{}))
	f.Add(record.Bytes(), byte(0))
	p.Headers(5, false, streamCall("Echo")...)
	p.Must(p.Framer.WriteData(5, false, append(h2test.Message([]byte("one")), h2test.Message(make([]byte, 100))[:50]...)))
	p.Must(p.Framer.WriteData(5, true, h2test.Message(make([]byte, 100))[50:]))
	p.Headers(7, false, streamCall("Count", "grpc-encoding", "gzip")...)
	p.Must(p.Framer.WriteData(7, false, []byte{1, 0, 0, 0, 3, 1, 2, 3}))
	p.Headers(9, false, streamCall("Queue")...)
	p.Must(p.Framer.WriteData(9, false, h2test.Message(make([]byte, 1<<20))[:1000]))
	f.Add(record.Bytes(), byte(9))
	f.Add(record.Bytes()[:60], byte(1))
	f.Fuzz(func(t *testing.T, data []byte, step byte) {
		e := newEcho()
		close(e.release)
		pool := slab.NewPool(slab.Options{}, slab.NewBudget(1<<20))
		srv, err := New(Options{}, pool, &mirror{release: e.release, hangups: e.hangups}, e, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		srv.ServeConn(&script{in: data, step: 1 + int(step)*16}, nil)
		if err := srv.Shutdown(deadline(t)); err != nil {
			t.Fatal(err)
		}
		e.wg.Wait()
		for until := time.Now().Add(time.Second); pool.Budget().InUse() != 0; {
			if time.Now().After(until) {
				t.Fatalf("%d bytes are still in flight", pool.Budget().InUse())
			}
		}
	})
}
