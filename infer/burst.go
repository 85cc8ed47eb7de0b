package infer

// Flusher is a connection that has bytes to send. Flush sends them without blocking.
type Flusher interface{ Flush() }

// burstConns is how many connections a burst remembers; one more flushes the first.
const burstConns = 8

// Burst carries the work of one wake-up through the layers, so that each connection is flushed once: a
// reader that drains eight answers finishes eight calls, and flushing each would cost six times as much.
// Whoever made the burst flushes it. It belongs to one goroutine. A nil burst flushes at once.
type Burst struct {
	// Now is the clock when the burst began: good enough for all stamps of its work.
	Now int64

	n     int
	conns [burstConns]Flusher
}

// Begin starts a burst now.
func (b *Burst) Begin() { b.Now = Now() }

// Clock returns the burst's time, or the clock's for a nil burst.
func (b *Burst) Clock() int64 {
	if b == nil || b.Now == 0 {
		return Now()
	}
	return b.Now
}

// Mark notes that f has bytes to send.
func (b *Burst) Mark(f Flusher) {
	if b == nil {
		f.Flush()
		return
	}
	for i := range b.n {
		if b.conns[i] == f {
			return
		}
	}
	if b.n < burstConns {
		b.conns[b.n] = f
		b.n++
		return
	}
	first := b.conns[0]
	copy(b.conns[:], b.conns[1:])
	b.conns[burstConns-1] = f
	first.Flush()
}

// Flush sends what was marked.
func (b *Burst) Flush() {
	if b == nil {
		return
	}
	for i := range b.n {
		f := b.conns[i]
		b.conns[i] = nil
		f.Flush()
	}
	b.n = 0
}
