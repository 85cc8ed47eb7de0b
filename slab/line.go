package slab

import (
	"sync"

	"github.com/sluice-serving/sluice/internal/line"
)

// Waiter is told when bytes may fit a budget that it did not fit before. It is in the line of one budget.
type Waiter struct {
	wake  func()
	need  int64
	place line.Place[Waiter]
}

// NewWaiter returns a waiter that calls wake. That runs on the stack of whoever releases bytes, under whatever
// locks he holds: it must not block.
func NewWaiter(wake func()) *Waiter { return &Waiter{wake: wake} }

// waitingLine is who waits for room, first come, first told.
type waitingLine struct {
	mu      sync.Mutex
	waiters line.Line[Waiter]
}

// Await puts w in line for n bytes; one that is in line already stays where it is. It is told once, when so many
// bytes are free, and has to try again: others may have been faster. To miss nothing, it tries once more
// after Await.
func (b *Budget) Await(w *Waiter, n int64) {
	l := &b.line
	l.mu.Lock()
	defer l.mu.Unlock()
	w.need = n
	if w.place.Taken() {
		return
	}
	l.waiters.Append(&w.place, w)
	b.waiting.Add(1)
}

// Leave takes w out of the line, if it is there. Who was told leaves, too, when he has tried: what he did not take
// is for others.
func (b *Budget) Leave(w *Waiter) {
	b.line.mu.Lock()
	b.remove(w)
	b.line.mu.Unlock()
	if b.waiting.Load() > 0 {
		b.tell()
	}
}

// remove takes w out of the line. It runs under the line's mutex.
func (b *Budget) remove(w *Waiter) {
	if w.place.Taken() {
		b.line.waiters.Remove(&w.place)
		b.waiting.Add(-1)
	}
}

// tell wakes those in front for whom there is room, as long as there is room for all of them.
func (b *Budget) tell() {
	used := b.used.Load()
	for {
		b.line.mu.Lock()
		w := b.line.waiters.First()
		if w == nil || used+w.need > b.most(w.need) {
			b.line.mu.Unlock()
			return
		}
		used += w.need
		b.remove(w)
		b.line.mu.Unlock()
		w.wake()
	}
}
