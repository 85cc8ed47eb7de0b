package h2client

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// unsteady is an endpoint that restarts, ends connections and, where resets is set, resets streams as it likes.
// It answers with the message that it got:
//
//	/soak/Unary    on the reader's stack
//	/soak/Generic  on a goroutine
//	/soak/Late     some time later
type unsteady struct {
	t      testing.TB
	pool   *slab.Pool
	addr   string // where clients connect
	own    string // where the server listens
	resets bool
	late   sync.WaitGroup

	srv     *h2.Server
	ln      net.Listener
	mu      sync.Mutex
	conns   []net.Conn
	serving sync.WaitGroup
	between sync.WaitGroup // what resets
	front   net.Listener

	restarts, ended int
	reset           atomic.Int64
}

func newUnsteady(t testing.TB, resets bool) *unsteady {
	u := &unsteady{t: t, resets: resets, own: "127.0.0.1:0"}
	u.pool = slab.NewPool(slab.Options{}, slab.NewBudget(256<<20))
	u.begin()
	u.own = u.ln.Addr().String()
	if u.addr = u.own; resets {
		u.putBetween()
	}
	return u
}

// begin serves with a new server.
func (u *unsteady) begin() {
	srv, err := h2.New(h2.Options{MaxStreams: 100, MaxConnectionAge: 200 * time.Millisecond}, u.pool, nowhere{}, u, zap.NewNop())
	if err != nil {
		u.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", u.own)
	if err != nil {
		u.t.Fatal(err)
	}
	u.srv, u.ln = srv, ln
	u.serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			u.accepted(c)
			u.serving.Go(func() { srv.ServeConn(c, nil) })
		}
	})
}

// end stops the server; it lets calls come to their end until ctx is done.
func (u *unsteady) end(ctx context.Context) {
	_ = u.ln.Close()
	_ = u.srv.Shutdown(ctx) // says only that it had to cut connections off
	u.serving.Wait()
}

// close ends all of it.
func (u *unsteady) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	u.end(ctx)
	if u.front != nil {
		_ = u.front.Close()
		u.between.Wait()
	}
	u.late.Wait()
	if n := u.pool.Budget().InUse(); n != 0 {
		u.t.Errorf("%d bytes of an endpoint are in use at the end", n)
	}
}

// accepted notes a connection, and forgets those that are older than the server has at once.
func (u *unsteady) accepted(c net.Conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	const most = 16
	u.conns = append(u.conns, c)
	u.conns = u.conns[max(0, len(u.conns)-most):]
}

// open returns the latest connections, of which some may have ended.
func (u *unsteady) open() []net.Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.conns)
}

// stir does something to the endpoint.
func (u *unsteady) stir(rng *rand.Rand) {
	switch n := rng.IntN(60); {
	case n < 2:
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(n)*10*time.Millisecond)
		defer cancel()
		u.end(ctx)
		u.begin()
		u.restarts++
	case n < 30:
		for _, c := range u.open() {
			if rng.IntN(6) == 0 {
				_ = c.Close()
				u.ended++
			}
		}
	}
}

func (u *unsteady) Method(path []byte) h2.Kind {
	switch string(path) {
	case "/soak/Unary", "/soak/Late":
		return h2.Unary
	case "/soak/Generic":
		return h2.Generic
	}
	return h2.Unknown
}

func (u *unsteady) Connect(*h2.Conn) h2.Calls { return u }
func (u *unsteady) Serve(s *h2.Stream)        { s.Reply(&h2.Answer{Message: s.Message()}) }
func (u *unsteady) Drained()                  {}

func (u *unsteady) Unary(s *h2.Stream) {
	if string(s.Path()) == "/soak/Unary" {
		s.Reply(&h2.Answer{Message: s.Message()})
		return
	}
	u.late.Go(func() {
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		conn := s.Conn()
		s.Reply(&h2.Answer{Message: s.Message()})
		conn.Flush()
	})
}

// nowhere answers plain requests, of which there are none.
type nowhere struct{}

func (nowhere) Serve(x wire.Exchange) { x.Reply(&wire.Reply{Status: 404}) }

// putBetween has clients connect to something that resets streams on behalf of the server.
func (u *unsteady) putBetween() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		u.t.Fatal(err)
	}
	u.front, u.addr = ln, ln.Addr().String()
	u.between.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", u.own)
			if err != nil {
				_ = near.Close()
				continue
			}
			u.between.Go(func() {
				// Until either side is closed; not by splicing, for which the runtime keeps pipes open.
				_, _ = io.Copy(struct{ io.Writer }{far}, struct{ io.Reader }{near})
				_, _ = far.Close(), near.Close()
			})
			u.between.Go(func() {
				u.pass(near, far)
				_, _ = far.Close(), near.Close()
			})
		}
	})
}

// pass passes frames on, and now and then resets the stream before one.
func (u *unsteady) pass(near io.Writer, far io.Reader) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	codes := []frame.Code{frame.Cancel, frame.InternalError, frame.RefusedStream, frame.NoError}
	var head [frame.HeadSize]byte
	var b []byte
	for {
		if _, err := io.ReadFull(far, head[:]); err != nil {
			return
		}
		h := frame.ParseHead(head[:])
		if b = b[:0]; (h.Type == frame.Data || h.Type == frame.Headers) && rng.IntN(200) == 0 {
			b = frame.AppendReset(b, h.Stream, codes[rng.IntN(len(codes))])
			u.reset.Add(1)
		}
		b = append(b, head[:]...)
		at := len(b)
		b = append(b, make([]byte, h.Length)...)
		if _, err := io.ReadFull(far, b[at:]); err != nil {
			return
		}
		if _, err := near.Write(b); err != nil {
			return
		}
	}
}

// tagOf makes what tells a call from all others.
func tagOf(b []byte, worker, call int) {
	binary.BigEndian.PutUint64(b, uint64(worker))
	binary.BigEndian.PutUint64(b[8:], uint64(call))
	for i := 16; i < len(b); i++ {
		b[i] = byte(worker*7 + call*31 + i)
	}
}
