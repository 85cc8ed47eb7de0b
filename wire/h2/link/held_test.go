package link

import (
	"bytes"
	"testing"

	"github.com/sluice-serving/sluice/slab"
)

// TestHeld compares what is held with a slice, while bytes come, go, and come in more than there was room for.
func TestHeld(t *testing.T) {
	budget := slab.NewBudget(1 << 20)
	pool := slab.NewPool(slab.Options{}, budget)
	var h Held
	var want []byte
	next := byte(0)
	come := func(n int, anyway bool) {
		p := make([]byte, n)
		for i := range p {
			next++
			p[i] = next
		}
		if want = append(want, p...); anyway {
			h.AppendAnyway(pool, p)
		} else if !h.Append(pool, p) {
			t.Fatalf("no room for %d bytes behind %d", n, h.Len())
		}
	}
	for i, step := range []struct {
		come, gone int
		anyway     bool
	}{
		{come: 3000, gone: 2000},
		{come: 3000, gone: 100}, // behind, once what is left is in front
		{come: 3000, gone: 4000, anyway: true},
		{come: 60_000, gone: 59_000},
		{come: 100, gone: 1000, anyway: true},
		{come: 10},
	} {
		come(step.come, step.anyway)
		if !bytes.Equal(h.Bytes(), want) {
			t.Fatalf("step %d: %d bytes are held, want %d, or others", i, h.Len(), len(want))
		}
		h.Advance(step.gone)
		want = want[step.gone:]
	}
	h.Advance(h.Len())
	if n := budget.InUse(); h.Len() != 0 || h.Bytes() != nil || n != 0 {
		t.Fatalf("%d bytes are held, %d in use, and all went", h.Len(), n)
	}
	come(10, true)
	h.Release()
	if n := budget.InUse(); n != 0 {
		t.Fatalf("%d bytes are in use, and all were dropped", n)
	}
}

func TestHeldBeyondTheBudget(t *testing.T) {
	budget := slab.NewBudget(8 << 10)
	pool := slab.NewPool(slab.Options{}, budget)
	var h Held
	defer h.Release()
	p := make([]byte, 4<<10)
	if !h.Append(pool, p) {
		t.Fatal("no room for half of the budget")
	}
	if h.Append(pool, p) {
		t.Fatal("room for all of the budget")
	}
	if h.Len() != len(p) {
		t.Fatalf("%d bytes are held", h.Len())
	}
	if h.AppendAnyway(pool, p); h.Len() != 2*len(p) {
		t.Fatalf("%d bytes are held", h.Len())
	}
}
