package link

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// turnsRig is the turns of a connection whose peer is near.
type turnsRig struct {
	Turns
	out Output
}

func newTurnsRig() *turnsRig { return &turnsRig{Turns: Turns{ahead: 100}} }

func (r *turnsRig) output() *Output { return &r.out }

// granted returns what was granted since it was called last, as stream:bytes.
func (r *turnsRig) granted() string {
	text, b := "", r.out.B
	for ; len(b) > 0; b = b[frame.HeadSize+4:] {
		h := frame.ParseHead(b)
		text += fmt.Sprintf("%d:%d ", h.Stream, binary.BigEndian.Uint32(b[frame.HeadSize:]))
	}
	r.out.B = r.out.B[:0]
	return text
}

func TestTurns(t *testing.T) {
	wait := func(r *turnsRig, f *Inflow, id uint32, n int64) {
		if !r.Wait(f, id, n, 1, nil) {
			f.RecvWindow += n
		}
	}
	type flows [4]Inflow
	for _, tt := range []struct {
		name string
		run  func(r *turnsRig, f *flows)
		want string
	}{
		{"one after the other", func(r *turnsRig, f *flows) {
			r.Came(&f[0], 899, r.output)
			r.Came(&f[0], 1, r.output)
		}, "3:1000 "},
		{"the next ones as they come", func(r *turnsRig, f *flows) {
			r.Came(&f[0], 1000, r.output)
			r.Came(&f[1], 1000, r.output)
		}, "3:1000 5:1000 "},
		{"not while much is to come", func(r *turnsRig, f *flows) {
			r.Came(&f[0], 899, r.output)
		}, ""},
		{"more than was granted", func(r *turnsRig, f *flows) {
			r.Came(&f[0], 5000, r.output)
			r.Came(&f[0], 5000, r.output)
		}, "3:1000 "},
		{"of a stream that has no turn", func(r *turnsRig, f *flows) {
			r.Came(&f[1], 5000, r.output)
		}, ""},
		{"the first is gone", func(r *turnsRig, f *flows) {
			r.Gone(&f[0], r.output)
		}, "3:1000 "},
		{"who waits is gone", func(r *turnsRig, f *flows) {
			r.Gone(&f[1], r.output)
			r.Came(&f[0], 1000, r.output)
		}, "5:1000 "},
		{"the window has part of it", func(r *turnsRig, f *flows) {
			f[1].RecvWindow = 600
			r.Came(&f[0], 1000, r.output)
		}, "3:400 "},
		{"part of it comes before its turn", func(r *turnsRig, f *flows) {
			f[1].RecvWindow = 100 // of 600
			r.Came(&f[1], 500, r.output)
			r.Came(&f[0], 1000, r.output)
			r.Came(&f[1], 500, r.output)
		}, "3:400 5:1000 "},
		{"all of it comes before its turn", func(r *turnsRig, f *flows) {
			r.Came(&f[1], 1000, r.output)
			r.Gone(&f[1], r.output)
			r.Came(&f[0], 1000, r.output)
		}, "5:1000 "},
		{"the window has all of it", func(r *turnsRig, f *flows) {
			f[1].RecvWindow = 6000
			r.Came(&f[0], 1000, r.output)
		}, ""},
		{"not overdue", func(r *turnsRig, _ *flows) {
			r.Overdue(turnMost, r.output)
		}, ""},
		{"overdue", func(r *turnsRig, _ *flows) {
			r.Overdue(1+turnMost, r.output)
			r.Overdue(1+turnMost, r.output)
		}, "3:1000 "},
		{"overdue again and again", func(r *turnsRig, _ *flows) {
			r.Overdue(1+turnMost, r.output)
			r.Overdue(1+2*turnMost, r.output)
			r.Overdue(1+3*turnMost, r.output)
		}, "3:1000 5:1000 "},
		{"somebody got his turn meanwhile", func(r *turnsRig, f *flows) {
			r.Came(&f[0], 1000, r.output)
			r.Overdue(1+turnMost, r.output)
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
				r.Gone(&f[i], r.output)
			}
			r.Overdue(10*turnMost, r.output)
			if r.owed != 0 || len(r.waiting) > 0 || r.dueAt != 0 {
				t.Errorf("%d bytes are owed, %d wait until %d, with no stream left", r.owed, len(r.waiting), r.dueAt)
			}
		})
	}
}
