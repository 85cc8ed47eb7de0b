package h2

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// echo serves the methods of the tests:
//
//	/test.Echo/Unary     answers with the message, at once, on the reader
//	/test.Echo/Later     answers with the message from another goroutine, when release is closed
//	/test.Echo/Generic   answers with the message on a goroutine
//	/test.Echo/Fail      fails with the message as its text
//	/test.Echo/Panic     panics
//
// and those of streamer.
type echo struct {
	release chan struct{}
	hangups chan wire.HangUp
	wg      sync.WaitGroup
}

func newEcho() *echo {
	return &echo{release: make(chan struct{}), hangups: make(chan wire.HangUp, 1000)}
}

func (e *echo) Method(path []byte) Kind {
	switch string(path) {
	case "/test.Echo/Unary", "/test.Echo/Later", "/test.Echo/Fail", "/test.Echo/Panic":
		return Unary
	case "/test.Echo/Generic", "/test.Echo/Silent":
		return Generic
	}
	if streamer(path) != nil {
		return Streaming
	}
	return Unknown
}

func (e *echo) Connect(*Conn) Calls { return &calls{e: e} }

func (e *echo) Serve(s *Stream) {
	if string(s.Path()) == "/test.Echo/Silent" {
		return
	}
	if serve := streamer(s.Path()); serve != nil {
		serve(e, s)
		return
	}
	s.Reply(&Answer{Message: s.Message()})
}

type calls struct {
	e      *echo
	answer Answer
}

func (c *calls) Unary(s *Stream) {
	a := &c.answer
	switch string(s.Path()) {
	case "/test.Echo/Later":
		if !s.Watch(watcher(c.e.hangups)) {
			s.Reply(&Answer{Status: grpc.Cancelled})
			return
		}
		c.e.wg.Go(func() {
			<-c.e.release
			conn := s.Conn()
			s.Reply(&Answer{Message: s.Message()})
			conn.Flush()
		})
	case "/test.Echo/Fail":
		text := string(s.Message().Flatten(s.c.srv.pool))
		s.Reply(&Answer{
			Status: grpc.InvalidArgument, Text: text, Details: []byte{1, 2, 3},
			Trailer: []wire.Header{{Name: "X-Trailer", Value: []byte("t")}, {Name: "raw-bin", Value: []byte{0, 255}}},
		})
	case "/test.Echo/Panic":
		panic("as asked")
	default:
		a.Message = s.Message()
		s.Reply(a)
	}
}

func (c *calls) Drained() {}

// watcher passes hang-ups on.
type watcher chan wire.HangUp

func (w watcher) HangUp(how wire.HangUp) { w <- how }

// mirror answers plain requests: the body back, with what the request said in header fields.
type mirror struct {
	release chan struct{}
	hangups chan wire.HangUp
	parts   chan string // of the answer to /parts
	took    chan bool   // what each said
	seen    chan string // of the request to /after, once its answer has left
}

func (m *mirror) Serve(x wire.Exchange) {
	var r wire.Reply
	defer r.Reset()
	r.Status, r.ContentType = 200, "text/plain"
	r.Headers = append(r.Headers,
		wire.Header{Name: "X-Method", Value: x.Method()},
		wire.Header{Name: "X-Path", Value: x.Path()},
		wire.Header{Name: "X-Query", Value: x.Query()},
		wire.Header{Name: "X-Echo", Value: x.Header("X-Sent")},
	)
	switch string(x.Path()) {
	case "/panic":
		panic("as asked")
	case "/parts":
		m.inParts(x, &r)
		return
	case "/after":
		c := x.(*exchange).s.c
		x.Reply(&r)
		c.Flush()
		select {
		case m.seen <- x.Remote() + " " + string(x.Path()) + " " + string(x.Header("X-Sent")):
		default:
		}
		return
	case "/early":
		r.Status = 503
		x.Reply(&r)
		return
	case "/wait":
		x.Wait(m.release, watcher(m.hangups))
	case "/hold": // until the client is gone
		done := make(closer)
		x.Wait(done, done)
	case "/silent":
		return
	}
	limit := int64(32 << 20)
	if string(x.Path()) == "/small" {
		limit = 1000
	}
	if err := x.ReadBody(&r.Body, limit); err != nil {
		e := err.(*wire.Error)
		r.Status = e.Status
		r.Body.AppendOwned(slab.View{B: []byte(e.Code)})
	}
	if string(x.Method()) == "GET" {
		r.Body.AppendOwned(slab.View{B: []byte("an answer")})
	}
	x.Reply(&r)
}

// inParts answers with the parts that come.
func (m *mirror) inParts(x wire.Exchange, r *wire.Reply) {
	r.Body.AppendOwned(slab.View{B: []byte(<-m.parts)})
	m.took <- x.Begin(r)
	for p := <-m.parts; p != "end"; p = <-m.parts {
		if p == "panic" {
			panic("as asked")
		}
		r.Body.AppendOwned(slab.View{B: []byte(p)})
		m.took <- x.Send(&r.Body)
	}
}

// say has a part sent and tells whether it left.
func (m *mirror) say(p string) bool {
	m.parts <- p
	return <-m.took
}

// closer is closed by a hang-up.
type closer chan struct{}

func (c closer) HangUp(wire.HangUp) { close(c) }

// rig is a server and what it serves.
type rig struct {
	t      testing.TB
	srv    *Server
	pool   *slab.Pool
	echo   *echo
	mirror *mirror
	ln     net.Listener
	addr   string

	mu     sync.Mutex
	closed map[Reason]int
	said   map[Reason]int
	wg     sync.WaitGroup
}

// newRig serves on a port of loopback until the test ends, and then checks that nothing is left.
func newRig(t testing.TB, opts Options) *rig {
	t.Helper()
	r := &rig{t: t, echo: newEcho(), closed: map[Reason]int{}, said: map[Reason]int{}}
	r.mirror = &mirror{release: make(chan struct{}, 1), hangups: r.echo.hangups, parts: make(chan string), took: make(chan bool), seen: make(chan string, 1)}
	r.pool = slab.NewPool(slab.Options{}, slab.NewBudget(256<<20))
	opts.Metrics = Metrics{
		ConnClosed: func(why Reason) { r.count(r.closed, why) },
		ParseError: func(why Reason) { r.count(r.said, why) },
		Rejected:   func(why Reason) { r.count(r.said, why) },
		Panicked:   func() { r.count(r.said, "panicked") },
	}
	srv, err := New(opts, r.pool, r.mirror, r.echo, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	r.srv = srv
	r.ln, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = r.ln.Addr().String()
	r.wg.Go(func() {
		for {
			c, err := r.ln.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { srv.ServeConn(c, nil) })
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *rig) count(m map[Reason]int, why Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m[why]++
}

func (r *rig) counted(m map[Reason]int, why Reason) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m[why]
}

func (r *rig) stop() {
	_ = r.ln.Close()
	select {
	case <-r.echo.release:
	default:
		close(r.echo.release)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := r.srv.Shutdown(ctx); err != nil {
		r.t.Log(err)
	}
	r.wg.Wait()
	r.echo.wg.Wait()
	r.eventually("no bytes in flight", func() bool { return r.pool.Budget().InUse() == 0 })
	if st := r.srv.Stats(); st != (Stats{}) {
		r.t.Errorf("the server still holds %+v", st)
	}
}

// eventually waits for what another goroutine brings about.
func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			r.t.Errorf("never: %s (in use %d, %+v)", what, r.pool.Budget().InUse(), r.srv.Stats())
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *rig) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint("closed: ", r.closed, ", said: ", r.said)
}
