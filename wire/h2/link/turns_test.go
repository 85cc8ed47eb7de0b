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
	out Outbox
}

func newTurnsRig() *turnsRig {
	r := &turnsRig{Turns: Turns{ahead: 100}}
	r.out.Init(&Outputs{})
	return r
}

// granted returns what was granted since it was called last, as stream:bytes.
func (r *turnsRig) granted() string {
	text, b := "", r.out.Open().B
	for ; len(b) > 0; b = b[frame.HeadSize+4:] {
		h := frame.ParseHead(b)
		text += fmt.Sprintf("%d:%d ", h.Stream, binary.BigEndian.Uint32(b[frame.HeadSize:]))
	}
	r.out.Drop()
	return text
}

func TestTurns(t *testing.T) {
	type flows [4]Inflow
	for _, tt := range []struct {
		name string
		run  func(r *turnsRig, f *flows)
		want string
	}{
		{"one after the other", func(r *turnsRig, f *flows) {
			r.Came(&f[0], 899, &r.out)
			r.Came(&f[0], 1, &r.out)
		}, "3:1000 "},
		{"the next ones as they come", func(r *turnsRig, f *flows) {
			r.Came(&f[0], 1000, &r.out)
			r.Came(&f[1], 1000, &r.out)
		}, "3:1000 5:1000 "},
		{"not while much is to come", func(r *turnsRig, f *flows) {
			r.Came(&f[0], 899, &r.out)
		}, ""},
		{"more than was granted", func(r *turnsRig, f *flows) {
			r.Came(&f[0], 5000, &r.out)
			r.Came(&f[0], 5000, &r.out)
		}, "3:1000 "},
		{"of a stream that has no turn", func(r *turnsRig, f *flows) {
			r.Came(&f[1], 5000, &r.out)
		}, ""},
		{"the first is gone", func(r *turnsRig, f *flows) {
			r.Gone(&f[0], &r.out)
		}, "3:1000 "},
		{"who waits is gone", func(r *turnsRig, f *flows) {
			r.Gone(&f[1], &r.out)
			r.Came(&f[0], 1000, &r.out)
		}, "5:1000 "},
		{"the window has part of it", func(r *turnsRig, f *flows) {
			f[1].RecvWindow = 600
			r.Came(&f[0], 1000, &r.out)
		}, "3:400 "},
		{"part of it comes before its turn", func(r *turnsRig, f *flows) {
			f[1].RecvWindow = 100 // of 600
			r.Came(&f[1], 500, &r.out)
			r.Came(&f[0], 1000, &r.out)
			r.Came(&f[1], 500, &r.out)
		}, "3:400 5:1000 "},
		{"all of it comes before its turn", func(r *turnsRig, f *flows) {
			r.Came(&f[1], 1000, &r.out)
			r.Gone(&f[1], &r.out)
			r.Came(&f[0], 1000, &r.out)
		}, "5:1000 "},
		{"the window has all of it", func(r *turnsRig, f *flows) {
			f[1].RecvWindow = 6000
			r.Came(&f[0], 1000, &r.out)
		}, ""},
		{"not overdue", func(r *turnsRig, _ *flows) {
			r.Overdue(turnMost, &r.out)
		}, ""},
		{"overdue", func(r *turnsRig, _ *flows) {
			r.Overdue(1+turnMost, &r.out)
			r.Overdue(1+turnMost, &r.out)
		}, "3:1000 "},
		{"overdue again and again", func(r *turnsRig, _ *flows) {
			r.Overdue(1+turnMost, &r.out)
			r.Overdue(1+2*turnMost, &r.out)
			r.Overdue(1+3*turnMost, &r.out)
		}, "3:1000 5:1000 "},
		{"somebody got his turn meanwhile", func(r *turnsRig, f *flows) {
			r.Came(&f[0], 1000, &r.out)
			r.Overdue(1+turnMost, &r.out)
		}, "3:1000 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, f := newTurnsRig(), &flows{}
			for i := range 3 {
				r.Grant(&f[i], uint32(1+2*i), 1000, 1, nil, &r.out)
			}
			if got := r.granted(); got != "1:1000 " {
				t.Fatalf("granted %q at first", got)
			}
			tt.run(r, f)
			if got := r.granted(); got != tt.want {
				t.Errorf("granted %q, want %q", got, tt.want)
			}
			for i := range f {
				r.Gone(&f[i], &r.out)
			}
			r.Overdue(10*turnMost, &r.out)
			if r.owed != 0 || len(r.waiting) > 0 || r.dueAt != 0 {
				t.Errorf("%d bytes are owed, %d wait until %d, with no stream left", r.owed, len(r.waiting), r.dueAt)
			}
		})
	}
}
