//go:build !race && !sluicedebug

package slab

import "testing"

func TestPathDoesNotAllocate(t *testing.T) {
	p := newPool(1 << 30)
	var a, b List
	got := testing.AllocsPerRun(1000, func() {
		s := p.Get(1000)
		for i := range 10 {
			a.Append(s.View(i, 10))
		}
		s.Release()
		b.AppendRange(&a, 15, 40)
		a.Release()
		b.Release()
	})
	if got != 0 {
		t.Errorf("%v allocations a run, want 0", got)
	}
}
