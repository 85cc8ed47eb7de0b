package slab

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestLineTellsInOrder(t *testing.T) {
	b := NewBudget(100)
	b.Charge(100)
	var told []int
	waiters := make([]*Waiter, 4)
	for i := range waiters {
		waiters[i] = NewWaiter(func() { told = append(told, i) })
		b.Await(waiters[i], int64(30+i))
	}
	want := func(what string, all ...int) {
		t.Helper()
		if len(told) != len(all) {
			t.Fatalf("%s: told %v, want %v", what, told, all)
		}
		for i := range all {
			if told[i] != all[i] {
				t.Fatalf("%s: told %v, want %v", what, told, all)
			}
		}
	}
	b.Release(29)
	want("too little")
	b.Leave(waiters[1])
	b.Leave(waiters[1])
	b.Release(1)
	want("enough for the first", 0)
	b.Release(31)
	want("the second has left, and the third has not enough beside the first", 0, 2)
	b.Await(waiters[0], 5)
	b.Await(waiters[3], 1)
	b.SetLimit(200)
	want("a higher limit", 0, 2, 3, 0)
	if b.waiting.Load() != 0 || b.line.waiters.Len() != 0 {
		t.Errorf("%d are still in line", b.waiting.Load())
	}
}

// TestLineMissesNobody has goroutines wait for what others hold, and wants all of them served.
func TestLineMissesNobody(t *testing.T) {
	b := NewBudget(4)
	var served atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			wake := make(chan struct{}, 1)
			w := NewWaiter(func() {
				select {
				case wake <- struct{}{}:
				default:
				}
			})
			for i := range 500 {
				n := int64(1 + i%4)
				for !b.TryReserve(n) {
					b.Await(w, n)
					if b.TryReserve(n) {
						break
					}
					<-wake
				}
				b.Leave(w)
				served.Add(1)
				b.Release(n)
			}
		})
	}
	wg.Wait()
	if served.Load() != 16*500 || b.InUse() != 0 || b.waiting.Load() != 0 {
		t.Errorf("served %d, %d in use, %d in line", served.Load(), b.InUse(), b.waiting.Load())
	}
}
