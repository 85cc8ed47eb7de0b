package h2client

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/slab"
	wiregrpc "github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// flow is a call under test that streams, and what it was told. With eager set it pulls as it is told.
type flow struct {
	*Call
	a        *asker
	eager    bool
	messages chan []byte
	room     chan struct{}
	over     chan struct{}

	mu      sync.Mutex
	running bool // somebody tells it something
	ended   bool
	strange []string
}

// newFlow returns a call of any number of messages both ways.
func newFlow(a *asker, path string) *flow {
	f := &flow{
		a: a, Call: &Call{Path: path, Streaming: true},
		messages: make(chan []byte, 100_000), room: make(chan struct{}, 100_000), over: make(chan struct{}, 2),
	}
	f.Call.Messages, f.Call.Room, f.Done = f, f, f
	a.t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, s := range f.strange {
			a.t.Error(s)
		}
		f.Answer.Release()
	})
	return f
}

// enter checks that nothing else is told at the same time, nor was the end.
func (f *flow) enter(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running || f.ended {
		f.strange = append(f.strange, fmt.Sprintf("%s while another runs (%v) or behind the end (%v)", what, f.running, f.ended))
	}
	f.running = true
}

func (f *flow) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = false
}

func (f *flow) Message(call *Call, m *slab.List, _ Drainer) {
	f.enter("Message")
	defer f.leave()
	if string(call.Header("content-type")) != "application/grpc" || call.HTTPStatus != 200 {
		f.mu.Lock()
		f.strange = append(f.strange, "a message came before its head")
		f.mu.Unlock()
	}
	f.messages <- flat(m)
	if f.eager {
		call.Pull()
	}
}

func (f *flow) Emptied(*Call, Drainer) {
	f.enter("Emptied")
	defer f.leave()
	f.room <- struct{}{}
}

func (f *flow) Answered(*Call, Drainer) {
	f.enter("Answered")
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.leave()
	f.over <- struct{}{}
}

// send sends a message.
func (f *flow) send(b []byte) {
	s := f.a.pool.Get(len(b))
	copy(s.Bytes(), b)
	var m slab.List
	m.AppendOwned(s.View(0, len(b)))
	c := f.Send(&m)
	if m.Len() != 0 {
		f.a.t.Error("Send left something in the list")
	}
	if c != nil {
		c.Flush()
	}
}

func (f *flow) closeSend() {
	if c := f.CloseSend(); c != nil {
		c.Flush()
	}
}

// next waits for the next message, which was pulled.
func (f *flow) next() []byte {
	f.a.t.Helper()
	select {
	case m := <-f.messages:
		return m
	case <-time.After(10 * time.Second):
		f.a.t.Fatalf("no message came: %+v", f.a.cl.Stats())
	}
	return nil
}

// end waits for the end, and checks that no message came that was not looked at.
func (f *flow) end() *Call {
	f.a.t.Helper()
	select {
	case <-f.over:
	case <-time.After(10 * time.Second):
		f.a.t.Fatalf("%s does not end: %+v", f.Path, f.a.cl.Stats())
	}
	f.Call.Message.Release()
	if n := len(f.messages); n > 0 {
		f.a.t.Errorf("%d messages more than were awaited", n)
	}
	return f.Call
}

func (f *flow) wantEnd(want wiregrpc.Status) {
	f.a.t.Helper()
	if f.end(); f.Status != want {
		f.a.t.Errorf("%s ended with %d %q, want %d", f.Path, f.Status, f.Text, want)
	}
}

// serveStreams serves streaming methods of a grpc-go server:
//
//	/go.Stream/Echo   answers each message with itself
//	/go.Stream/Count  answers with as many messages as the first says, of the size it says
//	/go.Stream/Sum    answers with the number of messages and bytes that came
//	/go.Stream/Early  fails behind the first message, with the message as its text
//	/go.Stream/Idle   reads nothing until the call is over
func serveStreams(s grpc.ServerStream, method string) error {
	var in []byte
	switch method {
	case "/go.Stream/Echo":
		for {
			if err := s.RecvMsg(&in); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if err := s.SendMsg(&in); err != nil {
				return err
			}
		}
	case "/go.Stream/Count":
		if err := s.RecvMsg(&in); err != nil {
			return err
		}
		n, size := binary.BigEndian.Uint32(in), binary.BigEndian.Uint32(in[4:])
		for i := range n {
			if err := s.SendMsg(new(numbered(i, int(size)))); err != nil {
				return err
			}
		}
		return nil
	case "/go.Stream/Sum":
		sum := make([]byte, 8)
		for n, bytes := uint32(0), uint32(0); ; {
			if err := s.RecvMsg(&in); err == io.EOF {
				return s.SendMsg(&sum)
			} else if err != nil {
				return err
			}
			n++
			bytes += uint32(len(in))
			binary.BigEndian.PutUint32(sum, n)
			binary.BigEndian.PutUint32(sum[4:], bytes)
		}
	case "/go.Stream/Early":
		if err := s.RecvMsg(&in); err != nil {
			return err
		}
		return status.Error(codes.NotFound, string(in))
	case "/go.Stream/Idle":
		<-s.Context().Done()
		return s.Context().Err()
	}
	return status.Error(codes.Unimplemented, method)
}

// numbered returns a message that tells its number if it is long enough.
func numbered(i uint32, size int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, size)
	if size >= 4 {
		binary.BigEndian.PutUint32(b, i)
	}
	return b
}

// newStreams returns a server of grpc-go's that serves streams, and a client of it.
func newStreams(t testing.TB, opts Options) *asker {
	g := newGRPCGo(t, "127.0.0.1:0", grpc.StreamInterceptor(
		func(_ any, s grpc.ServerStream, info *grpc.StreamServerInfo, _ grpc.StreamHandler) error {
			return serveStreams(s, info.FullMethod)
		}))
	opts.Address = g.addr
	return newAsker(t, opts)
}

func countOf(n, size int) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint32(b, uint32(n))
	binary.BigEndian.PutUint32(b[4:], uint32(size))
	return b
}

func TestClientStreamPingPong(t *testing.T) {
	a := newStreams(t, Options{})
	f := newFlow(a, "/go.Stream/Echo")
	a.start(f.Call)
	for i, n := range []int{0, 1, 1000, 65531, 0, 65536, 1 << 20, 8 << 20, 3} {
		f.send(h2test.Pattern(n))
		if got := f.next(); !bytes.Equal(got, h2test.Pattern(n)) {
			t.Fatalf("message %d came back with %d bytes, want the %d that were sent", i, len(got), n)
		}
		f.Pull()
	}
	f.closeSend()
	f.wantEnd(wiregrpc.OK)
	if !f.Sent || f.Local || f.NumTrailer() == 0 {
		t.Errorf("sent %v, local %v, %d trailers", f.Sent, f.Local, f.NumTrailer())
	}
}

func TestClientStreamOfAnswers(t *testing.T) {
	a := newStreams(t, Options{})
	for _, tc := range []struct{ n, size int }{{0, 0}, {1, 100}, {5000, 0}, {5000, 100}, {300, 5000}, {20, 1 << 20}} {
		for _, eager := range []bool{true, false} {
			t.Run(fmt.Sprintf("%dx%d, eager %v", tc.n, tc.size, eager), func(t *testing.T) {
				a.t = t
				f := newFlow(a, "/go.Stream/Count")
				f.eager, f.Streaming = eager, false
				f.Call.Message.AppendOwned(slab.View{B: countOf(tc.n, tc.size)})
				a.start(f.Call)
				for i := range tc.n {
					if got := f.next(); !bytes.Equal(got, numbered(uint32(i), tc.size)) {
						t.Fatalf("message %d is another", i)
					}
					f.Pull()
				}
				f.wantEnd(wiregrpc.OK)
			})
		}
	}
}

func TestClientStreamOfRequests(t *testing.T) {
	a := newStreams(t, Options{})
	for _, tc := range []struct{ n, size int }{{0, 0}, {5000, 100}, {20, 1 << 20}} {
		t.Run(fmt.Sprintf("%dx%d", tc.n, tc.size), func(t *testing.T) {
			a.t = t
			f := newFlow(a, "/go.Stream/Sum")
			f.Call.Messages = nil // one answer
			a.start(f.Call)
			b := h2test.Pattern(tc.size)
			for range tc.n {
				f.send(b)
				if f.Unsent() > 4<<20 {
					<-f.room
				}
			}
			f.closeSend()
			f.wantEnd(wiregrpc.OK)
			if got := flat(&f.Answer); !bytes.Equal(got, countOf(tc.n, tc.n*tc.size)) {
				t.Errorf("the server counted %v", got)
			}
		})
	}
}

// TestClientStreamEndsEarly holds that an answer may end while the request goes on.
func TestClientStreamEndsEarly(t *testing.T) {
	a := newStreams(t, Options{MaxConnections: 1})
	for range 100 {
		f := newFlow(a, "/go.Stream/Early")
		f.Call.Message.AppendOwned(slab.View{B: []byte("no such thing")})
		a.start(f.Call)
		for len(f.over) == 0 {
			f.send(h2test.Pattern(1000))
		}
		if f.wantEnd(wiregrpc.Status(codes.NotFound)); f.Text != "no such thing" || f.Local {
			t.Fatalf("text %q, local %v", f.Text, f.Local)
		}
		if c := f.CloseSend(); c != nil || f.Unsent() != 0 {
			t.Error("the call takes messages behind its end")
		}
		f.send([]byte("dropped"))
		f.Pull()
		f.Cancel()
	}
}

// TestClientStreamsRunBeside holds that calls of every kind share connections.
func TestClientStreamsRunBeside(t *testing.T) {
	a := newStreams(t, Options{SpreadStreams: 8})
	var wg sync.WaitGroup
	for w := range 24 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 3))
			for range 4 {
				f := newFlow(a, "/go.Stream/Echo")
				f.eager = w%2 == 0
				a.start(f.Call)
				for i := range uint32(40) {
					m := numbered(i, rng.IntN(100_000))
					f.send(m)
					if got := f.next(); !bytes.Equal(got, m) {
						t.Errorf("message %d is another", i)
					}
					f.Pull()
				}
				f.closeSend()
				f.wantEnd(wiregrpc.OK)
			}
		})
	}
	wg.Wait()
}

// TestClientStreamIsHeldBack holds that a server may be ahead of what is pulled by one message and a window, and that
// nothing else waits for it.
func TestClientStreamIsHeldBack(t *testing.T) {
	const size = 100 << 10
	a := newStreams(t, Options{MaxConnections: 1})
	f := newFlow(a, "/go.Stream/Count")
	f.Call.Message.AppendOwned(slab.View{B: countOf(100, size)})
	f.Streaming = false
	a.start(f.Call)
	f.next()
	g := newFlow(a, "/go.Stream/Echo")
	g.eager = true
	a.start(g.Call)
	for i := range 50 { // what is sent to us meanwhile would be read before these
		g.send(h2test.Pattern(50_000))
		g.next()
		if used := a.pool.Budget().InUse(); used > 2<<17+4*link.StreamWindow+4*65536 {
			t.Fatalf("%d bytes are in use in round %d", used, i)
		}
	}
	g.closeSend()
	g.wantEnd(wiregrpc.OK)
	if n := len(f.messages); n != 0 {
		t.Fatalf("%d messages came that were not pulled", n)
	}
	for range 99 {
		f.Pull()
		f.next()
	}
	f.wantEnd(wiregrpc.OK)
}
