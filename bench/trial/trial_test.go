package trial

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// fake is a subject whose cost is base times the round's factor, disturbed in the rounds named.
type fake struct {
	base      float64
	disturbed []int
}

func (f fake) subject(name string, order *[]string) Subject {
	round := -1
	return Subject{Name: name, Measure: func(context.Context) (Block, error) {
		round++
		*order = append(*order, name)
		b := Block{Cost: f.base * float64(1+round%3), PerSec: 1000}
		if slices.Contains(f.disturbed, round) {
			b.Foreign, b.Cost = 0.5, 1e6
		}
		return b, nil
	}}
}

func TestCompareGoesForthAndBack(t *testing.T) {
	var order []string
	c, err := Compare(t.Context(), Plan{Anchor: "b", Effort: Effort{Rounds: 3}}, []Subject{
		fake{base: 2}.subject("a", &order), fake{base: 1}.subject("b", &order), fake{base: 3}.subject("c", &order),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "abccbaabc" {
		t.Errorf("order %q, want abccbaabc", got)
	}
	for name, want := range map[string]float64{"a": 2, "b": 1, "c": 3} {
		r, ok := c.Row(name)
		// The machine got three times slower from round to round; the ratio within a round did not move.
		if !ok || r.Ratio.Median != want || r.Ratio.Low != want || r.Ratio.High != want || r.Ratio.N != 3 {
			t.Errorf("%s: ratio %+v, want exactly %g", name, r.Ratio, want)
		}
		if r.Cost.Median != 2*want {
			t.Errorf("%s: cost %+v, want a median of %g", name, r.Cost, 2*want)
		}
	}
}

// TestCompareGoesOnWithoutWhatFails has a subject, and then the anchor, fail in the second round.
func TestCompareGoesOnWithoutWhatFails(t *testing.T) {
	broken := errors.New("no right answer")
	failing := func(name string) Subject {
		rounds := 0
		return Subject{Name: name, Measure: func(context.Context) (Block, error) {
			if rounds++; rounds > 1 {
				return Block{}, broken
			}
			return Block{Cost: 1}, nil
		}}
	}
	var order []string
	for _, anchor := range []string{"good", "bad"} {
		c, err := Compare(t.Context(), Plan{Anchor: anchor, Effort: Effort{Rounds: 3}}, []Subject{
			fake{base: 2}.subject("good", &order), failing("bad"),
		})
		if err != nil {
			t.Fatal(err)
		}
		good, _ := c.Row("good")
		bad, _ := c.Row("bad")
		if good.Cost.N != 3 || good.Failed != "" || bad.Cost.N != 1 || !strings.Contains(bad.Failed, broken.Error()) {
			t.Errorf("anchor %s: %d blocks of good %q, %d of bad %q", anchor, good.Cost.N, good.Failed, bad.Cost.N, bad.Failed)
		}
	}
	if _, err := Compare(t.Context(), Plan{Anchor: "bad", Effort: Effort{Rounds: 3}}, []Subject{failing("bad")}); !errors.Is(err, broken) {
		t.Errorf("with nothing left to measure: %v", err)
	}
}

func TestCompareLeavesOutDisturbedBlocks(t *testing.T) {
	var order []string
	c, err := Compare(t.Context(), Plan{Anchor: "a", Effort: Effort{Rounds: 4}}, []Subject{
		fake{base: 1, disturbed: []int{0, 2}}.subject("a", &order), fake{base: 2, disturbed: []int{1}}.subject("b", &order),
	})
	if err != nil {
		t.Fatal(err)
	}
	b, _ := c.Row("b")
	if c.Disturbed != 3 || b.Ratio.N != 4 || b.Ratio.High != 2 || b.Cost.N != 6 {
		t.Errorf("disturbed %d, b %+v: want 3, and 4 pairs in 7 rounds", c.Disturbed, b)
	}
	if len(c.Blocks) != 14 {
		t.Errorf("%d blocks, want 14", len(c.Blocks))
	}
}

func TestCompareGivesUp(t *testing.T) {
	var order []string
	c, err := Compare(t.Context(), Plan{Anchor: "a", Effort: Effort{Rounds: 2, MaxRounds: 3}}, []Subject{
		fake{base: 1, disturbed: []int{0, 1, 2}}.subject("a", &order),
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := c.Row("a"); c.Disturbed != 3 || len(c.Blocks) != 3 || a.Cost.N != 0 {
		t.Errorf("%d of %d blocks were disturbed, %d count, want 3 of 3 and none", c.Disturbed, len(c.Blocks), a.Cost.N)
	}
}

func TestCompareRefuses(t *testing.T) {
	var order []string
	a, broken := fake{base: 1}.subject("a", &order), errors.New("broken")
	for _, tc := range []struct {
		name     string
		subjects []Subject
		want     string
	}{
		{"nothing", nil, "no subjects"},
		{"no anchor", []Subject{{Name: "b"}}, `the anchor "a"`},
		{"two of a name", []Subject{a, a}, `two subjects named "a"`},
		{"a subject that fails", []Subject{{Name: "a", Measure: func(context.Context) (Block, error) { return Block{}, broken }}}, "measure a: broken"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Compare(t.Context(), Plan{Anchor: "a"}, tc.subjects); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Compare = %v, want %q", err, tc.want)
			}
		})
	}
}
