package h2

import (
	"sync"

	"github.com/sluice-serving/sluice/slab"
)

const (
	firstChunk = 8 << 10
	lastChunk  = 1 << 20
)

// body is the body of a plain request: the reader fills it, the handler's goroutine takes it.
type body struct {
	mu     sync.Mutex
	list   slab.List
	slab   *slab.Slab // being filled; its view is not in list
	used   int
	total  int64
	limit  int64 // once it is wanted
	wanted bool
	done   bool
	failed *refusal
	wake   chan struct{} // 1-slot; made when somebody waits
}

// reset empties the body for its stream's next use.
func (b *body) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	b.total, b.limit = 0, 0
	b.wanted, b.done, b.failed = false, false, nil
	if b.wake != nil {
		select {
		case <-b.wake:
		default:
		}
	}
}

func (b *body) drop() {
	b.list.Release()
	if b.slab != nil {
		b.slab.Release()
		b.slab, b.used = nil, 0
	}
}

// fail has whoever waits for the body get r.
func (b *body) fail(r *refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done || b.failed != nil {
		return
	}
	b.failed = r
	b.drop()
	b.signal()
}

// end takes the end of the body.
func (b *body) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = b.failed == nil
	b.signal()
}

func (b *body) signal() {
	if b.wake == nil {
		return
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// append takes bytes, and returns how many more the client may send on its stream's account.
func (b *body) append(pool *slab.Pool, p []byte) (credit int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed != nil {
		return 0
	}
	b.total += int64(len(p))
	if b.wanted && b.total > b.limit {
		b.failWith(&refuseTooLarge)
		return 0
	}
	for rest := p; len(rest) > 0; {
		if b.slab == nil || b.used == len(b.slab.Bytes()) {
			size := firstChunk
			if b.slab != nil {
				size = min(2*len(b.slab.Bytes()), lastChunk)
			}
			b.closeSlab()
			if b.slab = pool.TryGet(size); b.slab == nil {
				b.failWith(&refuseMemory)
				return 0
			}
		}
		n := copy(b.slab.Bytes()[b.used:], rest)
		b.used += n
		rest = rest[n:]
	}
	if b.wanted {
		return len(p)
	}
	return 0
}

func (b *body) failWith(r *refusal) {
	b.failed = r
	b.drop()
	b.signal()
}

// closeSlab moves what is being filled to the list.
func (b *body) closeSlab() {
	if b.slab == nil {
		return
	}
	if b.used == 0 {
		b.slab.Release()
	} else {
		b.list.AppendOwned(b.slab.View(0, b.used))
	}
	b.slab, b.used = nil, 0
}

// want says that the body is to be read, and up to which size. It makes room for a body of known length, and
// returns what has come so far.
func (b *body) want(pool *slab.Pool, length, limit int64) (total int64, r *refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted, b.limit = true, limit
	if b.wake == nil {
		b.wake = make(chan struct{}, 1)
	}
	switch {
	case b.failed != nil:
		return 0, b.failed
	case b.total > limit:
		b.failWith(&refuseTooLarge)
		return 0, b.failed
	case length <= b.total || b.done:
		return b.total, nil
	}
	s := pool.TryGet(int(length))
	if s == nil {
		b.failWith(&refuseMemory)
		return 0, b.failed
	}
	b.closeSlab()
	n := b.list.CopyTo(s.Bytes())
	b.list.Release()
	b.slab, b.used = s, n
	return b.total, nil
}

// wait waits for the end of the body and moves it to dst.
func (b *body) wait(dst *slab.List) *refusal {
	for {
		b.mu.Lock()
		switch {
		case b.failed != nil:
			defer b.mu.Unlock()
			return b.failed
		case b.done:
			defer b.mu.Unlock()
			b.closeSlab()
			dst.AppendList(&b.list)
			b.list.Release()
			return nil
		}
		b.mu.Unlock()
		<-b.wake
	}
}

// bodyBytes takes bytes of a plain request.
func (c *Conn) bodyBytes(s *Stream, p []byte) {
	credit := s.body.append(c.srv.pool, p)
	if credit > 0 {
		c.creditStream(s, credit)
	}
}
