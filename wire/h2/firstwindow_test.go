package h2

import (
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// windows is a peer that keeps account of what it may send, as a client has to.
type windows struct {
	*peer
	first int64
	of    map[uint32]int64
}

// keepWindows connects a client that has taken the server's first settings.
func keepWindows(t *testing.T, r *rig) *windows {
	t.Helper()
	w := &windows{
		peer:  dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24}),
		first: frame.DefaultWindow, of: map[uint32]int64{},
	}
	w.Must(w.Framer.WriteWindowUpdate(0, 1<<24))
	w.until(func(f http2.Frame) bool { return w.first == link.StreamWindow })
	w.Must(w.Framer.WriteSettingsAck())
	return w
}

// begins starts a stream.
func (w *windows) begins(id uint32, fields ...string) {
	w.Headers(id, false, fields...)
	w.of[id] = w.first
}

// until reads until ok has seen enough.
func (w *windows) until(ok func(http2.Frame) bool) {
	w.T.Helper()
	_ = w.Conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	for {
		f, err := w.Framer.ReadFrame()
		if err != nil {
			w.T.Fatalf("the windows are %v, of new streams %d: %v", w.of, w.first, err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if v, set := f.Value(http2.SettingInitialWindowSize); set {
				for id := range w.of {
					w.of[id] += int64(v) - w.first
				}
				w.first = int64(v)
			}
		case *http2.WindowUpdateFrame:
			if f.StreamID != 0 {
				w.of[f.StreamID] += int64(f.Increment)
			}
		}
		if ok(f) {
			return
		}
	}
}

// pinged reads what was said by now.
func (w *windows) pinged() {
	w.T.Helper()
	w.Must(w.Framer.WritePing(false, [8]byte{1}))
	w.until(func(f http2.Frame) bool { _, ok := f.(*http2.PingFrame); return ok })
}

// sends sends a body as its window lets it, to its end.
func (w *windows) sends(id uint32, b []byte) {
	w.T.Helper()
	for len(b) > 0 {
		if w.of[id] <= 0 {
			w.until(func(http2.Frame) bool { return w.of[id] > 0 })
		}
		n := min(len(b), frame.DefaultSize, int(w.of[id]))
		w.Must(w.Framer.WriteData(id, n == len(b), b[:n]))
		w.of[id] -= int64(n)
		b = b[n:]
	}
}

// refused has a long message refused for want of room, and returns when the client was told to start with less.
func (w *windows) refused(id uint32) {
	w.T.Helper()
	w.begins(id, call("Unary")...)
	w.Must(w.Framer.WriteData(id, false, h2test.Message(h2test.Pattern(1 << 20))[:1000]))
	ended := false
	w.until(func(f http2.Frame) bool {
		if h, ok := f.(*http2.MetaHeadersFrame); ok && h.StreamID == id {
			ended = h.StreamEnded()
		}
		return ended && w.first == narrowWindow
	})
	delete(w.of, id)
}

// echoed checks that a stream is answered with what it sent.
func (w *windows) echoed(id uint32, want []byte, fields ...string) {
	w.T.Helper()
	if got := w.WantAnswer(id, fields...); string(got) != string(want) {
		w.T.Errorf("%d bytes of stream %d came back as %d others", len(want), id, len(got))
	}
	delete(w.of, id)
}

// TestRefusedConnectionsStartWithLess follows a connection whose message has no room: its later streams may send little
// before they are looked at, and all is as before once there is room.
func TestRefusedConnectionsStartWithLess(t *testing.T) {
	r := newRig(t, Options{RoomWait: time.Millisecond})
	w := keepWindows(t, r)
	release := r.squeeze(500_000)
	body, long := h2test.Pattern(300_000), h2test.Message(h2test.Pattern(1<<20))

	w.refused(3)
	w.begins(5, post("/unaware")...) // as one does who has not read the setting
	w.Must(w.Framer.WriteData(5, false, body[:frame.DefaultSize]))
	w.of[5] -= frame.DefaultSize
	w.Must(w.Framer.WriteSettingsAck())
	w.until(func(http2.Frame) bool { return w.of[5] > narrowWindow })

	w.begins(7, post("/unknown")...)
	w.unary(9, "Unary", []byte("small"))
	w.echoed(9, h2test.Message([]byte("small")), "grpc-status: 0")
	w.begins(11, call("Unary")...)
	w.Must(w.Framer.WriteData(11, false, h2test.Message(h2test.Pattern(1 << 20))[:narrowWindow+1]))
	w.WantReset(11, http2.ErrCodeFlowControl)
	delete(w.of, 11)
	release()
	w.sends(7, body)
	w.echoed(7, body, ":status: 200")
	w.begins(13, post("/known", "content-length", "100000")...)
	w.sends(13, body[:100_000])
	w.echoed(13, body[:100_000], ":status: 200")

	w.begins(15, call("Unary")...)
	w.sends(15, long)
	w.echoed(15, long, "grpc-status: 0")
	if w.first != link.StreamWindow {
		t.Errorf("with room again, streams start with %d bytes", w.first)
	}
	w.begins(17, call("Unary")...)
	w.Must(w.Framer.WriteSettingsAck())
	w.sends(17, long)
	w.echoed(17, long, "grpc-status: 0")
	w.sends(5, body[frame.DefaultSize:])
	w.echoed(5, body, ":status: 200")
}

// TestMessagesThatTheChangeHasRoomFor: one that is longer than the least window, and no longer than the usual one, needs
// nothing beside the change.
func TestMessagesThatTheChangeHasRoomFor(t *testing.T) {
	r := newRig(t, Options{RoomWait: time.Millisecond})
	w := keepWindows(t, r)
	release := r.squeeze(500_000)
	w.refused(1)
	w.Must(w.Framer.WriteSettingsAck())
	w.pinged()
	release()
	message := h2test.Message(h2test.Pattern(50_000))
	w.begins(3, call("Unary")...)
	w.Must(w.Framer.WriteData(3, false, message[:narrowWindow]))
	w.of[3] -= narrowWindow
	w.pinged()
	if may, want := w.of[3], int64(link.StreamWindow-narrowWindow); may != want {
		t.Errorf("behind the first bytes the client may send %d, want %d", may, want)
	}
	w.sends(3, message[narrowWindow:])
	w.echoed(3, message, "grpc-status: 0")
}

// TestShortMessagesNarrowNothing: what is shorter than the least window is refused as it always was.
func TestShortMessagesNarrowNothing(t *testing.T) {
	r := newRig(t, Options{RoomWait: time.Millisecond})
	w := keepWindows(t, r)
	release := r.squeeze(100)
	w.unary(1, "Unary", h2test.Pattern(1000))
	w.WantAnswer(1, "grpc-status: 8")
	release()
	w.grants()
	w.Headers(3, false, call("Unary")...)
	w.data(3, true, h2test.Message(h2test.Pattern(100_000)))
	w.WantAnswer(3, "grpc-status: 0")
}

// TestSharedConnectionsAreNotNarrowed: other calls of a connection are not to pay for one that is refused.
func TestSharedConnectionsAreNotNarrowed(t *testing.T) {
	r := newRig(t, Options{RoomWait: time.Millisecond})
	w := keepWindows(t, r)
	defer r.squeeze(500_000)()
	w.begins(1, post("/other")...)
	w.begins(3, call("Unary")...)
	w.Must(w.Framer.WriteData(3, false, h2test.Message(h2test.Pattern(1 << 20))[:1000]))
	w.WantAnswer(3, "grpc-status: 8")
	w.pinged()
	if w.first != link.StreamWindow {
		t.Errorf("streams start with %d bytes", w.first)
	}
}

// TestConnectionsChangeSeldom: a connection that is refused and served by turns is not told so every time.
func TestConnectionsChangeSeldom(t *testing.T) {
	r := newRig(t, Options{RoomWait: time.Millisecond})
	w := keepWindows(t, r)
	long := h2test.Message(h2test.Pattern(1 << 20))
	release := r.squeeze(500_000)
	w.refused(1)
	w.Must(w.Framer.WriteSettingsAck())
	release()
	w.begins(3, call("Unary")...)
	w.sends(3, long)
	w.echoed(3, long, "grpc-status: 0")
	w.Must(w.Framer.WriteSettingsAck())
	release = r.squeeze(500_000)
	defer release()
	w.begins(5, call("Unary")...)
	w.Must(w.Framer.WriteData(5, false, long[:1000]))
	w.WantAnswer(5, "grpc-status: 8")
	w.pinged()
	if w.first != link.StreamWindow {
		t.Errorf("it was told %d within a second", w.first)
	}
}

// TestNarrowingMustBeAcknowledged ends the connection of a client that does not say that it has taken the setting.
func TestNarrowingMustBeAcknowledged(t *testing.T) {
	bubble(t, Options{}, func(r *rig, p *peer) {
		frames := p.greet()
		release := r.squeeze(500_000)
		defer release()
		p.Headers(1, false, call("Unary")...)
		p.Must(p.Framer.WriteData(1, false, h2test.Message(h2test.Pattern(1 << 20))[:1000]))
		from := time.Now()
		if g, ok := drainFrames(frames).(*http2.GoAwayFrame); !ok || g.ErrCode != http2.ErrCodeSettingsTimeout {
			t.Errorf("the last word is %v", g)
		}
		took(t, "closing", from, 31*time.Second)
		wantClosed(r, link.ClosedProtocol)
	})
}
