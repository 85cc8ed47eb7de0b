package h2client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
)

// ours is our own server, which serves the methods of the client's tests:
//
//	/test.Echo/Unary    answers with the message, at once, on the reader
//	/test.Echo/Later    answers with the message from another goroutine, when release is closed
//	/test.Echo/Generic  answers with the message on a goroutine
//	/test.Echo/Fail     fails with the message as its text
//	/test.Stream/Echo   answers each message with itself, and waits until that has left
//	/test.Stream/Queue  the same, without waiting
//	/test.Stream/Count  answers with the number of messages and of their bytes
//	/test.Stream/Many   answers with as many messages of a size as the first one says
type ours struct {
	t       testing.TB
	srv     *h2.Server
	pool    *slab.Pool
	addr    string
	release chan struct{}
	hangups chan wire.HangUp
	wg      sync.WaitGroup
}

// newOurs serves on a port of loopback until the test ends, and then checks that nothing is left.
func newOurs(t testing.TB, opts h2.Options) *ours {
	t.Helper()
	r := &ours{t: t, release: make(chan struct{}), hangups: make(chan wire.HangUp, 1000)}
	r.pool = slab.NewPool(slab.Options{}, slab.NewBudget(256<<20))
	srv, err := h2.New(opts, r.pool, nowhere{}, r, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	r.srv = srv
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	t.Cleanup(r.stop)
	r.also(ln)
	return r
}

func (r *ours) stop() {
	select {
	case <-r.release:
	default:
		close(r.release)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := r.srv.Shutdown(ctx); err != nil {
		r.t.Log(err)
	}
	r.wg.Wait()
	r.eventually("no bytes in flight", func() bool { return r.pool.Budget().InUse() == 0 })
}

// eventually waits for what another goroutine brings about.
func (r *ours) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			r.t.Errorf("never: %s (in use %d, %+v)", what, r.pool.Budget().InUse(), r.srv.Stats())
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *ours) Method(path []byte) h2.Kind {
	switch string(path) {
	case "/test.Echo/Unary", "/test.Echo/Later", "/test.Echo/Fail":
		return h2.Unary
	case "/test.Echo/Generic":
		return h2.Generic
	case "/test.Stream/Echo", "/test.Stream/Queue", "/test.Stream/Count", "/test.Stream/Many":
		return h2.Streaming
	}
	return h2.Unknown
}

func (r *ours) Connect(*h2.Conn) h2.Calls { return &ourCalls{r: r} }

// ourCalls are the calls of a connection.
type ourCalls struct {
	r      *ours
	answer h2.Answer
}

func (c *ourCalls) Unary(s *h2.Stream) {
	switch string(s.Path()) {
	case "/test.Echo/Later":
		if !s.Watch(ourWatcher(c.r.hangups)) {
			s.Reply(&h2.Answer{Status: grpc.Cancelled})
			return
		}
		c.r.wg.Go(func() {
			<-c.r.release
			conn := s.Conn()
			s.Reply(&h2.Answer{Message: s.Message()})
			conn.Flush()
		})
	case "/test.Echo/Fail":
		s.Reply(&h2.Answer{
			Status: grpc.InvalidArgument, Text: string(flat(s.Message())), Details: []byte{1, 2, 3},
			Trailer: []wire.Header{{Name: "X-Trailer", Value: []byte("t")}, {Name: "raw-bin", Value: []byte{0, 255}}},
		})
	default:
		c.answer.Message = s.Message()
		s.Reply(&c.answer)
	}
}

func (c *ourCalls) Drained() {}

// ourWatcher passes hang-ups on.
type ourWatcher chan wire.HangUp

func (w ourWatcher) HangUp(how wire.HangUp) { w <- how }

func (r *ours) Serve(s *h2.Stream) {
	var err error
	switch string(s.Path()) {
	case "/test.Echo/Generic":
		s.Reply(&h2.Answer{Message: s.Message()})
	case "/test.Stream/Count":
		err = countMessages(s)
	case "/test.Stream/Many":
		err = sendMany(s, r.pool)
	case "/test.Stream/Queue":
		err = echoMessages(s, func(m *slab.List) error {
			if s.Send(m) {
				s.Conn().Flush()
			}
			return nil
		})
	default:
		err = echoMessages(s, s.SendWait)
	}
	var ce *h2.CallError
	switch {
	case errors.As(err, &ce):
		s.Reply(&h2.Answer{Status: ce.Status, Text: ce.Text})
	case err != nil:
		panic(err)
	}
}

func echoMessages(s *h2.Stream, send func(*slab.List) error) error {
	var m slab.List
	for {
		err := s.Recv(&m)
		if errors.Is(err, io.EOF) {
			s.Reply(&h2.Answer{})
			return nil
		}
		if err == nil {
			err = send(&m)
		}
		if err != nil {
			return err
		}
	}
}

func countMessages(s *h2.Stream) error {
	var m slab.List
	for count, size := 0, 0; ; count++ {
		err := s.Recv(&m)
		switch {
		case errors.Is(err, io.EOF):
			m.AppendOwned(slab.View{B: fmt.Appendf(nil, "%d %d", count, size)})
			s.Reply(&h2.Answer{Message: &m})
			return nil
		case err != nil:
			return err
		}
		size += m.Size()
		m.Release()
	}
}

// many returns what asks for n messages of a size.
func many(n, size int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(n)), uint32(size))
}

// feeder sends messages one by one, each when it is told that the one before has gone.
type feeder struct {
	pool       *slab.Pool
	left, size int
	message    slab.List
	done       chan struct{}
}

func (p *feeder) Sent(s *h2.Stream) {
	if p.left == 0 {
		select {
		case p.done <- struct{}{}:
		default:
		}
		return
	}
	p.left--
	p.message.AppendOwned(p.pool.Get(p.size).View(0, p.size))
	if s.Send(&p.message) {
		s.Conn().Flush()
	}
}

func sendMany(s *h2.Stream, pool *slab.Pool) error {
	var m slab.List
	defer m.Release()
	if err := s.Recv(&m); err != nil {
		return err
	}
	b := flat(&m)
	p := &feeder{
		pool: pool, left: int(binary.BigEndian.Uint32(b)), size: int(binary.BigEndian.Uint32(b[4:])), done: make(chan struct{}, 1),
	}
	gone := make(chan wire.HangUp, 1)
	if !s.Watch(ourWatcher(gone)) {
		return &h2.CallError{Status: grpc.Cancelled}
	}
	s.WatchSent(p)
	p.Sent(s)
	select {
	case <-p.done:
		s.Reply(&h2.Answer{})
		return nil
	case <-gone:
		return &h2.CallError{Status: grpc.Cancelled}
	}
}

// deadline is a context that ends a test which hangs.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}
