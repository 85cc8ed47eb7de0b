package h2client

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// TestClientKeepsToWindows holds that the client sends what the windows allow and no more.
func TestClientKeepsToWindows(t *testing.T) {
	h := newHost(t, Options{})
	call := h.start(h2test.Pattern(1000))
	h.accept(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100})
	got := h.data(1, 100)
	h.quiet()
	h.Must(h.Framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 50})) // 50 below zero
	h.Must(h.Framer.WriteWindowUpdate(1, 50))                                                  // zero
	h.quiet()
	h.Must(h.Framer.WriteWindowUpdate(1, 5))
	got = append(got, h.data(1, 5)...)
	h.Must(h.Framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 2000}))
	got = append(got, h.data(1, 900)...)
	if !bytes.Equal(got, h2test.Message(h2test.Pattern(1000))) {
		t.Error("the message differs")
	}
	h.respond(1, []byte("x"))
	wantEcho(t, h.a.await(call), []byte("x"))

	// Of the connection's 65,535 bytes 1005 are used. Two calls share the rest, and then starve.
	one, two := h.start(h2test.Pattern(60000)), h.start(h2test.Pattern(60000))
	h.Must(h.Framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}))
	n := map[uint32]int{}
	for n[3]+n[5] < 64530 {
		f, err := h.Next()
		h.Must(err)
		if d, ok := f.(*http2.DataFrame); ok {
			n[d.StreamID] += len(d.Data())
		}
	}
	h.quiet()
	one.Cancel() // it does not keep the other one from going on
	h.a.await(one)
	h.Must(h.Framer.WriteWindowUpdate(0, 1<<20))
	if id := h.request(); id != 5 {
		t.Errorf("stream %d came through, want 5", id)
	}
	h.respond(5, []byte("x"))
	wantEcho(t, h.a.await(two), []byte("x"))
}

// data reads n bytes of a stream's DATA.
func (h *host) data(id uint32, n int) (b []byte) {
	h.T.Helper()
	for len(b) < n {
		f, err := h.Next()
		h.Must(err)
		if d, ok := f.(*http2.DataFrame); ok && d.StreamID == id {
			b = append(b, d.Data()...)
		}
	}
	return b
}

// quiet checks that nothing comes before the answer to a PING.
func (h *host) quiet() {
	h.T.Helper()
	h.Must(h.Framer.WritePing(false, [8]byte{1}))
	_ = h.Conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	for {
		f, err := h.Framer.ReadFrame()
		h.Must(err)
		switch f := f.(type) {
		case *http2.PingFrame:
			return
		case *http2.DataFrame:
			h.T.Fatalf("%d bytes came beyond the window", len(f.Data()))
		}
	}
}

// TestClientGrantsMessages holds that an answer longer than the windows is granted at once.
func TestClientGrantsMessages(t *testing.T) {
	h := newHost(t, Options{})
	call := h.start([]byte("x"))
	h.accept()
	id := h.request()
	body := h2test.Pattern(1 << 20)
	m := h2test.Message(body)
	h.Headers(id, false, grpcHead...)
	h.Must(h.Framer.WriteData(id, false, m[:5]))
	var stream int
	_ = h.Conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	for stream == 0 {
		f, err := h.Framer.ReadFrame()
		h.Must(err)
		if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == id {
			stream = int(w.Increment)
		}
	}
	if stream+link.StreamWindow != len(m) {
		t.Errorf("%d granted to the stream for %d bytes", stream, len(m))
	}
	for rest := m[5:]; len(rest) > 0; {
		n := min(len(rest), 50000)
		h.Must(h.Framer.WriteData(id, false, rest[:n]))
		rest = rest[n:]
	}
	h.Headers(id, true, "grpc-status", "0")
	wantEcho(t, h.a.await(call), body)
	h.works()
}

// TestClientTakesEarlyAnswers holds that an answer before the end of the request ends the call, and its
// stream.
func TestClientTakesEarlyAnswers(t *testing.T) {
	h := newHost(t, Options{})
	call := h.start(h2test.Pattern(1 << 20))
	h.accept()
	h.data(1, 1000)
	h.Headers(1, true, append([]string{"grpc-status", "8"}, grpcHead...)...)
	h.headersEarly(t, call)
}

// headersEarly checks that the head above, whose pseudo-field comes late, and then a good one, end streams.
func (h *host) headersEarly(t *testing.T, call *Call) {
	if h.a.await(call); call.Status != grpc.Internal {
		t.Errorf("status %d %q", call.Status, call.Text)
	}
	h.WantReset(1, http2.ErrCodeProtocol)
	h.Must(h.Framer.WriteWindowUpdate(0, 65535))
	second := h.start(h2test.Pattern(1 << 20))
	h.data(3, 1000)
	h.Headers(3, true, append(append([]string{}, grpcHead...), "grpc-status", "8")...)
	if h.a.await(second); second.Status != grpc.ResourceExhausted || second.Local {
		t.Errorf("status %d %q, local %v", second.Status, second.Text, second.Local)
	}
	h.WantReset(3, http2.ErrCodeNo)
	h.Must(h.Framer.WriteWindowUpdate(0, 65535))
	h.works()
}

// TestClientGoesAway holds what GOAWAY does to the calls on a connection.
func TestClientGoesAway(t *testing.T) {
	h := newHost(t, Options{})
	first := h.start([]byte("x"))
	h.accept()
	calls := []*Call{first}
	h.request()
	for i := range 2 {
		calls = append(calls, h.start([]byte("x")))
		if id := h.request(); id != uint32(3+2*i) {
			t.Fatalf("stream %d", id)
		}
	}
	h.Must(h.Framer.WriteGoAway(frame.LargestStream, http2.ErrCodeNo, nil)) // the first word ends no call
	h.Must(h.Framer.WriteGoAway(1, http2.ErrCodeNo, nil))
	for _, call := range calls[1:] {
		if h.a.await(call); call.Status != grpc.Unavailable || call.Sent {
			t.Errorf("above the last stream: status %d %q, sent %v", call.Status, call.Text, call.Sent)
		}
	}
	old := h.Peer
	next := h.start([]byte("y"))
	h.accept()
	h.respond(h.request(), []byte("y"))
	wantEcho(t, h.a.await(next), []byte("y"))
	h.Peer, old = old, h.Peer
	h.respond(1, []byte("x"))
	wantEcho(t, h.a.await(first), []byte("x"))
	if _, err := h.Next(); err == nil {
		t.Error("the connection stays open behind its last call")
	}
	h.Peer = old
	h.works()
}

// TestClientLosesConnections holds that a lost connection fails the calls that were on it, and no other.
func TestClientLosesConnections(t *testing.T) {
	h := newHost(t, Options{SpreadStreams: 1, MaxConnections: 2})
	one := h.start([]byte("1"))
	h.accept()
	h.request()
	first := h.Peer
	two, three := h.start([]byte("2")), h.start([]byte("3"))
	h.request()
	h.request()
	h.accept()
	second := h.Peer
	for deadline := time.Now().Add(3 * time.Second); h.a.cl.Stats().Connections < 2; {
		if time.Now().After(deadline) {
			t.Fatal("no second connection")
		}
		time.Sleep(time.Millisecond)
	}
	four := h.start([]byte("4"))
	id := h.request()
	_ = first.Conn.Close()
	for _, call := range []*Call{one, two, three} {
		if h.a.await(call); call.Status != grpc.Unavailable || !call.Sent || !call.Local {
			t.Errorf("on the lost connection: status %d, sent %v, local %v", call.Status, call.Sent, call.Local)
		}
	}
	h.Peer = second
	h.respond(id, []byte("4"))
	wantEcho(t, h.a.await(four), []byte("4"))
}

// TestClientObeysMaxStreams holds that settings at any time bound the streams.
func TestClientObeysMaxStreams(t *testing.T) {
	h := newHost(t, Options{MaxConnections: 1})
	var calls []*Call
	for i := range 5 {
		calls = append(calls, h.start(fmt.Append(nil, i)))
	}
	h.accept(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
	h.quiet()
	h.Must(h.Framer.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2}))
	ids := []uint32{h.request(), h.request()}
	h.quiet()
	for i, call := range calls {
		h.respond(ids[i], fmt.Append(nil, i)) // first come, first served
		wantEcho(t, h.a.await(call), fmt.Append(nil, i))
		if i < 3 {
			ids = append(ids, h.request())
		}
	}
}

// TestClientAsksForSignsOfLife holds that a silent server is found out where that is wanted.
func TestClientAsksForSignsOfLife(t *testing.T) {
	h := newHost(t, Options{KeepAlive: 20 * time.Millisecond})
	call := h.start([]byte("x"))
	h.accept()
	h.request()
	if h.a.await(call); call.Status != grpc.Unavailable || !call.Sent {
		t.Errorf("status %d %q, sent %v", call.Status, call.Text, call.Sent)
	}
}

// TestClientPassesOverWhatItGaveUp has large answers given up while they are on their way: their bytes cost the
// connection nothing, on which others wait.
func TestClientPassesOverWhatItGaveUp(t *testing.T) {
	h := newHost(t, Options{})
	call := h.start([]byte("x"))
	h.accept()
	id := h.request()
	h.Headers(id, false, grpcHead...)
	call.Cancel()
	h.a.await(call)
	for range 2 * link.MostControl {
		h.Must(h.Framer.WriteData(id, false, h2test.Pattern(1000)))
	}
	h.works()
}
