package h2

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/h2test"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// TestFloods sends what costs a server much and a client nothing, and wants the connection closed for its
// reason, early, and others to go on.
func TestFloods(t *testing.T) {
	r := newRig(t, Options{})
	other := dialPeer(t, r)
	bomb := append([]byte{0x40, 1, 'a', 0x7f, 0xa1, 0x1e}, bytes.Repeat([]byte{'x'}, 4000)...)
	bomb = append(bomb, bytes.Repeat([]byte{0xbe}, 4000)...)
	for i, tc := range []struct {
		name string
		why  Reason
		most int // frames until the connection must have ended
		send func(p *peer, i int) error
	}{
		{"rapid reset", link.ClosedResetFlood, 2000, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(p.TryHeaders(id, false, call("Unary")...), p.Framer.WriteRSTStream(id, http2.ErrCodeCancel))
		}},
		{"resets while handlers work", link.ClosedResetFlood, 2000, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(p.TryHeaders(id, true, get("/hold")...), p.Framer.WriteRSTStream(id, http2.ErrCodeCancel))
		}},
		{"made you reset by window", link.ClosedResetFlood, 2000, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(p.TryHeaders(id, false, call("Unary")...), p.Framer.WriteWindowUpdate(id, 0))
		}},
		{"made you reset by data", link.ClosedResetFlood, 2000, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(p.TryHeaders(id, true, get("/hold")...), p.Framer.WriteData(id, true, []byte("x")))
		}},
		{"malformed heads", link.ClosedResetFlood, 2000, func(p *peer, i int) error {
			return p.Framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: uint32(2*i + 1), BlockFragment: []byte{0x82}, EndStream: true, EndHeaders: true,
			})
		}},
		{"streams beyond the limit", link.ClosedResetFlood, 2000, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			return p.Framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: id, BlockFragment: p.Block(call("Unary")...), EndHeaders: true,
			})
		}},
		{"PING", link.ClosedFlood, 3000, func(p *peer, _ int) error { return p.Framer.WritePing(false, [8]byte{}) }},
		{"PING ack", link.ClosedFlood, 3000, func(p *peer, _ int) error { return p.Framer.WritePing(true, [8]byte{}) }},
		{"SETTINGS", link.ClosedFlood, 3000, func(p *peer, _ int) error { return p.Framer.WriteSettings() }},
		{"SETTINGS that move windows", link.ClosedFlood, 3000, func(p *peer, i int) error {
			return p.Framer.WriteSettings(http2.Setting{ID: 4, Val: uint32(i % 2)}, http2.Setting{ID: 1, Val: uint32(i % 2 * 4096)})
		}},
		{"PRIORITY", link.ClosedFlood, 3000, func(p *peer, _ int) error {
			return p.Framer.WritePriority(1, http2.PriorityParam{StreamDep: 3})
		}},
		{"unknown frames", link.ClosedFlood, 3000, func(p *peer, _ int) error { return p.Framer.WriteRawFrame(0xff, 0, 0, nil) }},
		{"GOAWAY", link.ClosedFlood, 3000, func(p *peer, _ int) error { return p.Framer.WriteGoAway(0, 0, nil) }},
		{"WINDOW_UPDATE", link.ClosedFlood, 3000, func(p *peer, _ int) error { return p.Framer.WriteWindowUpdate(0, 1) }},
		{"WINDOW_UPDATE on closed streams", link.ClosedFlood, 3000, func(p *peer, i int) error {
			if i == 0 {
				p.Headers(1, true, call("Nothing")...)
			}
			return p.Framer.WriteWindowUpdate(1, 1)
		}},
		{"RST_STREAM on closed streams", link.ClosedFlood, 3000, func(p *peer, i int) error {
			if i == 0 {
				p.Headers(1, true, call("Nothing")...)
			}
			return p.Framer.WriteRSTStream(1, 0)
		}},
		{"empty DATA", link.ClosedFlood, 100, func(p *peer, i int) error {
			if i == 0 {
				p.Headers(1, false, call("Unary")...)
			}
			return p.Framer.WriteData(1, false, nil)
		}},
		{"DATA that is padding", link.ClosedFlood, 100, func(p *peer, i int) error {
			if i == 0 {
				p.Headers(1, false, call("Unary")...)
			}
			return p.Framer.WriteDataPadded(1, false, nil, make([]byte, 255))
		}},
		{"CONTINUATION", link.ClosedHeaders, 100, func(p *peer, i int) error {
			if i == 0 {
				return p.Framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			}
			return p.Framer.WriteContinuation(1, false, bytes.Repeat([]byte{0x82}, 100))
		}},
		{"empty CONTINUATION", link.ClosedHeaders, 100, func(p *peer, i int) error {
			if i == 0 {
				return p.Framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			}
			return p.Framer.WriteContinuation(1, false, nil)
		}},
		{"HPACK bomb", link.ClosedHeaders, 2, func(p *peer, i int) error {
			return p.Framer.WriteHeaders(http2.HeadersFrameParam{
				StreamID: uint32(2*i + 1), BlockFragment: bomb, EndStream: true, EndHeaders: true,
			})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := r.counted(r.closed, tc.why)
			p := dialPeer(t, r)
			go func() { // what comes back must not fill the socket
				var sink [4096]byte
				for {
					if _, err := p.Conn.Read(sink[:]); err != nil {
						return
					}
				}
			}()
			n := 0
			for r.counted(r.closed, tc.why) == before && n < 100_000 {
				if tc.send(p, n) != nil {
					break
				}
				n++
			}
			r.eventually(fmt.Sprint("closed for ", tc.why), func() bool { return r.counted(r.closed, tc.why) == before+1 })
			other.alive(uint32(2*i + 1))
		})
	}
}

// TestUnreadAnswersHaveABound sends calls and pings and reads nothing: what the server holds for it must stay
// within what its streams may hold, and other connections go on.
func TestUnreadAnswersHaveABound(t *testing.T) {
	r := newRig(t, Options{})
	p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
	p.Must(p.Framer.WriteWindowUpdate(0, 1<<30))
	body := h2test.Pattern(60_000)
	go func() {
		for i := range 2000 {
			id := uint32(2*i + 1)
			p.Framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.Block(call("Unary")...), EndHeaders: true})
			for rest := h2test.Message(body); len(rest) > 0; {
				n := min(len(rest), frame.DefaultSize)
				if p.Framer.WriteData(id, n == len(rest), rest[:n]) != nil {
					return
				}
				rest = rest[n:]
			}
		}
	}()
	r.eventually("ended for its resets", func() bool { return r.counted(r.closed, link.ClosedResetFlood) == 1 })
	if most := int64(256+16) * (64 << 10); r.pool.Budget().InUse() > most {
		t.Errorf("%d bytes are held for a client that does not read, want at most %d", r.pool.Budget().InUse(), most)
	}
	other := dialPeer(t, r)
	other.alive(1)
}
