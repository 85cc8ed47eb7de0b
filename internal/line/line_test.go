package line

import (
	"math/rand/v2"
	"slices"
	"testing"
)

type guest struct {
	name  int
	place Place[guest]
}

// names walks a line from its head to its end, and back.
func names(t *testing.T, l *Line[guest]) (all []int) {
	t.Helper()
	var last *Place[guest]
	for g := l.First(); g != nil; g = g.place.Next() {
		if !g.place.Taken() || g.place.prev != last {
			t.Fatalf("%d is not linked to the one before", g.name)
		}
		last = &g.place
		all = append(all, g.name)
	}
	if l.last != last {
		t.Fatal("the end is not the last")
	}
	if l.Len() != len(all) {
		t.Fatalf("%d are in line, it says %d", len(all), l.Len())
	}
	return all
}

// TestLine compares a line with a slice.
func TestLine(t *testing.T) {
	var l Line[guest]
	var want []int
	guests := make([]guest, 12)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		i := rng.IntN(len(guests))
		g := &guests[i]
		g.name = i
		at := slices.Index(want, i)
		switch {
		case g.place.Taken() != (at >= 0):
			t.Fatalf("%d says that it is in line: %v", i, g.place.Taken())
		case at >= 0:
			want = slices.Delete(want, at, at+1)
			l.Remove(&g.place)
		case rng.IntN(3) == 0:
			want = slices.Insert(want, 0, i)
			l.Prepend(&g.place, g)
		default:
			want = append(want, i)
			l.Append(&g.place, g)
		}
		if got := names(t, &l); !slices.Equal(got, want) {
			t.Fatalf("in line are %v, want %v", got, want)
		}
	}
}

func TestLeavingTwiceIsFine(t *testing.T) {
	var l Line[guest]
	var a, b guest
	l.Append(&a.place, &a)
	l.Append(&b.place, &b)
	l.Remove(&a.place)
	l.Remove(&a.place)
	if l.First() != &b || l.Len() != 1 {
		t.Errorf("%d are in line", l.Len())
	}
}

func TestStandingTwiceIsABug(t *testing.T) {
	var l Line[guest]
	var a guest
	l.Append(&a.place, &a)
	defer func() {
		if recover() == nil {
			t.Error("an element stands in line twice")
		}
	}()
	l.Append(&a.place, &a)
}

func BenchmarkAppendRemove(b *testing.B) {
	var l Line[guest]
	guests := make([]guest, 8)
	for i := range guests {
		l.Append(&guests[i].place, &guests[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		g := l.First()
		l.Remove(&g.place)
		l.Append(&g.place, g)
	}
}
