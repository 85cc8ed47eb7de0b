package h2client

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// asker is a client under test, with a pool of its own.
type asker struct {
	t    testing.TB
	cl   *Client
	pool *slab.Pool
}

// newAsker makes a client that is closed when the test ends, and then checks that nothing is left.
func newAsker(t testing.TB, opts Options) *asker {
	t.Helper()
	a := &asker{t: t, pool: slab.NewPool(slab.Options{}, slab.NewBudget(256<<20))}
	cl, err := New(opts, a.pool, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	a.cl = cl
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		cl.Close(ctx)
		if n := a.pool.Budget().InUse(); n != 0 {
			t.Errorf("%d bytes are in use at the end\n%s", n, strings.Join(a.pool.Leaks(), "\n"))
		}
		if st := cl.Stats(); st != (Stats{}) {
			t.Errorf("the client still holds %+v", st)
		}
	})
	return a
}

// done is a 1-slot channel that a call is answered on.
type done chan *Call

func (d done) Answered(call *Call, _ Drainer) { d <- call }

// call returns a call with a message.
func (a *asker) call(path string, message []byte) *Call {
	call := &Call{Path: path, Done: make(done, 1)}
	s := a.pool.Get(len(message))
	copy(s.Bytes(), message)
	call.Message.AppendOwned(s.View(0, len(message)))
	return call
}

// start starts a call and flushes it.
func (a *asker) start(call *Call) {
	a.t.Helper()
	c, err := a.cl.Start(call)
	if err != nil {
		a.t.Fatal(err)
	}
	if c != nil {
		c.Flush()
	}
}

// await waits for the answer, drops the message, and has the answer dropped at the end.
func (a *asker) await(call *Call) *Call {
	a.t.Helper()
	select {
	case <-call.Done.(done):
	case <-time.After(10 * time.Second):
		a.t.Fatalf("%s is not answered: %+v", call.Path, a.cl.Stats())
	}
	call.Message.Release()
	a.t.Cleanup(call.Answer.Release)
	return call
}

func (a *asker) ask(call *Call) *Call {
	a.t.Helper()
	a.start(call)
	return a.await(call)
}

func flat(l *slab.List) []byte {
	b := make([]byte, l.Size())
	l.CopyTo(b)
	return b
}

// wantEcho checks that a call was answered with what it carried.
func wantEcho(t testing.TB, call *Call, want []byte) {
	t.Helper()
	if call.Status != grpc.OK || !bytes.Equal(flat(&call.Answer), want) {
		t.Errorf("%s: status %d (%s) and %d bytes, want the %d that were sent",
			call.Path, call.Status, call.Text, call.Answer.Size(), len(want))
	}
}

func TestClientAsksOurServer(t *testing.T) {
	r := newOurs(t, h2.Options{})
	a := newAsker(t, Options{Address: r.addr})
	for _, n := range []int{0, 1, 1000, 65530, 65531, 65536, 1 << 20, 8 << 20} {
		for _, method := range []string{"Unary", "Generic"} {
			call := a.call("/test.Echo/"+method, h2test.Pattern(n))
			call.Timeout = time.Minute
			call.Metadata = []wire.Header{{Name: "X-Request-ID", Value: []byte("id")}, {Name: "raw-bin", Value: []byte{0, 255}}}
			wantEcho(t, a.ask(call), h2test.Pattern(n))
			if call.HTTPStatus != 200 || !call.Sent || call.Local || string(call.Header("content-type")) != "application/grpc" {
				t.Errorf("%d bytes: HTTP %d, sent %v, local %v, %s", n, call.HTTPStatus, call.Sent, call.Local, call.Header("content-type"))
			}
		}
	}
	call := a.ask(a.call("/test.Echo/Fail", []byte("50% wrong: \u00fc")))
	if call.Status != grpc.InvalidArgument || call.Text != "50% wrong: \u00fc" || string(call.Details) != "\x01\x02\x03" {
		t.Errorf("the failure came as %d %q %v", call.Status, call.Text, call.Details)
	}
	if got := string(call.Header("x-trailer")); got != "t" || call.Local || call.NumHead() != 0 {
		t.Errorf("trailer %q, local %v, %d fields in the head", got, call.Local, call.NumHead())
	}
	if call := a.ask(a.call("/test.Echo/None", nil)); call.Status != grpc.Unimplemented {
		t.Errorf("an unknown method is answered %d %s", call.Status, call.Text)
	}
}

func TestClientCancels(t *testing.T) {
	r := newOurs(t, h2.Options{})
	a := newAsker(t, Options{Address: r.addr})
	call := a.call("/test.Echo/Later", h2test.Pattern(10))
	a.start(call)
	r.eventually("the call runs", func() bool { return r.srv.Stats().Streams == 1 })
	call.Cancel()
	call.Cancel()
	if a.await(call); call.Status != grpc.Cancelled || !call.Local || !call.Sent {
		t.Errorf("cancelled: status %d, local %v, sent %v", call.Status, call.Local, call.Sent)
	}
	if how := <-r.hangups; how != wire.Reset {
		t.Errorf("the server was told %v", how)
	}
	early := a.call("/test.Echo/Unary", h2test.Pattern(10))
	early.Cancel()
	a.start(early)
	if a.await(early); early.Status != grpc.Cancelled || early.Sent {
		t.Errorf("cancelled before it began: status %d, sent %v", early.Status, early.Sent)
	}
	wantEcho(t, a.ask(a.call("/test.Echo/Unary", h2test.Pattern(10))), h2test.Pattern(10))
}

func TestClientWaitsForRoom(t *testing.T) {
	r := newOurs(t, h2.Options{MaxStreams: 2})
	a := newAsker(t, Options{Address: r.addr, MaxConnections: 1, MaxWaiting: 4})
	var calls []*Call
	for i := range 6 {
		calls = append(calls, a.call("/test.Echo/Later", h2test.Pattern(i)))
		a.start(calls[i])
		r.eventually("the first run", func() bool { return r.srv.Stats().Streams == min(i+1, 2) })
	}
	seventh := a.call("/test.Echo/Later", nil)
	if _, err := a.cl.Start(seventh); err != ErrFull {
		t.Errorf("beyond the queue: %v, want %v", err, ErrFull)
	}
	seventh.Message.Release()
	calls[4].Cancel()
	if a.await(calls[4]); calls[4].Status != grpc.Cancelled || calls[4].Sent {
		t.Errorf("cancelled while it waited: status %d, sent %v", calls[4].Status, calls[4].Sent)
	}
	close(r.release)
	for i, call := range calls {
		if i != 4 {
			wantEcho(t, a.await(call), h2test.Pattern(i))
		}
	}
}

func TestClientOpensAnotherConnection(t *testing.T) {
	r := newOurs(t, h2.Options{})
	a := newAsker(t, Options{Address: r.addr, SpreadStreams: 2})
	var calls []*Call
	for i := range 4 {
		calls = append(calls, a.call("/test.Echo/Later", h2test.Pattern(i)))
		a.start(calls[i])
	}
	r.eventually("the first four run", func() bool { return r.srv.Stats().Streams == 4 })
	for i := range 12 {
		calls = append(calls, a.call("/test.Echo/Later", h2test.Pattern(i)))
		a.start(calls[4+i])
		r.eventually("all run", func() bool { return r.srv.Stats().Streams == 5+i })
		if i == 0 {
			r.eventually("a second connection", func() bool { return a.cl.Stats().Connections == 2 })
		}
	}
	if st := r.srv.Stats(); st.Active != 2 || st.Connections != 2 {
		t.Errorf("%+v, want two connections", st)
	}
	close(r.release)
	for _, call := range calls {
		a.await(call)
		if call.Status != grpc.OK {
			t.Errorf("status %d %s", call.Status, call.Text)
		}
	}
}

func TestClientBacksOff(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	a := newAsker(t, Options{Address: addr, MinBackoff: 50 * time.Millisecond})
	call := a.ask(a.call("/x", nil))
	if call.Status != grpc.Unavailable || call.Sent {
		t.Errorf("without a server: status %d, sent %v", call.Status, call.Sent)
	}
	second := a.call("/x", nil)
	defer second.Message.Release()
	if _, err := a.cl.Start(second); err != ErrDown {
		t.Errorf("within the back-off: %v, want %v", err, ErrDown)
	}
}

func TestClientCloseAwaitsCalls(t *testing.T) {
	r := newOurs(t, h2.Options{})
	a := newAsker(t, Options{Address: r.addr})
	call, stuck := a.call("/test.Echo/Later", h2test.Pattern(10)), a.call("/test.Echo/Later", h2test.Pattern(10))
	a.start(call)
	r.eventually("the call runs", func() bool { return r.srv.Stats().Streams == 1 })
	closed := make(chan struct{})
	go func() {
		a.cl.Close(context.Background())
		close(closed)
	}()
	r.eventually("the client is closed", a.cl.closed.Load)
	if _, err := a.cl.Start(stuck); err != ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	stuck.Message.Release()
	close(r.release)
	<-closed
	wantEcho(t, a.await(call), h2test.Pattern(10))

	r = newOurs(t, h2.Options{})
	a = newAsker(t, Options{Address: r.addr})
	call = a.call("/test.Echo/Later", h2test.Pattern(10))
	a.start(call)
	r.eventually("the call runs", func() bool { return r.srv.Stats().Streams == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a.cl.Close(ctx)
	if a.await(call); call.Status != grpc.Unavailable || !call.Sent {
		t.Errorf("cut off by Close: status %d, sent %v", call.Status, call.Sent)
	}
}
