package h2

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// TestClientStreamHoldsRequestsBack holds that a server which takes nothing is found out by what is unsent.
func TestClientStreamHoldsRequestsBack(t *testing.T) {
	h := newHost(t, ClientOptions{})
	f := newFlow(h.a, "/a/b")
	h.a.start(f.Call)
	f.send(pattern(1000))
	h.accept()
	<-f.room
	if n := f.Unsent(); n != 0 {
		t.Errorf("%d bytes are unsent behind the notice that none are", n)
	}
	for range 3 {
		f.send(pattern(100_000))
	}
	want := int64(1000 + 3*100_000 + 4*prefixSize)
	h.data(1, frame.DefaultWindow)
	if n := f.Unsent(); n != want-frame.DefaultWindow || len(f.room) > 0 {
		t.Errorf("%d bytes are unsent and there was room %d times while the server takes nothing", n, len(f.room))
	}
	h.must(h.fr.WriteWindowUpdate(0, 1<<20))
	h.must(h.fr.WriteWindowUpdate(1, 1<<20))
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
	f.wantEnd(OK)
}

func TestClientStreamsWaitForRoom(t *testing.T) {
	h := newHost(t, ClientOptions{MaxConnections: 1})
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
	g.wantEnd(Cancelled)
	h.accept()
	if got := h.data(1, 15); string(got) != string(message([]byte("first")))+string(message(nil)) {
		t.Errorf("the server got %q", got)
	}
	h.respond(1, []byte("x"))
	if got := f.next(); string(got) != "x" {
		t.Errorf("%q came", got)
	}
	f.wantEnd(OK)
}

// TestClientStreamAnswers holds what a streaming call makes of what servers send.
func TestClientStreamAnswers(t *testing.T) {
	one := string(message([]byte("x")))
	ok := func(h *host, id uint32) { h.headers(id, true, "grpc-status", "0") }
	data := func(b string) func(*host, uint32) {
		return func(h *host, id uint32) {
			h.headers(id, false, grpcHead...)
			for rest := b; len(rest) > 0; {
				n := min(len(rest), 7)
				h.raw(frame.Data, 0, id, rest[:n])
				rest = rest[n:]
			}
			ok(h, id)
		}
	}
	for _, tc := range []struct {
		name   string
		send   func(h *host, id uint32)
		want   int // messages
		status Status
		server bool // the status is the server's
	}{
		{"no message", data(""), 0, OK, true},
		{"no message and no head", func(h *host, id uint32) {
			h.headers(id, true, append(append([]string{}, grpcHead...), "grpc-status", "0")...)
		}, 0, OK, true},
		{"an error and no head", func(h *host, id uint32) {
			h.headers(id, true, append(append([]string{}, grpcHead...), "grpc-status", "5")...)
		}, 0, 5, true},
		{"three messages", data(one + one + one), 3, OK, true},
		{"messages and an error", func(h *host, id uint32) {
			h.headers(id, false, grpcHead...)
			h.raw(frame.Data, 0, id, one+one)
			h.headers(id, true, "grpc-status", "8")
		}, 2, ResourceExhausted, true},
		{"half a prefix behind a message", data(one + one[:3]), 1, Internal, false},
		{"half a message behind one", data(one + one[:5]), 1, Internal, false},
		{"a flag of 2 behind a message", data(one + "\x02\x00\x00\x00\x01x"), 1, Internal, false},
		{"compressed, not said how", data(one + "\x01\x00\x00\x00\x01x"), 1, Internal, false},
		{"too large", data(one + "\x00\x7f\xff\xff\xff"), 1, ResourceExhausted, false},
		{"no trailers", func(h *host, id uint32) {
			h.headers(id, false, grpcHead...)
			h.raw(frame.Data, frame.EndStream, id, one)
		}, 1, Internal, false},
		{"no status", func(h *host, id uint32) {
			h.headers(id, false, grpcHead...)
			h.raw(frame.Data, 0, id, one)
			h.headers(id, true, "x", "y")
		}, 1, Internal, false},
		{"reset", func(h *host, id uint32) {
			h.headers(id, false, grpcHead...)
			h.raw(frame.Data, 0, id, one)
			h.must(h.fr.WriteRSTStream(id, http2.ErrCodeInternal))
		}, 1, Internal, false},
		{"reset without error behind the trailers", func(h *host, id uint32) {
			data(one)(h, id)
			h.must(h.fr.WriteRSTStream(id, http2.ErrCodeNo))
		}, 1, OK, true},
		{"informational ones, padding and what has no known type between", func(h *host, id uint32) {
			h.headers(id, false, ":status", "103")
			h.headers(id, false, grpcHead...)
			h.must(h.fr.WriteDataPadded(id, false, message([]byte("x"))[:3], make([]byte, 200)))
			h.raw(42, 0xff, id, "?")
			h.must(h.fr.WriteDataPadded(id, false, message([]byte("x"))[3:], make([]byte, 255)))
			ok(h, id)
		}, 1, OK, true},
	} {
		for _, ending := range []string{"the request has ended", "the request goes on"} {
			t.Run(tc.name+", "+ending, func(t *testing.T) {
				h := newHost(t, ClientOptions{})
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
	h := newHost(t, ClientOptions{})
	f := newFlow(h.a, "/a/b")
	h.a.start(f.Call)
	f.closeSend()
	h.accept()
	h.request()
	h.headers(1, false, grpcHead...)
	stream, conn := int64(streamWindow), int64(connWindow)
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
			h.must(h.fr.WriteData(1, false, b[:n]))
			b = b[n:]
		}
	}
	const size = 300_000
	m := message(pattern(size))
	send(m) // is pulled
	if got := f.next(); !bytes.Equal(got, pattern(size)) {
		t.Fatal("the first message is another")
	}
	send(m) // is one ahead
	h.settled(&stream, &conn)
	if stream != streamWindow {
		t.Errorf("%d bytes of window behind the message ahead, want %d", stream, streamWindow)
	}
	send(m[:streamWindow])
	if h.settled(&stream, &conn); stream != 0 {
		t.Errorf("%d bytes are granted for a message that is two ahead", stream)
	}
	if conn < connWindow-connStep || conn > connWindow {
		t.Errorf("the connection's window is %d behind all that", conn)
	}
	if used := h.a.pool.Budget().InUse(); used > 512<<10+streamWindow {
		t.Errorf("%d bytes are in use", used)
	}
	f.Pull()
	f.next()
	if h.settled(&stream, &conn); stream != size+streamWindow-(streamWindow-prefixSize) {
		t.Errorf("%d bytes are granted behind the pull, want the rest of the message and the window: %d", stream, size+prefixSize)
	}
	send(m[streamWindow:])
	h.headers(1, true, "grpc-status", "0")
	h.quiet()
	if len(f.over) > 0 {
		t.Error("the end came before the last message")
	}
	f.Pull()
	if got := f.next(); !bytes.Equal(got, pattern(size)) {
		t.Fatal("the third message is another")
	}
	f.wantEnd(OK)
	h.works()
}

// grants reads the next frame and adds what it grants.
func (h *host) grants(stream, conn *int64) (ping bool) {
	h.t.Helper()
	_ = h.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	f, err := h.fr.ReadFrame()
	h.must(err)
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
	h.t.Helper()
	h.must(h.fr.WritePing(false, [8]byte{2}))
	for !h.grants(stream, conn) {
	}
}

// TestClientStreamsGoAway holds what GOAWAY, and the end of the connection, do to streams: those that the server ended
// are handed on to their end, the others fail.
func TestClientStreamsGoAway(t *testing.T) {
	h := newHost(t, ClientOptions{MaxConnections: 1})
	var flows []*flow
	for i := range 4 {
		flows = append(flows, newFlow(h.a, "/a/b"))
		h.a.start(flows[i].Call)
		flows[i].closeSend()
	}
	h.accept()
	three := string(message([]byte("1"))) + string(message([]byte("2"))) + string(message([]byte("3")))
	for id := uint32(1); id <= 5; id += 2 {
		if got := h.request(); got != id {
			t.Fatalf("stream %d, want %d", got, id)
		}
		h.headers(id, false, grpcHead...)
		h.raw(frame.Data, 0, id, three)
	}
	h.headers(1, true, "grpc-status", "0")
	h.headers(3, true, "grpc-status", "5")
	h.must(h.fr.WriteGoAway(5, http2.ErrCodeNo, nil))
	if flows[3].wantEnd(Unavailable); flows[3].Sent {
		t.Error("a call above the last stream counts as sent")
	}
	_ = h.conn.Close()
	if flows[2].next(); string(flows[2].end().Text) == "" || flows[2].Status != Unavailable || !flows[2].Sent {
		t.Errorf("an unfinished answer ended with %d %q, sent %v", flows[2].Status, flows[2].Text, flows[2].Sent)
	}
	for i, want := range []Status{OK, 5} {
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
	h := newHost(t, ClientOptions{})
	f := newFlow(h.a, "/a/b")
	h.a.start(f.Call)
	f.closeSend()
	h.accept()
	h.request()
	h.headers(1, false, grpcHead...)
	h.raw(frame.Data, 0, 1, string(message([]byte("1")))+string(message([]byte("2"))))
	h.headers(1, true, "grpc-status", "0")
	f.next()
	_ = h.conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	h.a.cl.Close(ctx)
	f.wantEnd(Unavailable)
}
