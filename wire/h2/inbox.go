package h2

import (
	"io"
	"sync"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// inbox is what has come of a stream of messages: the reader fills it, the handler takes from it.
//
//	window -> held -> assembly (Stream.msg) -> whole -> Recv
//
// At most one message is whole and waits. Until it is taken no other one starts: what comes behind it is held
// as it is, and that is never more than the window of a stream. A message that starts gets the slab that it is
// to lie in, and the window for all of it and for what may be held behind it. So a client whose messages are
// not taken has brought in one of them and a window, and can send no more.
//
// A message for which the budget has no room waits with its prefix assembled ([waitingRoom]), and what comes of it is
// held as if another one were whole. Of a unary call, what is held while its message waits is the reader's alone.
//
// The reader assembles, but for what is held, which Recv assembles when it takes the message before: then
// nothing can be under assembly. The slab that the reader has the kernel write to is given back when both
// sides have ended, and no sooner.
type inbox struct {
	mu    sync.Mutex // taken before Conn.mu
	whole slab.List
	full  bool // there is a message in whole
	coded bool // which is compressed
	held  link.Held
	end   int64      // where in the stream the last message that has started ends
	grant bool       // a window was opened since Recv looked
	ended bool       // the client has sent its last byte
	shut  bool       // nothing is taken any more
	err   *CallError // what Recv returns once it has returned what is whole
	wake  chan struct{}

	packed slab.List // what Recv decompresses; its caller's
}

// fail has Recv return err, and drops what comes.
func (b *inbox) fail(err *CallError) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failLocked(err)
}

func (b *inbox) failLocked(err *CallError) {
	if b.err == nil {
		b.err = err
	}
	b.shut = true
	b.held.Release()
	b.signal()
}

// close is fail for a stream whose client is gone, or that was answered: what is whole is dropped, too.
func (b *inbox) close(err *CallError) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failLocked(err)
	b.whole.Release()
	b.full = false
}

// refusal returns why the engine refused what the client sends, nil if it did not.
func (b *inbox) refusal() *CallError {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil && b.err.Refused {
		return b.err
	}
	return nil
}

func (b *inbox) signal() {
	if b.wake == nil {
		return
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// reset empties the inbox for its stream's next use.
func (b *inbox) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.whole.Release()
	b.packed.Release()
	b.held.Release()
	b.full, b.coded, b.grant, b.ended, b.shut = false, false, false, false, false
	b.err, b.end = nil, 0
	drainSignal(b.wake)
}

// drainSignal takes what is in a 1-slot channel, which may be nil.
func drainSignal(ch chan struct{}) {
	select {
	case <-ch:
	default:
	}
}

// streamBytes takes bytes of a stream of messages.
func (c *Conn) streamBytes(s *Stream, p []byte) {
	b := &s.inbox
	b.mu.Lock()
	r := s.takeBytes(p)
	partial := s.msg.partial
	b.grant = false // the reader flushes anyway
	b.mu.Unlock()
	if r != nil {
		c.refuse(s, r)
	}
	if partial {
		c.watchBody()
	}
}

// streamDirect takes n bytes that were read to where they belong.
func (s *Stream) streamDirect(n int) {
	b := &s.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	s.msg.N += n
	s.completes()
}

// streamRoom returns where bytes of the message under assembly go, nil if there is none.
func (s *Stream) streamRoom() []byte {
	b := &s.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		return nil
	}
	return s.msg.Room()
}

// streamEnds takes the end of a stream of messages. Once the connection's mutex is free the handler may end it
// at any moment, but it is not reused before its inbox is free.
func (c *Conn) streamEnds(s *Stream) {
	b := &s.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	c.mu.Lock()
	if !s.st.gone {
		s.st.recvDone = true
	}
	c.mu.Unlock()
	b.ended = true
	b.signal()
}

// takeBytes assembles p as far as there is room for a message, and holds the rest. It runs under inbox.mu.
func (s *Stream) takeBytes(p []byte) *callRefusal {
	b := &s.inbox
	for len(p) > 0 && !b.shut {
		if b.full || s.msg.waits {
			if !b.held.Append(s.c.srv.pool, p) {
				return &callMemory
			}
			return nil
		}
		n, r := s.assemble(p)
		if r != nil {
			return r
		}
		p = p[n:]
	}
	return nil
}

// unhold assembles what is held, as far as there is room for a message. It runs under inbox.mu.
func (s *Stream) unhold() *callRefusal {
	b := &s.inbox
	for b.held.Len() > 0 && !b.full && !s.msg.waits && !b.shut {
		n, r := s.assemble(b.held.Bytes())
		if r != nil {
			return r
		}
		b.held.Advance(n)
	}
	return nil
}

// assemble takes bytes for one message and returns how many. It runs under inbox.mu.
func (s *Stream) assemble(p []byte) (n int, r *callRefusal) {
	m := &s.msg
	if !m.Prefixed() {
		if n = m.TakePrefix(p); !m.Prefixed() {
			return n, nil
		}
		if r := s.starts(len(p) - n); r != nil {
			return n, r
		}
	}
	if m.Slab != nil {
		n += m.Take(p[n:])
	}
	s.completes()
	return n, nil
}

// starts makes room for a message whose prefix is there, and so many bytes behind it. It runs under inbox.mu.
func (s *Stream) starts(have int) *callRefusal {
	m := &s.msg
	c := s.c
	size := m.Length()
	if r := c.refusesMessage(s, size); r != nil {
		return r
	}
	m.Size = int(size)
	m.partial = m.Size > have
	b := &s.inbox
	b.end += int64(len(m.Prefix)) + size
	if size > 0 {
		if m.Slab = c.srv.pool.TryGet(m.Size); m.Slab == nil {
			return s.startWaits()
		}
	}
	if c.openWindow(s, b.end, m.partial) {
		b.grant = true
	}
	return nil
}

// startWaits has the message that starts wait for room, if it may. It runs under inbox.mu.
func (s *Stream) startWaits() *callRefusal {
	m, b, c := &s.msg, &s.inbox, s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	have := int64(m.Size) - (b.end - s.st.announced)
	if m.waits = c.waits(s, int64(m.Size), have); !m.waits {
		return &callMemory
	}
	c.poke() // the reader, who waits for room, may be another
	return nil
}

// startsLate gives the message that waits its place, and goes on with what is held. The reader calls it.
func (s *Stream) startsLate(place *slab.Slab) *callRefusal {
	m, b := &s.msg, &s.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.waits = false; b.shut {
		place.Release()
		return nil
	}
	m.Slab = place
	s.c.openWindow(s, b.end, true)
	return s.unhold()
}

// completes moves the message under assembly to where Recv finds it, if it is whole. It runs under inbox.mu.
func (s *Stream) completes() {
	m, b := &s.msg, &s.inbox
	if !m.Complete() || b.shut {
		return
	}
	if m.Slab != nil {
		b.whole.AppendOwned(m.Slab.View(0, m.Size))
	}
	if m.partial {
		s.c.wholeNow(s)
	}
	b.full, b.coded = true, m.Packed()
	*m = arriving{}
	b.signal()
}

// openWindow lets the client send up to byte end of the stream, where a message ends, and as much behind it as
// may be held. It returns true if there is something to flush.
func (c *Conn) openWindow(s *Stream, end int64, partial bool) bool {
	m, st := &c.mu, &s.st
	m.Lock()
	defer m.Unlock()
	if st.gone || st.recvDone {
		return false
	}
	if st.partial = partial; partial {
		st.partialAt, st.partialMark = c.srv.clock(), st.announced
	}
	may := st.announced + st.RecvWindow // up to where the client may send
	more := end + link.StreamWindow - may
	need := end - may
	if need <= 0 && more < link.StreamStep {
		return false
	}
	st.Widen(s.id, more, &m.out)
	return true
}

// wholeNow notes that the message under assembly has come.
func (c *Conn) wholeNow(s *Stream) {
	c.mu.Lock()
	s.st.partial = false
	c.mu.Unlock()
}

// take moves the message that is whole to dst, or to packed if it is compressed. It runs under inbox.mu.
func (b *inbox) take(dst *slab.List) (coded bool) {
	if b.coded {
		dst = &b.packed
	}
	dst.AppendList(&b.whole)
	b.whole.Release()
	b.full = false
	return b.coded
}

// next waits for a message and takes it. There is something to flush if it returns grant.
func (s *Stream) next(dst *slab.List) (coded, grant bool, err error) {
	b := &s.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.full:
			coded = b.take(dst)
			if r := s.unhold(); r != nil {
				s.c.countRefusal(r)
				b.failLocked(refusedError(r))
			}
			grant, b.grant = b.grant, false
			return coded, grant, nil
		case b.err != nil:
			return false, false, b.err
		case b.ended && s.msg.Head > 0:
			s.c.countRefusal(&callCut)
			b.failLocked(refusedError(&callCut))
			return false, false, b.err
		case b.ended:
			return false, false, io.EOF
		}
		if b.wake == nil {
			b.wake = make(chan struct{}, 1)
		}
		b.mu.Unlock()
		<-b.wake
		b.mu.Lock()
	}
}
