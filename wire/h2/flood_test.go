package h2

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/frame"
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
		{"rapid reset", ClosedResetFlood, 2000, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(p.tryHeaders(id, false, call("Unary")...), p.fr.WriteRSTStream(id, http2.ErrCodeCancel))
		}},
		{"resets while handlers work", ClosedResetFlood, 2000, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(p.tryHeaders(id, true, get("/hold")...), p.fr.WriteRSTStream(id, http2.ErrCodeCancel))
		}},
		{"made you reset by window", ClosedResetFlood, 2000, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(p.tryHeaders(id, false, call("Unary")...), p.fr.WriteWindowUpdate(id, 0))
		}},
		{"made you reset by data", ClosedResetFlood, 2000, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			return errors.Join(p.tryHeaders(id, true, get("/hold")...), p.fr.WriteData(id, true, []byte("x")))
		}},
		{"malformed heads", ClosedResetFlood, 2000, func(p *peer, i int) error {
			return p.fr.WriteHeaders(http2.HeadersFrameParam{
				StreamID: uint32(2*i + 1), BlockFragment: []byte{0x82}, EndStream: true, EndHeaders: true,
			})
		}},
		{"streams beyond the limit", ClosedResetFlood, 2000, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			return p.fr.WriteHeaders(http2.HeadersFrameParam{
				StreamID: id, BlockFragment: p.block(call("Unary")...), EndHeaders: true,
			})
		}},
		{"PING", ClosedFlood, 3000, func(p *peer, _ int) error { return p.fr.WritePing(false, [8]byte{}) }},
		{"PING ack", ClosedFlood, 3000, func(p *peer, _ int) error { return p.fr.WritePing(true, [8]byte{}) }},
		{"SETTINGS", ClosedFlood, 3000, func(p *peer, _ int) error { return p.fr.WriteSettings() }},
		{"SETTINGS that move windows", ClosedFlood, 3000, func(p *peer, i int) error {
			return p.fr.WriteSettings(http2.Setting{ID: 4, Val: uint32(i % 2)}, http2.Setting{ID: 1, Val: uint32(i % 2 * 4096)})
		}},
		{"PRIORITY", ClosedFlood, 3000, func(p *peer, _ int) error {
			return p.fr.WritePriority(1, http2.PriorityParam{StreamDep: 3})
		}},
		{"unknown frames", ClosedFlood, 3000, func(p *peer, _ int) error { return p.fr.WriteRawFrame(0xff, 0, 0, nil) }},
		{"GOAWAY", ClosedFlood, 3000, func(p *peer, _ int) error { return p.fr.WriteGoAway(0, 0, nil) }},
		{"WINDOW_UPDATE", ClosedFlood, 3000, func(p *peer, _ int) error { return p.fr.WriteWindowUpdate(0, 1) }},
		{"WINDOW_UPDATE on closed streams", ClosedFlood, 3000, func(p *peer, i int) error {
			if i == 0 {
				p.headers(1, true, call("Nothing")...)
			}
			return p.fr.WriteWindowUpdate(1, 1)
		}},
		{"RST_STREAM on closed streams", ClosedFlood, 3000, func(p *peer, i int) error {
			if i == 0 {
				p.headers(1, true, call("Nothing")...)
			}
			return p.fr.WriteRSTStream(1, 0)
		}},
		{"empty DATA", ClosedFlood, 100, func(p *peer, i int) error {
			if i == 0 {
				p.headers(1, false, call("Unary")...)
			}
			return p.fr.WriteData(1, false, nil)
		}},
		{"DATA that is padding", ClosedFlood, 100, func(p *peer, i int) error {
			if i == 0 {
				p.headers(1, false, call("Unary")...)
			}
			return p.fr.WriteDataPadded(1, false, nil, make([]byte, 255))
		}},
		{"CONTINUATION", ClosedHeaders, 100, func(p *peer, i int) error {
			if i == 0 {
				return p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			}
			return p.fr.WriteContinuation(1, false, bytes.Repeat([]byte{0x82}, 100))
		}},
		{"empty CONTINUATION", ClosedHeaders, 100, func(p *peer, i int) error {
			if i == 0 {
				return p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			}
			return p.fr.WriteContinuation(1, false, nil)
		}},
		{"HPACK bomb", ClosedHeaders, 2, func(p *peer, i int) error {
			return p.fr.WriteHeaders(http2.HeadersFrameParam{
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
					if _, err := p.conn.Read(sink[:]); err != nil {
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
	p.must(p.fr.WriteWindowUpdate(0, 1<<30))
	body := pattern(60_000)
	go func() {
		for i := range 2000 {
			id := uint32(2*i + 1)
			p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block(call("Unary")...), EndHeaders: true})
			for rest := message(body); len(rest) > 0; {
				n := min(len(rest), frame.DefaultSize)
				if p.fr.WriteData(id, n == len(rest), rest[:n]) != nil {
					return
				}
				rest = rest[n:]
			}
		}
	}()
	r.eventually("ended for its resets", func() bool { return r.counted(r.closed, ClosedResetFlood) == 1 })
	if most := int64(256+16) * (64 << 10); r.pool.Budget().InUse() > most {
		t.Errorf("%d bytes are held for a client that does not read, want at most %d", r.pool.Budget().InUse(), most)
	}
	other := dialPeer(t, r)
	other.alive(1)
}
