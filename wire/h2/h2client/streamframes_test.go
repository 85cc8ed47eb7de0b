package h2client

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// TestClientStreamHoldsRequestsBack holds that a server which takes nothing is found out by what is unsent.
func TestClientStreamHoldsRequestsBack(t *testing.T) {
	h := newHost(t, Options{})
	f := newFlow(h.a, "/a/b")
	h.a.start(f.Call)
	f.send(h2test.Pattern(1000))
	h.accept()
	<-f.room
	if n := f.Unsent(); n != 0 {
		t.Errorf("%d bytes are unsent behind the notice that none are", n)
	}
	for range 3 {
		f.send(h2test.Pattern(100_000))
	}
	want := int64(1000 + 3*100_000 + 4*grpc.PrefixSize)
	h.data(1, frame.DefaultWindow)
	if n := f.Unsent(); n != want-frame.DefaultWindow || len(f.room) > 0 {
		t.Errorf("%d bytes are unsent and there was room %d times while the server takes nothing", n, len(f.room))
	}
	h.Must(h.Framer.WriteWindowUpdate(0, 1<<20))
	h.Must(h.Framer.WriteWindowUpdate(1, 1<<20))
	h.data(1, int(want)-frame.DefaultWindow)
	<-f.room
	if n := f.Unsent(); n != 0 || len(f.room) > 0 {
		t.Errorf("%d bytes are unsent and there was room %d times more", n, len(f.room))
	}
	f.closeSend()
	if id := h.request(); id != 1 {
		t.Errorf("stream %d ended", id)
	}
	h.respond(1, []byte("x"))
	f.next()
	f.wantEnd(grpc.OK)
}

func TestClientStreamsWaitForRoom(t *testing.T) {
	h := newHost(t, Options{MaxConnections: 1})
	f, g := newFlow(h.a, "/a/b"), newFlow(h.a, "/a/b")
	h.a.start(f.Call)
	h.a.start(g.Call)
	f.Pull()
	f.send([]byte("first")) // before there is a connection
	f.send(nil)
	f.closeSend()
	if n := f.Unsent(); n != 15 {
		t.Errorf("%d bytes are unsent, want 15", n)
	}
	g.send([]byte("dropped"))
	g.Cancel()
	g.wantEnd(grpc.Cancelled)
	h.accept()
	if got := h.data(1, 15); string(got) != string(h2test.Message([]byte("first")))+string(h2test.Message(nil)) {
		t.Errorf("the server got %q", got)
	}
	h.respond(1, []byte("x"))
	if got := f.next(); string(got) != "x" {
		t.Errorf("%q came", got)
	}
	f.wantEnd(grpc.OK)
}

// TestClientStreamAnswers holds what a streaming call makes of what servers send.
func TestClientStreamAnswers(t *testing.T) {
	one := string(h2test.Message([]byte("x")))
	ok := func(h *host, id uint32) { h.Headers(id, true, "grpc-status", "0") }
	data := func(b string) func(*host, uint32) {
		return func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			for rest := b; len(rest) > 0; {
				n := min(len(rest), 7)
				h.Raw(frame.Data, 0, id, rest[:n])
				rest = rest[n:]
			}
			ok(h, id)
		}
	}
	for _, tc := range []struct {
		name   string
		send   func(h *host, id uint32)
		want   int // messages
		status grpc.Status
		server bool // the status is the server's
	}{
		{"no message", data(""), 0, grpc.OK, true},
		{"no message and no head", func(h *host, id uint32) {
			h.Headers(id, true, append(append([]string{}, grpcHead...), "grpc-status", "0")...)
		}, 0, grpc.OK, true},
		{"an error and no head", func(h *host, id uint32) {
			h.Headers(id, true, append(append([]string{}, grpcHead...), "grpc-status", "5")...)
		}, 0, 5, true},
		{"three messages", data(one + one + one), 3, grpc.OK, true},
		{"messages and an error", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			h.Raw(frame.Data, 0, id, one+one)
			h.Headers(id, true, "grpc-status", "8")
		}, 2, grpc.ResourceExhausted, true},
		{"half a prefix behind a message", data(one + one[:3]), 1, grpc.Internal, false},
		{"half a message behind one", data(one + one[:5]), 1, grpc.Internal, false},
		{"a flag of 2 behind a message", data(one + "\x02\x00\x00\x00\x01x"), 1, grpc.Internal, false},
		{"compressed, not said how", data(one + "\x01\x00\x00\x00\x01x"), 1, grpc.Internal, false},
		{"too large", data(one + "\x00\x7f\xff\xff\xff"), 1, grpc.ResourceExhausted, false},
		{"no trailers", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			h.Raw(frame.Data, frame.EndStream, id, one)
		}, 1, grpc.Internal, false},
		{"no status", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			h.Raw(frame.Data, 0, id, one)
			h.Headers(id, true, "x", "y")
		}, 1, grpc.Internal, false},
		{"reset", func(h *host, id uint32) {
			h.Headers(id, false, grpcHead...)
			h.Raw(frame.Data, 0, id, one)
			h.Must(h.Framer.WriteRSTStream(id, http2.ErrCodeInternal))
		}, 1, grpc.Internal, false},
		{"reset without error behind the trailers", func(h *host, id uint32) {
			data(one)(h, id)
			h.Must(h.Framer.WriteRSTStream(id, http2.ErrCodeNo))
		}, 1, grpc.OK, true},
		{"informational ones, padding and what has no known type between", func(h *host, id uint32) {
			h.Headers(id, false, ":status", "103")
			h.Headers(id, false, grpcHead...)
			h.Must(h.Framer.WriteDataPadded(id, false, h2test.Message([]byte("x"))[:3], make([]byte, 200)))
			h.Raw(42, 0xff, id, "?")
			h.Must(h.Framer.WriteDataPadded(id, false, h2test.Message([]byte("x"))[3:], make([]byte, 255)))
			ok(h, id)
		}, 1, grpc.OK, true},
	} {
		for _, ending := range []string{"the request has ended", "the request goes on"} {
			t.Run(tc.name+", "+ending, func(t *testing.T) {
				h := newHost(t, Options{})
				f := newFlow(h.a, "/a/b")
				f.eager = true
				h.a.start(f.Call)
				f.send([]byte("y"))
				if ending == "the request has ended" {
					f.closeSend()
				}
				h.accept()
				h.data(1, 6)
				tc.send(h, 1)
				for range tc.want {
					if got := string(f.next()); got != "x" {
						t.Errorf("the message is %q", got)
					}
				}
				f.wantEnd(tc.status)
				if f.Local == tc.server || !f.Sent {
					t.Errorf("local %v, sent %v", f.Local, f.Sent)
				}
				h.works()
			})
		}
	}
}

// TestClientStreamWindows holds what is granted, and when.
func TestClientStreamWindows(t *testing.T) {
	h := newHost(t, Options{})
	f := newFlow(h.a, "/a/b")
	h.a.start(f.Call)
	f.closeSend()
	h.accept()
	h.request()
	h.Headers(1, false, grpcHead...)
	stream, conn := int64(link.StreamWindow), int64(link.ConnWindow)
	send := func(b []byte) {
		t.Helper()
		for len(b) > 0 {
			n := int(min(stream, conn, 16000, int64(len(b))))
			if n == 0 {
				h.grants(&stream, &conn)
				continue
			}
			stream -= int64(n)
			conn -= int64(n)
			h.Must(h.Framer.WriteData(1, false, b[:n]))
			b = b[n:]
		}
	}
	const size = 300_000
	m := h2test.Message(h2test.Pattern(size))
	send(m) // is pulled
	if got := f.next(); !bytes.Equal(got, h2test.Pattern(size)) {
		t.Fatal("the first message is another")
	}
	send(m) // is one ahead
	h.settled(&stream, &conn)
	if stream != link.StreamWindow {
		t.Errorf("%d bytes of window behind the message ahead, want %d", stream, link.StreamWindow)
	}
	send(m[:link.StreamWindow])
	if h.settled(&stream, &conn); stream != 0 {
		t.Errorf("%d bytes are granted for a message that is two ahead", stream)
	}
	if conn < link.ConnWindow-link.ConnStep || conn > link.ConnWindow {
		t.Errorf("the connection's window is %d behind all that", conn)
	}
	if used := h.a.pool.Budget().InUse(); used > 512<<10+link.StreamWindow {
		t.Errorf("%d bytes are in use", used)
	}
	f.Pull()
	f.next()
	if h.settled(&stream, &conn); stream != size+link.StreamWindow-(link.StreamWindow-grpc.PrefixSize) {
		t.Errorf("%d bytes are granted behind the pull, want the rest of the message and the window: %d", stream, size+grpc.PrefixSize)
	}
	send(m[link.StreamWindow:])
	h.Headers(1, true, "grpc-status", "0")
	h.quiet()
	if len(f.over) > 0 {
		t.Error("the end came before the last message")
	}
	f.Pull()
	if got := f.next(); !bytes.Equal(got, h2test.Pattern(size)) {
		t.Fatal("the third message is another")
	}
	f.wantEnd(grpc.OK)
	h.works()
}

// grants reads the next frame and adds what it grants.
func (h *host) grants(stream, conn *int64) (ping bool) {
	h.T.Helper()
	_ = h.Conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	f, err := h.Framer.ReadFrame()
	h.Must(err)
	switch f := f.(type) {
	case *http2.PingFrame:
		return true
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			*conn += int64(f.Increment)
		} else {
			*stream += int64(f.Increment)
		}
	}
	return false
}

// settled adds all that was granted for what was sent.
func (h *host) settled(stream, conn *int64) {
	h.T.Helper()
	h.Must(h.Framer.WritePing(false, [8]byte{2}))
	for !h.grants(stream, conn) {
	}
}

// TestClientStreamsGoAway holds what GOAWAY, and the end of the connection, do to streams: those that the server ended
// are handed on to their end, the others fail.
func TestClientStreamsGoAway(t *testing.T) {
	h := newHost(t, Options{MaxConnections: 1})
	var flows []*flow
	for i := range 4 {
		flows = append(flows, newFlow(h.a, "/a/b"))
		h.a.start(flows[i].Call)
		flows[i].closeSend()
	}
	h.accept()
	three := string(h2test.Message([]byte("1"))) + string(h2test.Message([]byte("2"))) + string(h2test.Message([]byte("3")))
	for id := uint32(1); id <= 5; id += 2 {
		if got := h.request(); got != id {
			t.Fatalf("stream %d, want %d", got, id)
		}
		h.Headers(id, false, grpcHead...)
		h.Raw(frame.Data, 0, id, three)
	}
	h.Headers(1, true, "grpc-status", "0")
	h.Headers(3, true, "grpc-status", "5")
	h.Must(h.Framer.WriteGoAway(5, http2.ErrCodeNo, nil))
	if flows[3].wantEnd(grpc.Unavailable); flows[3].Sent {
		t.Error("a call above the last stream counts as sent")
	}
	_ = h.Conn.Close()
	if flows[2].next(); string(flows[2].end().Text) == "" || flows[2].Status != grpc.Unavailable || !flows[2].Sent {
		t.Errorf("an unfinished answer ended with %d %q, sent %v", flows[2].Status, flows[2].Text, flows[2].Sent)
	}
	for i, want := range []grpc.Status{grpc.OK, 5} {
		for j := range 3 {
			if got := string(flows[i].next()); got != fmt.Sprint(j+1) {
				t.Errorf("message %d is %q", j, got)
			}
			flows[i].Pull()
		}
		flows[i].wantEnd(want)
	}
}

// TestClientStreamCutByClose holds that closing ends a call whose answer waits for a caller who does not pull.
func TestClientStreamCutByClose(t *testing.T) {
	h := newHost(t, Options{})
	f := newFlow(h.a, "/a/b")
	h.a.start(f.Call)
	f.closeSend()
	h.accept()
	h.request()
	h.Headers(1, false, grpcHead...)
	h.Raw(frame.Data, 0, 1, string(h2test.Message([]byte("1")))+string(h2test.Message([]byte("2"))))
	h.Headers(1, true, "grpc-status", "0")
	f.next()
	_ = h.Conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	h.a.cl.Close(ctx)
	f.wantEnd(grpc.Unavailable)
}
