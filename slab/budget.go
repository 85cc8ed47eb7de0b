package slab

import "sync/atomic"

// Budget counts bytes in flight against a limit. New bodies ask it ([Budget.TryReserve]); what follows
// from a body that was let in is charged and never waits, so nothing waits while it holds.
type Budget struct {
	limit   atomic.Int64
	used    atomic.Int64
	waiting atomic.Int32 // how many are in line
	line    line
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget {
	b := &Budget{}
	b.limit.Store(limit)
	return b
}

// Limit returns the limit in bytes.
func (b *Budget) Limit() int64 { return b.limit.Load() }

// SetLimit changes the limit. What is in use stays; a lower limit refuses until enough has gone.
func (b *Budget) SetLimit(n int64) {
	b.limit.Store(n)
	b.tell()
}

// InUse returns the bytes that are out now. It is zero when nothing is in flight.
func (b *Budget) InUse() int64 { return b.used.Load() }

// TryReserve takes n bytes if they fit, and tells whether they did.
func (b *Budget) TryReserve(n int64) bool {
	limit := b.limit.Load()
	if n > limit {
		return false
	}
	if b.used.Add(n) <= limit {
		return true
	}
	b.used.Add(-n)
	return false
}

// Charge takes n bytes whether or not they fit.
func (b *Budget) Charge(n int64) { b.used.Add(n) }

// Release gives n bytes back.
func (b *Budget) Release(n int64) {
	if b.used.Add(-n) < 0 {
		panic("BUG: slab: budget released more than was taken")
	}
	if b.waiting.Load() > 0 {
		b.tell()
	}
}
