package h2

import (
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/h2test"
)

// TestLargeMessagesTakeTurns starts large messages at once: the first alone gets its window, the next one when nearly
// all of that has come; a small one needs none; and where nothing comes, the next does not wait for ever.
func TestLargeMessagesTakeTurns(t *testing.T) {
	const size = 1 << 20
	r := newRig(t, Options{})
	p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24})
	p.Must(p.Framer.WriteWindowUpdate(0, 1<<30))
	whole := h2test.Message(h2test.Pattern(size))
	for id := uint32(1); id <= 5; id += 2 {
		p.Headers(id, false, call("Unary")...)
		p.Must(p.Framer.WriteData(id, false, whole[:1000]))
	}
	p.unary(7, "Unary", h2test.Pattern(10_000))
	next := func() (id uint32) { // the next stream that gets a window, or is answered
		for {
			f, err := p.Framer.ReadFrame()
			p.Must(err)
			switch f := f.(type) {
			case *http2.WindowUpdateFrame:
				if f.StreamID != 0 {
					return f.StreamID
				}
			case *http2.MetaHeadersFrame:
				if f.StreamEnded() {
					return f.StreamID
				}
			}
		}
	}
	rest := func(id uint32) {
		for at := 1000; at < len(whole); at += 16384 {
			end := min(at+16384, len(whole))
			p.Must(p.Framer.WriteData(id, end == len(whole), whole[at:end]))
		}
	}
	first, second := next(), next()
	if first != 1 || second != 7 {
		t.Errorf("%d and %d came first, want the window of 1 and the answer of 7", first, second)
	}
	rest(1)
	got := map[uint32]bool{next(): true, next(): true}
	if !got[3] || !got[1] {
		t.Errorf("then came %v, want the window of 3 and the answer of 1", got)
	}
	if id := next(); id != 5 { // though nothing comes of 3
		t.Errorf("then came %d, want the window of 5", id)
	}
	rest(5)
	rest(3)
	if a, b := next(), next(); a+b != 8 {
		t.Errorf("%d and %d were answered, want 3 and 5", a, b)
	}
}
