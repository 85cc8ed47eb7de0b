package h2

import (
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// turnsRig is the turns of a connection whose peer is near.
type turnsRig struct {
	turns
	out output
}

func newTurnsRig() *turnsRig { return &turnsRig{turns: turns{ahead: 100}} }

func (r *turnsRig) output() *output { return &r.out }

// granted returns what was granted since it was called last, as stream:bytes.
func (r *turnsRig) granted() string {
	text, b := "", r.out.b
	for ; len(b) > 0; b = b[frame.HeadSize+4:] {
		h := frame.ParseHead(b)
		text += fmt.Sprintf("%d:%d ", h.Stream, binary.BigEndian.Uint32(b[frame.HeadSize:]))
	}
	r.out.b = r.out.b[:0]
	return text
}

func TestTurns(t *testing.T) {
	wait := func(r *turnsRig, f *inflow, id uint32, n int64) {
		if !r.wait(f, id, n, 1, nil) {
			f.recvWindow += n
		}
	}
	type flows [4]inflow
	for _, tt := range []struct {
		name string
		run  func(r *turnsRig, f *flows)
		want string
	}{
		{"one after the other", func(r *turnsRig, f *flows) {
			r.came(&f[0], 899, r.output)
			r.came(&f[0], 1, r.output)
		}, "3:1000 "},
		{"the next ones as they come", func(r *turnsRig, f *flows) {
			r.came(&f[0], 1000, r.output)
			r.came(&f[1], 1000, r.output)
		}, "3:1000 5:1000 "},
		{"not while much is to come", func(r *turnsRig, f *flows) {
			r.came(&f[0], 899, r.output)
		}, ""},
		{"more than was granted", func(r *turnsRig, f *flows) {
			r.came(&f[0], 5000, r.output)
			r.came(&f[0], 5000, r.output)
		}, "3:1000 "},
		{"of a stream that has no turn", func(r *turnsRig, f *flows) {
			r.came(&f[1], 5000, r.output)
		}, ""},
		{"the first is gone", func(r *turnsRig, f *flows) {
			r.gone(&f[0], r.output)
		}, "3:1000 "},
		{"who waits is gone", func(r *turnsRig, f *flows) {
			r.gone(&f[1], r.output)
			r.came(&f[0], 1000, r.output)
		}, "5:1000 "},
		{"the window has part of it", func(r *turnsRig, f *flows) {
			f[1].recvWindow = 600
			r.came(&f[0], 1000, r.output)
		}, "3:400 "},
		{"part of it comes before its turn", func(r *turnsRig, f *flows) {
			f[1].recvWindow = 100 // of 600
			r.came(&f[1], 500, r.output)
			r.came(&f[0], 1000, r.output)
			r.came(&f[1], 500, r.output)
		}, "3:400 5:1000 "},
		{"all of it comes before its turn", func(r *turnsRig, f *flows) {
			r.came(&f[1], 1000, r.output)
			r.gone(&f[1], r.output)
			r.came(&f[0], 1000, r.output)
		}, "5:1000 "},
		{"the window has all of it", func(r *turnsRig, f *flows) {
			f[1].recvWindow = 6000
			r.came(&f[0], 1000, r.output)
		}, ""},
		{"not overdue", func(r *turnsRig, _ *flows) {
			r.overdue(turnMost, r.output)
		}, ""},
		{"overdue", func(r *turnsRig, _ *flows) {
			r.overdue(1+turnMost, r.output)
			r.overdue(1+turnMost, r.output)
		}, "3:1000 "},
		{"overdue again and again", func(r *turnsRig, _ *flows) {
			r.overdue(1+turnMost, r.output)
			r.overdue(1+2*turnMost, r.output)
			r.overdue(1+3*turnMost, r.output)
		}, "3:1000 5:1000 "},
		{"somebody got his turn meanwhile", func(r *turnsRig, f *flows) {
			r.came(&f[0], 1000, r.output)
			r.overdue(1+turnMost, r.output)
		}, "3:1000 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, f := newTurnsRig(), &flows{}
			for i := range 3 {
				wait(r, &f[i], uint32(1+2*i), 1000)
			}
			tt.run(r, f)
			if got := r.granted(); got != tt.want {
				t.Errorf("granted %q, want %q", got, tt.want)
			}
			for i := range f {
				r.gone(&f[i], r.output)
			}
			r.overdue(10*turnMost, r.output)
			if r.owed != 0 || len(r.waiting) > 0 || r.dueAt != 0 {
				t.Errorf("%d bytes are owed, %d wait until %d, with no stream left", r.owed, len(r.waiting), r.dueAt)
			}
		})
	}
}

// TestLargeMessagesTakeTurns starts large messages at once: the first alone gets its window, the next one when nearly
// all of that has come; a small one needs none; and where nothing comes, the next does not wait for ever.
func TestLargeMessagesTakeTurns(t *testing.T) {
	const size = 1 << 20
	r := newRig(t, Options{})
	p := dialPeer(t, r, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24})
	p.must(p.fr.WriteWindowUpdate(0, 1<<30))
	whole := message(pattern(size))
	for id := uint32(1); id <= 5; id += 2 {
		p.headers(id, false, call("Unary")...)
		p.must(p.fr.WriteData(id, false, whole[:1000]))
	}
	p.unary(7, "Unary", pattern(10_000))
	next := func() (id uint32) { // the next stream that gets a window, or is answered
		for {
			f, err := p.fr.ReadFrame()
			p.must(err)
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
			p.must(p.fr.WriteData(id, end == len(whole), whole[at:end]))
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
