package infer

import (
	"math/bits"
	"sync"
	"time"
)

const (
	tickShift    = 20   // a bucket is 2^20 ns, 1.05 ms: shifting rounds down on both sides of zero
	wheelBuckets = 4096 // one revolution is 4.3 s; later deadlines stay for another
	expiryShards = 4
	never        = int64(1<<63 - 1)
)

// Expiry owns all deadlines of calls: shards of wheels of 1 ms buckets, linked through the calls. It is
// older than any generation. Each shard has one goroutine with one timer that sleeps until the next bucket
// in use; nobody else arms a timer for a call.
type Expiry struct {
	shards [expiryShards]expiryShard
	stop   chan struct{}
	wg     sync.WaitGroup
}

type expiryShard struct {
	poke chan struct{} // one slot: a deadline earlier than the timer's was added

	mu struct {
		sync.Mutex
		buckets [wheelBuckets]*Call
		used    [wheelBuckets / 64]uint64 // which buckets hold calls
		swept   int64                     // the last tick whose bucket was looked at
		wake    int64                     // when the timer fires
	}

	// Owned by the shard's goroutine.
	due []dueCall
}

type dueCall struct {
	call  *Call
	epoch uint64
}

// NewExpiry starts an expiry. Close ends it.
func NewExpiry() *Expiry {
	x := &Expiry{stop: make(chan struct{})}
	now := Now()
	for i := range x.shards {
		s := &x.shards[i]
		s.poke = make(chan struct{}, 1)
		s.mu.swept, s.mu.wake = now>>tickShift, never
		x.wg.Go(func() { s.run(x.stop) })
	}
	return x
}

// Close stops the goroutines. Calls that are linked still unlink themselves as they finish.
func (x *Expiry) Close() {
	close(x.stop)
	x.wg.Wait()
}

// Add arms the deadline of the call that lives the life epoch. It does nothing if that life is done: the
// caller may have lost the call to a finish on another goroutine.
func (x *Expiry) Add(c *Call, epoch uint64, deadline int64) {
	s := &x.shards[c.shard%expiryShards]
	s.mu.Lock()
	w := c.word.Load()
	if w>>phaseBits != epoch || Phase(w&phaseMask) == Done {
		s.mu.Unlock()
		return
	}
	// A deadline in a tick that was swept goes to the next one to be looked at.
	at := max((deadline+1<<tickShift-1)>>tickShift, s.mu.swept+1)
	s.link(c, at, deadline)
	early := at<<tickShift < s.mu.wake
	if early {
		s.mu.wake = at << tickShift
	}
	s.mu.Unlock()
	if early {
		select {
		case s.poke <- struct{}{}:
		default:
		}
	}
}

func (x *Expiry) remove(c *Call) {
	s := &x.shards[c.shard%expiryShards]
	s.mu.Lock()
	if c.wheel.linked {
		s.unlink(c)
	}
	s.mu.Unlock()
}

// link and unlink need the shard's lock.
func (s *expiryShard) link(c *Call, at, deadline int64) {
	i := at & (wheelBuckets - 1)
	head := s.mu.buckets[i]
	c.wheel.prev, c.wheel.next = nil, head
	c.wheel.bucket, c.wheel.deadline, c.wheel.linked = int32(i), deadline, true
	if head != nil {
		head.wheel.prev = c
	}
	s.mu.buckets[i] = c
	s.mu.used[i/64] |= 1 << (i % 64)
}

func (s *expiryShard) unlink(c *Call) {
	i := c.wheel.bucket
	if c.wheel.prev != nil {
		c.wheel.prev.wheel.next = c.wheel.next
	} else {
		s.mu.buckets[i] = c.wheel.next
		if c.wheel.next == nil {
			s.mu.used[i/64] &^= 1 << (i % 64)
		}
	}
	if c.wheel.next != nil {
		c.wheel.next.wheel.prev = c.wheel.prev
	}
	c.wheel.prev, c.wheel.next, c.wheel.linked = nil, nil, false
}

func (s *expiryShard) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := Now()
		wake := s.sweep(now)
		var burst Burst
		burst.Now = now
		for i, d := range s.due {
			s.due[i] = dueCall{}
			d.call.expire(d.epoch, &burst)
		}
		s.due = s.due[:0]
		burst.Flush()
		if wake == never {
			timer.Stop()
		} else {
			timer.Reset(time.Duration(max(wake-Now(), 0)))
		}
		select {
		case <-timer.C:
		case <-s.poke:
		case <-stop:
			return
		}
	}
}

// sweep unlinks the calls that are due into s.due and returns when to look next.
func (s *expiryShard) sweep(now int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := now >> tickShift
	from := max(s.mu.swept+1, last-wheelBuckets+1)
	for t := from; t <= last; t++ {
		i := t & (wheelBuckets - 1)
		if s.mu.used[i/64]>>(i%64) == 0 {
			t |= 63 // no bucket in use in the rest of this word
			continue
		}
		for c := s.mu.buckets[i]; c != nil; {
			next := c.wheel.next
			if c.wheel.deadline <= now {
				s.unlink(c)
				s.due = append(s.due, dueCall{c, c.Epoch()})
			}
			c = next
		}
	}
	s.mu.swept = max(s.mu.swept, last)
	s.mu.wake = s.nextUse(s.mu.swept + 1)
	return s.mu.wake
}

// nextUse returns the time of the first bucket in use at or after tick t, or never.
func (s *expiryShard) nextUse(t int64) int64 {
	for n := int64(0); n <= wheelBuckets; {
		i := (t + n) & (wheelBuckets - 1)
		if word := s.mu.used[i/64] >> (i % 64); word != 0 {
			return (t + n + int64(bits.TrailingZeros64(word))) << tickShift
		}
		n += 64 - i%64
	}
	return never
}
