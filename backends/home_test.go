package backends

import (
	"testing"

	"github.com/sluice-serving/sluice/infer"
)

// sequence returns a request of a sequence, with a flag that is set unless it is empty.
func sequence(n int64, flag string) *infer.Request {
	r := &infer.Request{Params: []infer.Param{{Key: []byte("sequence_id"), Kind: infer.ParamInt, Int: n}}}
	if flag != "" {
		r.Params = append(r.Params, infer.Param{Key: []byte(flag), Kind: infer.ParamBool, Int: 1})
	}
	return r
}

// sequences are those that have begun, by the server where they did.
type sequences map[int64]*Remote

func (s sequences) begin(v *Version, from, to int64) {
	for n := from; n < to; n++ {
		s[n] = v.Pick(sequence(n, "sequence_start"), nil).Remote
	}
}

// moved returns those that go on elsewhere than where they began.
func (s sequences) moved(v *Version) (all []int64) {
	for n, at := range s {
		if v.Pick(sequence(n, ""), nil).Remote != at {
			all = append(all, n)
		}
	}
	return all
}

// TestSequencesOutlastAnOutage has sequences begin while a server is away, and go on where they began when it is back.
func TestSequencesOutlastAnOutage(t *testing.T) {
	f, v, remotes := newFleet(t, 2, 1, true)
	all := sequences{}
	all.begin(v, 1, 100)
	f.SetHealth(remotes[0], false, "away")
	lost := 0
	for n, at := range all {
		if at == remotes[0] {
			all.begin(v, n, n+1) // as clients do that are told of it
			lost++
		}
	}
	all.begin(v, 100, 200)
	if lost == 0 || lost == 99 {
		t.Fatalf("%d of 99 sequences began at one of two servers", lost)
	}
	f.SetHealth(remotes[0], true, "")
	if moved := all.moved(v); moved != nil {
		t.Errorf("%d of %d sequences moved to the server that is back", len(moved), len(all))
	}
}

// TestSequencesOutlastNewcomers has a server come while sequences are on their way.
func TestSequencesOutlastNewcomers(t *testing.T) {
	f, v, _ := newFleet(t, 2, 1, true)
	all := sequences{}
	all.begin(v, 1, 100)
	late, err := f.Add("late", nobody{})
	if err != nil {
		t.Fatal(err)
	}
	f.SetHealth(late, true, "")
	v.Put(late, true, false, 1)
	if moved := all.moved(v); moved != nil {
		t.Errorf("%d of %d sequences moved to a server that came later", len(moved), len(all))
	}
	fresh := sequences{}
	fresh.begin(v, 100, 200)
	for _, at := range fresh {
		if at == late {
			return
		}
	}
	t.Error("no sequence begins at a server that came later")
}

// TestSequencesThatFailToBeginAreElsewhere picks a second time for the first request of a sequence, whose server could not
// be reached.
func TestSequencesThatFailToBeginAreElsewhere(t *testing.T) {
	_, v, _ := newFleet(t, 2, 1, true)
	first := v.Pick(sequence(7, "sequence_start"), nil).Remote
	second := v.Pick(sequence(7, "sequence_start"), first).Remote
	if second == first {
		t.Fatal("the server that is not wanted was picked")
	}
	if p := v.Pick(sequence(7, ""), nil); p.Remote != second {
		t.Errorf("it goes on at %s, though it began at %s", p.Remote.Name, second.Name)
	}
}

// TestSequencesWithoutAnEnd begins more of them than are remembered, and asks for one all the time.
func TestSequencesWithoutAnEnd(t *testing.T) {
	f, v, remotes := newFleet(t, 2, 1, true)
	away := int64(1) // a sequence that would begin at the first server
	for v.Pick(sequence(away, ""), nil).Remote != remotes[0] {
		away++
	}
	f.SetHealth(remotes[0], false, "away")
	all := sequences{}
	all.begin(v, away, away+1)
	f.SetHealth(remotes[0], true, "")
	for n := away + 1; n < 4*mostBegun; n++ {
		v.Pick(sequence(n, "sequence_start"), nil)
		if n%1000 == 0 && all.moved(v) != nil {
			t.Fatalf("the sequence that is asked for moved when %d others had begun", n)
		}
	}
	if n := len(v.begun.mu.young) + len(v.begun.mu.old); n > 2*mostBegun {
		t.Errorf("%d sequences are remembered", n)
	}
}

// TestSequencesThatBeganElsewhere asks for sequences that nobody saw begin: gateways beside each other agree on them.
func TestSequencesThatBeganElsewhere(t *testing.T) {
	_, one, _ := newFleet(t, 3, 1, true)
	_, other, _ := newFleet(t, 3, 1, true)
	for n := int64(1); n < 100; n++ {
		began, goesOn := one.Pick(sequence(n, "sequence_start"), nil), other.Pick(sequence(n, ""), nil)
		if began.Remote.Name != goesOn.Remote.Name {
			t.Errorf("sequence %d began at %s and goes on at %s, through another gateway", n, began.Remote.Name, goesOn.Remote.Name)
		}
	}
}
