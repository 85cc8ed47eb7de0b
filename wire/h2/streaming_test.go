package h2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	wiregrpc "github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// streamer returns what serves a streaming method of the tests, nil if there is none:
//
//	/test.Stream/Echo     sends every message back, and waits until it has gone
//	/test.Stream/Queue    sends every message back, and does not wait
//	/test.Stream/Count    answers with how many messages and bytes came
//	/test.Stream/Many     answers one message, two numbers, with so many messages of such a size, each when
//	                      the one before has gone
//	/test.Stream/Late     is like Echo once release is closed
//	/test.Stream/Refuse   fails at once
//	/test.Stream/Head     sends metadata, then waits for the client's end
//	/test.Stream/Watched  waits for a hang-up
//	/test.Stream/Panic    panics behind one message
//	/test.Stream/Silent   returns without an answer
//	/test.Stream/Cut      is answered by another goroutine while it waits for a message
func streamer(path []byte) func(*echo, *Stream) {
	switch string(path) {
	case "/test.Stream/Echo":
		return func(_ *echo, s *Stream) { serveEcho(s, s.SendWait) }
	case "/test.Stream/Queue":
		return func(_ *echo, s *Stream) {
			serveEcho(s, func(m *slab.List) error {
				if !s.Send(m) {
					return errHungUp
				}
				s.Conn().Flush()
				return nil
			})
		}
	case "/test.Stream/Count":
		return func(_ *echo, s *Stream) { serveCount(s) }
	case "/test.Stream/Many":
		return func(_ *echo, s *Stream) { serveMany(s) }
	case "/test.Stream/Late":
		return func(e *echo, s *Stream) {
			<-e.release
			serveEcho(s, s.SendWait)
		}
	case "/test.Stream/Refuse":
		return func(_ *echo, s *Stream) { s.Reply(&Answer{Status: wiregrpc.InvalidArgument, Text: "as asked"}) }
	case "/test.Stream/Head":
		return func(_ *echo, s *Stream) {
			s.SendHead([]wire.Header{{Name: "X-Head", Value: []byte("h")}})
			s.Conn().Flush()
			drainMessages(s)
			s.Reply(&Answer{Head: []wire.Header{{Name: "X-Late", Value: []byte("h")}}, Trailer: []wire.Header{{Name: "X-Trailer", Value: []byte("t")}}})
		}
	case "/test.Stream/Watched":
		return func(e *echo, s *Stream) {
			gone := make(chan wire.HangUp, 1)
			if s.Watch(watcher(gone)) {
				e.hangups <- <-gone
			}
			s.Reply(&Answer{Status: wiregrpc.Cancelled})
		}
	case "/test.Stream/Panic":
		return func(_ *echo, s *Stream) {
			var m slab.List
			defer m.Release()
			_ = s.Recv(&m)
			panic("as asked")
		}
	case "/test.Stream/Silent":
		return func(*echo, *Stream) {}
	case "/test.Stream/Cut":
		return func(e *echo, s *Stream) {
			done := make(chan struct{})
			e.wg.Go(func() {
				defer close(done)
				<-e.release
				conn := s.Conn()
				s.Reply(&Answer{Status: wiregrpc.Unavailable, Text: "cut"})
				conn.Flush()
			})
			if err := drainMessages(s); !errors.Is(err, errReplied) {
				panic(fmt.Sprintf("Recv returned %v", err))
			}
			<-done
		}
	}
	return nil
}

// drainMessages takes messages until there are no more.
func drainMessages(s *Stream) error {
	var m slab.List
	for {
		if err := s.Recv(&m); err != nil {
			return err
		}
		m.Release()
	}
}

// replyTo ends a stream as err says, which Recv or SendWait returned.
func replyTo(s *Stream, err error) {
	var ce *CallError
	switch {
	case errors.Is(err, io.EOF):
		s.Reply(&Answer{})
	case errors.As(err, &ce):
		s.Reply(&Answer{Status: ce.Status, Text: ce.Text})
	default:
		panic(err)
	}
}

func serveEcho(s *Stream, send func(*slab.List) error) {
	var m slab.List
	for {
		err := s.Recv(&m)
		if err == nil {
			err = send(&m)
		}
		if err != nil {
			replyTo(s, err)
			return
		}
	}
}

func serveCount(s *Stream) {
	var m slab.List
	var count, size int
	for {
		if err := s.Recv(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			replyTo(s, err)
			return
		}
		count++
		size += m.Size()
		m.Release()
	}
	m.AppendOwned(slab.View{B: fmt.Appendf(nil, "%d %d", count, size)})
	s.Reply(&Answer{Message: &m})
}

// pulled sends messages one by one, each when it is told that the one before has gone.
type pulled struct {
	left, size int
	message    slab.List
	done       chan struct{}
}

func (p *pulled) Sent(s *Stream) {
	if p.left == 0 {
		select {
		case p.done <- struct{}{}:
		default:
		}
		return
	}
	p.left--
	p.message.AppendOwned(s.c.srv.pool.Get(p.size).View(0, p.size))
	if !s.Send(&p.message) {
		return
	}
	s.Conn().Flush()
}

func serveMany(s *Stream) {
	var m slab.List
	defer m.Release()
	if err := s.Recv(&m); err != nil {
		replyTo(s, err)
		return
	}
	var b [8]byte
	m.CopyTo(b[:])
	p := &pulled{left: int(binary.BigEndian.Uint32(b[:])), size: int(binary.BigEndian.Uint32(b[4:])), done: make(chan struct{}, 1)}
	gone := make(chan wire.HangUp, 1)
	if !s.Watch(watcher(gone)) {
		s.Reply(&Answer{Status: wiregrpc.Cancelled})
		return
	}
	s.WatchSent(p)
	p.Sent(s)
	select {
	case <-p.done:
		s.Reply(&Answer{})
	case <-gone:
		s.Reply(&Answer{Status: wiregrpc.Cancelled})
	}
}

// many returns what asks for n messages of a size.
func many(n, size int) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(n)), uint32(size))
}

var streamDesc = &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

func open(ctx context.Context, t testing.TB, cc *grpc.ClientConn, method string, opts ...grpc.CallOption) grpc.ClientStream {
	t.Helper()
	cs, err := cc.NewStream(ctx, streamDesc, "/test.Stream/"+method, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

func TestStreamPingPong(t *testing.T) {
	r := newRig(t, Options{})
	cc := dial(t, r)
	for _, method := range []string{"Echo", "Queue"} {
		for _, tc := range []struct{ n, size int }{{1, 0}, {1000, 60}, {20, 64 << 10}, {20, 100_000}, {3, 8 << 20}} {
			for _, opts := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
				t.Run(fmt.Sprint(method, tc.n, "x", tc.size, len(opts)), func(t *testing.T) {
					if testing.Short() && tc.size > 1<<20 && opts != nil {
						t.Skip("compressing takes long")
					}
					cs := open(deadline(t), t, cc, method, opts...)
					in := h2test.Pattern(tc.size)
					for range tc.n {
						if err := cs.SendMsg(&in); err != nil {
							t.Fatal(err)
						}
						var out []byte
						if err := cs.RecvMsg(&out); err != nil {
							t.Fatal(err)
						}
						if !bytes.Equal(in, out) {
							t.Fatalf("%d bytes came back as %d others", len(in), len(out))
						}
					}
					wantEnd(t, cs)
				})
			}
		}
	}
}

// wantEnd half-closes, and wants the stream to end well.
func wantEnd(t *testing.T, cs grpc.ClientStream) {
	t.Helper()
	if err := cs.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var out []byte
	if err := cs.RecvMsg(&out); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}

// TestStreamAtFullTilt sends and receives at the same time, with nobody waiting for the other.
func TestStreamAtFullTilt(t *testing.T) {
	r := newRig(t, Options{})
	cc := dial(t, r)
	for _, tc := range []struct{ n, size int }{{3000, 60}, {60, 100_000}, {5, 8 << 20}} {
		for _, method := range []string{"Echo", "Queue"} {
			cs := open(deadline(t), t, cc, method)
			var wg sync.WaitGroup
			wg.Go(func() {
				for i := range tc.n {
					in := h2test.Pattern(tc.size)
					binary.BigEndian.PutUint32(in, uint32(i))
					if err := cs.SendMsg(&in); err != nil {
						t.Error(err)
						return
					}
				}
				if err := cs.CloseSend(); err != nil {
					t.Error(err)
				}
			})
			want := h2test.Pattern(tc.size)
			for i := range tc.n {
				binary.BigEndian.PutUint32(want, uint32(i))
				var out []byte
				if err := cs.RecvMsg(&out); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(want, out) {
					t.Fatalf("message %d of %d bytes came back as another", i, tc.size)
				}
			}
			var out []byte
			if err := cs.RecvMsg(&out); !errors.Is(err, io.EOF) {
				t.Errorf("the stream ended with %v", err)
			}
			wg.Wait()
		}
	}
}

func TestClientStreaming(t *testing.T) {
	r := newRig(t, Options{})
	cc := dial(t, r)
	for _, tc := range []struct{ n, size int }{{0, 0}, {1, 0}, {1000, 100}, {50, 70_000}, {4, 8 << 20}} {
		cs := open(deadline(t), t, cc, "Count")
		in := h2test.Pattern(tc.size)
		for range tc.n {
			if err := cs.SendMsg(&in); err != nil {
				t.Fatal(err)
			}
		}
		if err := cs.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var out []byte
		if err := cs.RecvMsg(&out); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(tc.n, tc.n*tc.size); string(out) != want {
			t.Errorf("counted %q, want %q", out, want)
		}
		if err := cs.RecvMsg(&out); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v", err)
		}
	}
}

func TestServerStreaming(t *testing.T) {
	r := newRig(t, Options{})
	cc := dial(t, r)
	for _, tc := range []struct{ n, size int }{{0, 0}, {1, 0}, {1000, 100}, {50, 70_000}, {4, 8 << 20}} {
		cs := open(deadline(t), t, cc, "Many")
		in := many(tc.n, tc.size)
		if err := cs.SendMsg(&in); err != nil {
			t.Fatal(err)
		}
		for range tc.n {
			var out []byte
			if err := cs.RecvMsg(&out); err != nil {
				t.Fatal(err)
			}
			if len(out) != tc.size {
				t.Fatalf("%d bytes came, want %d", len(out), tc.size)
			}
		}
		wantEnd(t, cs)
	}
}

func TestStreamStatus(t *testing.T) {
	r := newRig(t, Options{MaxMessage: 1 << 20})
	cc := dial(t, r)
	large := make([]byte, 1<<20+1)
	for _, tc := range []struct {
		method string
		in     []byte
		want   codes.Code
		opts   []grpc.CallOption
	}{
		{"Refuse", nil, codes.InvalidArgument, nil},
		{"Panic", []byte("x"), codes.Internal, nil},
		{"Silent", nil, codes.Internal, nil},
		{"Nothing", nil, codes.Unimplemented, nil},
		{"Echo", large, codes.ResourceExhausted, nil},
		{"Echo", large, codes.ResourceExhausted, []grpc.CallOption{grpc.UseCompressor(gzip.Name)}},
	} {
		cs := open(deadline(t), t, cc, tc.method, tc.opts...)
		if tc.in != nil {
			_ = cs.SendMsg(&tc.in) // RecvMsg tells
		}
		var out []byte
		if err := cs.RecvMsg(&out); status.Code(err) != tc.want {
			t.Errorf("%s: %v, want %v", tc.method, err, tc.want)
		}
	}
	if n := r.counted(r.said, "panicked"); n != 1 {
		t.Errorf("%d panics were counted, want 1", n)
	}
	cs := open(deadline(t), t, cc, "Echo")
	wantEnd(t, cs)
}

func TestStreamHead(t *testing.T) {
	r := newRig(t, Options{})
	cs := open(deadline(t), t, dial(t, r), "Head")
	head, err := cs.Header() // while neither side has sent a message
	if err != nil || len(head.Get("x-head")) != 1 {
		t.Fatalf("the head is %v, %v", head, err)
	}
	wantEnd(t, cs)
	if got := metadata.Join(head, cs.Trailer()); len(got.Get("x-trailer")) != 1 || len(got.Get("x-late")) != 0 {
		t.Errorf("head and trailer are %v", got)
	}
}

// TestStreamCancels cancels while the handler is in Recv, in SendWait, or in neither.
func TestStreamCancels(t *testing.T) {
	r := newRig(t, Options{})
	cc := dial(t, r)
	for _, tc := range []struct {
		name, method string
		in           []byte
	}{
		{"in Recv", "Echo", nil},
		{"in SendWait", "Echo", h2test.Pattern(1 << 20)},
		{"between pulls", "Many", many(1000, 1<<20)},
		{"watched", "Watched", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(deadline(t))
			cs := open(ctx, t, cc, tc.method)
			if tc.in != nil {
				if err := cs.SendMsg(&tc.in); err != nil {
					t.Fatal(err)
				}
			}
			r.eventually("a stream", func() bool { return r.srv.Stats().Streams == 1 })
			if tc.in != nil { // until the answer fills the client's window
				r.eventually("bytes in flight", func() bool { return r.pool.Budget().InUse() >= 1<<19 })
			}
			cancel()
			r.eventually("no stream", func() bool { return r.srv.Stats().Streams == 0 })
			r.eventually("no bytes", func() bool { return r.pool.Budget().InUse() == 0 })
			var out []byte
			for err := error(nil); err == nil; {
				if err = cs.RecvMsg(&out); err != nil && status.Code(err) != codes.Canceled {
					t.Errorf("the stream ended with %v", err)
				}
			}
		})
	}
	if got := <-r.echo.hangups; got != wire.Reset {
		t.Errorf("the watcher was told %v", got)
	}
}

// TestAnotherEndsTheStream has a goroutine answer while the handler waits for a message.
func TestAnotherEndsTheStream(t *testing.T) {
	r := newRig(t, Options{})
	cs := open(deadline(t), t, dial(t, r), "Cut")
	in := []byte("x")
	if err := cs.SendMsg(&in); err != nil {
		t.Fatal(err)
	}
	close(r.echo.release)
	var out []byte
	if err := cs.RecvMsg(&out); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	r.eventually("no stream", func() bool { return r.srv.Stats().Streams == 0 })
	if n := r.counted(r.said, "panicked"); n != 0 {
		t.Error("the handler panicked")
	}
}

// TestStreamsOutliveTheFirstWord drains a server: its streams go on to their end, and no new ones come.
func TestStreamsOutliveTheFirstWord(t *testing.T) {
	r := newRig(t, Options{})
	cs := open(deadline(t), t, dial(t, r), "Echo")
	ping := func() {
		t.Helper()
		in, out := []byte("ping"), []byte(nil)
		if err := cs.SendMsg(&in); err != nil {
			t.Fatal(err)
		}
		if err := cs.RecvMsg(&out); err != nil || !bytes.Equal(in, out) {
			t.Fatalf("%q, %v", out, err)
		}
	}
	ping()
	ended := make(chan error, 1)
	r.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ended <- r.srv.Shutdown(ctx)
	})
	for range 3 {
		ping()
	}
	wantEnd(t, cs)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestShutdownCutsStreams ends the grace while a stream goes on.
func TestShutdownCutsStreams(t *testing.T) {
	r := newRig(t, Options{})
	cs := open(deadline(t), t, dial(t, r), "Echo")
	in, out := []byte("ping"), []byte(nil)
	if err := cs.SendMsg(&in); err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&out); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.srv.Shutdown(ctx); err == nil {
		t.Error("Shutdown cut no stream")
	}
	if err := cs.RecvMsg(&out); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
}

// TestStreamStress opens streams of all sorts, and cancels some at any moment.
func TestStreamStress(t *testing.T) {
	r := newRig(t, Options{})
	close(r.echo.release)
	var ended, cancelled atomic.Int64
	var wg sync.WaitGroup
	const conns, workers, streams = 2, 8, 25
	for k := range conns {
		cc := dial(t, r)
		for w := range workers {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(k), uint64(w)))
				for i := range streams {
					ctx, cancel := context.WithCancel(deadline(t))
					if rng.IntN(3) == 0 {
						time.AfterFunc(time.Duration(rng.IntN(2000))*time.Microsecond, cancel)
					}
					tag := fmt.Appendf(nil, "%d/%d/%d:", k, w, i)
					switch err := taggedStream(ctx, cc, rng, tag); {
					case err == nil:
						ended.Add(1)
					case ctx.Err() != nil:
						cancelled.Add(1)
					default:
						t.Errorf("stream %s: %v", tag, err)
					}
					cancel()
				}
			})
		}
	}
	wg.Wait()
	if n := ended.Load() + cancelled.Load(); n != conns*workers*streams || cancelled.Load() == 0 {
		t.Errorf("%d streams ended and %d were cancelled, of %d", ended.Load(), cancelled.Load(), conns*workers*streams)
	}
}

// taggedStream sends messages that name their stream and wants them back.
func taggedStream(ctx context.Context, cc *grpc.ClientConn, rng *rand.Rand, tag []byte) error {
	method := []string{"Echo", "Queue", "Late", "Many"}[rng.IntN(4)]
	cs, err := cc.NewStream(ctx, streamDesc, "/test.Stream/"+method)
	if err != nil {
		return err
	}
	n, size := 1+rng.IntN(20), rng.IntN(40_000)
	if method == "Many" {
		in := many(n, size)
		if err := cs.SendMsg(&in); err != nil {
			return err
		}
	}
	for i := range n {
		in := append(fmt.Appendf(bytes.Clone(tag), "%d:", i), h2test.Pattern(size)...)
		if method != "Many" {
			if err := cs.SendMsg(&in); err != nil {
				return err
			}
		}
		var out []byte
		if err := cs.RecvMsg(&out); err != nil {
			return err
		}
		if method != "Many" && !bytes.Equal(in, out) {
			return fmt.Errorf("message %d came back as %.40q", i, out)
		}
	}
	if err := cs.CloseSend(); err != nil {
		return err
	}
	var out []byte
	if err := cs.RecvMsg(&out); !errors.Is(err, io.EOF) {
		return fmt.Errorf("ended with %w", err)
	}
	return nil
}
