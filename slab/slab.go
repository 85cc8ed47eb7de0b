package slab

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	minShift = 9  // 512 B: below it a slab costs more than what it holds
	maxShift = 23 // 8 MiB: above it sizes are too rare to keep
	classes  = maxShift - minShift + 1

	// From this class on, buffers are kept in a bounded free list of our own: sync.Pool empties
	// itself over two collections, and a fresh megabyte costs seven times what copying one does.
	keptShift = 16

	// oversizeGrain rounds buffers above the largest class.
	oversizeGrain = 1 << 20
)

// Slab is a counted buffer. The zero Slab is not usable; slabs come from a [Pool].
type Slab struct {
	buf   []byte
	pool  *Pool
	refs  atomic.Int32
	class int8 // index of the class; -1: above the largest, never pooled
	debug debugSlab
}

// Bytes returns the whole buffer, at least as long as was asked for, its content undefined.
func (s *Slab) Bytes() []byte {
	s.debug.check(s)
	return s.buf
}

// View returns bytes off to off+n as a view that shares the caller's reference.
func (s *Slab) View(off, n int) View {
	s.debug.check(s)
	return View{B: s.buf[off : off+n : off+n], S: s}
}

// Retain adds a reference.
func (s *Slab) Retain() {
	if s.refs.Add(1) <= 1 {
		panic("BUG: slab: retained after release")
	}
}

// Release drops a reference; the last one gives the buffer back to its pool.
func (s *Slab) Release() {
	switch n := s.refs.Add(-1); {
	case n > 0:
	case n == 0:
		s.pool.put(s)
	default:
		panic("BUG: slab: released twice")
	}
}

// Options configures a Pool.
type Options struct {
	// Keep bounds the bytes held in the free lists of large buffers (64 KiB and up). Default half of the
	// budget's limit, and at least 64 MiB: a fresh megabyte costs seven times what copying one does, and as
	// much as was in flight will be again. More keeps bursts of large tensors from allocating, and holds the
	// memory. Above 64 MiB, what is kept gives way to what is in use: together they stay within the limit.
	Keep int64
}

// keepAlways is what the free lists may hold whatever the budget's limit.
const keepAlways = 64 << 20

// Pool hands out slabs of power-of-two classes, dirty, and charges them to one budget.
type Pool struct {
	// Immutable after New.
	opts   Options
	budget *Budget

	small [keptShift - minShift]sync.Pool

	kept struct {
		sync.Mutex
		free  [maxShift - keptShift + 1][]*Slab
		bytes int64
	}

	debug debugPool
}

// NewPool returns a pool that charges budget.
func NewPool(opts Options, budget *Budget) *Pool {
	return &Pool{opts: opts, budget: budget}
}

// Budget returns the budget that the pool charges.
func (p *Pool) Budget() *Budget { return p.budget }

// Get returns a slab of at least n bytes with one reference, the caller's. It charges the budget and
// never waits or refuses: it is for what has already been let in (decoded tensors, answers).
func (p *Pool) Get(n int) *Slab {
	class, size := classOf(n)
	p.budget.Charge(int64(size))
	return p.take(class, size)
}

// TryGet is Get for bytes that ask to be let in (new bodies): it returns nil if they do not fit the
// budget now.
func (p *Pool) TryGet(n int) *Slab {
	class, size := classOf(n)
	if !p.budget.TryReserve(int64(size)) {
		return nil
	}
	return p.take(class, size)
}

// TryHold is TryGet for the beginning of what waits for room. It takes no more than half of what is left, so that
// however many wait, small bodies are let in.
func (p *Pool) TryHold(n int) *Slab {
	class, size := classOf(n)
	if !p.budget.tryHold(int64(size)) {
		return nil
	}
	return p.take(class, size)
}

// SizeOf returns how many bytes a slab of at least n bytes takes from the budget.
func SizeOf(n int) int {
	_, size := classOf(n)
	return size
}

// classOf returns the class of n bytes and the size of its buffers.
func classOf(n int) (class int8, size int) {
	if n < 0 {
		panic("BUG: slab: negative size")
	}
	if n > 1<<maxShift {
		return -1, (n + oversizeGrain - 1) / oversizeGrain * oversizeGrain
	}
	if n <= 1<<minShift {
		return 0, 1 << minShift
	}
	shift := bits.Len(uint(n - 1))
	return int8(shift - minShift), 1 << shift
}

func (p *Pool) take(class int8, size int) *Slab {
	s := p.reuse(class)
	if s == nil {
		s = &Slab{buf: make([]byte, size), pool: p, class: class}
	}
	s.refs.Store(1)
	p.debug.taken(s)
	return s
}

func (p *Pool) reuse(class int8) *Slab {
	switch {
	case class < 0:
		return nil
	case class < keptShift-minShift:
		s, _ := p.small[class].Get().(*Slab)
		return s
	}
	p.kept.Lock()
	defer p.kept.Unlock()
	free := &p.kept.free[class-(keptShift-minShift)]
	n := len(*free)
	if n == 0 {
		p.giveWay()
		return nil
	}
	s := (*free)[n-1]
	(*free)[n-1] = nil
	*free = (*free)[:n-1]
	p.kept.bytes -= int64(len(s.buf))
	return s
}

// giveWay drops kept buffers while they and what is in use are more than the budget's limit: a fresh one is about
// to be made. It runs under the lock of kept.
func (p *Pool) giveWay() {
	for class := range p.kept.free {
		free := &p.kept.free[class]
		for len(*free) > 0 && p.kept.bytes > keepAlways && p.kept.bytes+p.budget.InUse() > p.budget.Limit() {
			n := len(*free) - 1
			p.kept.bytes -= int64(len((*free)[n].buf))
			(*free)[n] = nil
			*free = (*free)[:n]
		}
	}
}

// keep is how much may be kept now.
func (p *Pool) keep() int64 {
	if p.opts.Keep > 0 {
		return p.opts.Keep
	}
	return max(keepAlways, p.budget.Limit()/2)
}

func (p *Pool) put(s *Slab) {
	p.debug.released(s)
	size := int64(len(s.buf))
	p.recycle(s, size)
	p.budget.Release(size)
}

func (p *Pool) recycle(s *Slab, size int64) {
	switch {
	case s.class < 0:
		return
	case s.class < keptShift-minShift:
		p.small[s.class].Put(s)
		return
	}
	p.kept.Lock()
	defer p.kept.Unlock()
	if p.kept.bytes+size > p.keep() {
		return
	}
	free := &p.kept.free[s.class-(keptShift-minShift)]
	*free = append(*free, s)
	p.kept.bytes += size
}

// Leaks returns one stack for each slab that is still out. It knows them only with the build tag
// sluicedebug; [Budget.InUse] tells that there are any in every build.
func (p *Pool) Leaks() []string { return p.debug.leaks() }
