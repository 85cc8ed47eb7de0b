package slab

import "sync/atomic"

const (
	// smallBody is what has a part of the limit for itself, one in spare: clients whose large messages fill the
	// budget, and who then take nothing of the answers, would otherwise have everybody else refused.
	smallBody = 64 << 10
	spare     = 8
)

// Budget counts bytes in flight against a limit. New bodies ask it ([Budget.TryReserve]); what follows
// from a body that was let in is charged and never waits, so nothing waits while it holds.
type Budget struct {
	limit   atomic.Int64
	used    atomic.Int64
	small   atomic.Int64 // of those in use, in pieces of smallBody and less
	waiting atomic.Int32 // how many are in line
	line    waitingLine
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

// most is what may be in use with n more bytes. Large bodies leave the half that answers as large as they are will
// take; one that needs more than that may have all of it.
func (b *Budget) most(n int64) int64 {
	limit := b.limit.Load()
	if n <= smallBody || n > limit/2 {
		return limit
	}
	return limit / 2
}

// TryReserve takes n bytes if they fit, and tells whether they did. More than 64 KiB leave half of the limit to answers,
// which nobody asks. What is smaller has an eighth of the limit even where answers have taken more than there is.
func (b *Budget) TryReserve(n int64) bool {
	limit := b.most(n)
	if n > limit {
		return false
	}
	if b.add(n) <= limit || n <= smallBody && b.small.Load() <= limit/spare {
		return true
	}
	b.add(-n)
	return false
}

// add counts n bytes in, or out if n is negative, and returns how many are in use then.
func (b *Budget) add(n int64) int64 {
	if -smallBody <= n && n <= smallBody {
		b.small.Add(n)
	}
	return b.used.Add(n)
}

// tryHold takes n bytes if as many are left.
func (b *Budget) tryHold(n int64) bool {
	if b.add(n)+n <= b.limit.Load() {
		return true
	}
	b.add(-n)
	return false
}

// Charge takes n bytes whether or not they fit.
func (b *Budget) Charge(n int64) { b.add(n) }

// Release gives n bytes back.
func (b *Budget) Release(n int64) {
	if b.add(-n) < 0 {
		panic("BUG: slab: budget released more than was taken")
	}
	if b.waiting.Load() > 0 {
		b.tell()
	}
}
