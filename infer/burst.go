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

	// What Start and Started keep.
	starting    bool
	first, last *Batch
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

// Marked tells whether there is something to flush.
func (b *Burst) Marked() bool { return b != nil && b.n > 0 }

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

// Start asks whether the caller is to start b now, which is so unless batches are being started further down
// on this goroutine's stack: a runner that finishes inside Run would pile up a frame for every batch that
// waits. Whoever is told yes goes on with what Started returns.
func (b *Burst) Start(batch *Batch) bool {
	if !b.starting {
		b.starting = true
		return true
	}
	if b.first == nil {
		b.first = batch
	} else {
		b.last.next = batch
	}
	b.last = batch
	return false
}

// Started returns the next batch to start, nil if there is none and others may start theirs again.
func (b *Burst) Started() *Batch {
	batch := b.first
	if batch == nil {
		b.starting = false
		return nil
	}
	b.first, batch.next = batch.next, nil
	return batch
}
