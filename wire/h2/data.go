package h2

import (
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// dataFrame takes the head of a DATA frame.
func (c *Conn) dataFrame(h frame.Head) *link.Fault {
	if f := c.admitData(h); f != nil {
		return f
	}
	c.consumed(h.Length - c.in.Coming()) // padding and its length
	return nil
}

// admitData finds the stream of a DATA frame and takes the frame from the windows.
func (c *Conn) admitData(h frame.Head) *link.Fault {
	m, left := &c.mu, int64(c.in.Coming())
	c.in.of = nil
	m.Lock()
	defer m.Unlock()
	s := m.streams[h.Stream]
	switch {
	case s == nil && c.unopened(h.Stream):
		return &link.FaultIdleStream
	case s == nil && c.wasReset(h.Stream):
		return nil
	case s == nil:
		m.out.Reset(h.Stream, frame.StreamClosed)
		c.remember(h.Stream)
		return c.budget.SpendReset()
	case s.st.recvDone:
		return c.streamFault(s, frame.StreamClosed)
	}
	back := s.st.Takes(h.Length, h.Length-int(left))
	if s.st.RecvWindow < 0 {
		return c.streamFault(s, frame.FlowControlError)
	}
	if s.length >= 0 && s.total+left > s.length {
		return c.streamFault(s, frame.ProtocolError)
	}
	if back > 0 && !c.in.Ends() {
		m.out.Window(s.id, back)
		if f := c.budget.Spend(); f != nil {
			return f
		}
	}
	s.st.announced += left
	m.turns.Came(&s.st.Inflow, left, &m.out)
	c.in.of = s
	return nil
}

// streamFault ends a stream that breaks the protocol, by the reader, with its watcher told. It runs under mu,
// and leaves it for a moment.
func (c *Conn) streamFault(s *Stream, code frame.Code) *link.Fault {
	s.st.recvDone = true
	if c.in.of == s {
		c.in.of = nil
	}
	l := c.lose(s)
	c.resetStream(s, code)
	c.mu.Unlock()
	c.srv.metrics.parseError(RefusedBody)
	c.tell(l, &refuseBroken)
	c.mu.Lock()
	return c.budget.SpendReset()
}

// consumed gives bytes of the connection's window back.
func (c *Conn) consumed(n int) {
	if back := c.credit.Read(n); back > 0 {
		c.mu.Lock()
		c.mu.out.Window(0, back)
		c.mu.Unlock()
	}
}

// dataBytes takes what there is of a DATA frame.
func (c *Conn) dataBytes() *link.Fault {
	in := &c.in
	if p := in.Chunk(); len(p) > 0 {
		if s := in.of; s != nil {
			s.total += int64(len(p))
			switch {
			case s.kind == Streaming:
				c.streamBytes(s, p)
			case s.grpc:
				c.messageBytes(s, p, in.Coming())
			default:
				c.bodyBytes(s, p)
			}
		}
		c.consumed(len(p))
	}
	over, end := in.Over()
	if !over {
		return nil
	}
	s := in.of
	if in.of = nil; s != nil && end {
		return c.requestEnds(s)
	}
	return nil
}

// messageBytes takes bytes of a gRPC request; after is how much of the frame is still to come.
func (c *Conn) messageBytes(s *Stream, p []byte, after int) {
	m := &s.msg
	for len(p) > 0 && !m.discard {
		if !m.Prefixed() {
			if p = p[m.TakePrefix(p):]; m.Prefixed() {
				c.messageStarts(s, len(p)+after)
			}
			continue
		}
		if m.waits {
			if !s.inbox.held.Append(c.srv.pool, p) {
				c.refuse(s, &callMemory)
			}
			return
		}
		if m.N == m.Size {
			c.refuse(s, &callMany)
			return
		}
		p = p[m.Take(p):]
	}
}

// messageStarts makes room for a message whose length is known: its bytes are taken from the budget now, and
// what the windows do not hold is granted now. coming is how much of it is in this frame.
func (c *Conn) messageStarts(s *Stream, coming int) {
	m := &s.msg
	size := m.Length()
	if r := c.refusesMessage(s, size); r != nil {
		c.refuse(s, r)
		return
	}
	if size == 0 {
		return
	}
	m.Size = int(size)
	if m.Slab = c.srv.pool.TryGet(m.Size); m.Slab != nil {
		c.grantMessage(s, size-int64(coming))
		return
	}
	c.mu.Lock()
	m.waits = c.waits(s, size, int64(coming))
	c.mu.Unlock()
	if !m.waits {
		c.refuse(s, &callMemory)
		c.narrow(1, size)
	}
}

// refusesMessage tells why a message with the prefix in s.msg is not taken.
func (c *Conn) refusesMessage(s *Stream, size int64) *callRefusal {
	switch m := &s.msg; {
	case m.Prefix[0] > 1:
		return &callFlag
	case m.Packed() && s.coding == codec.Identity:
		return &callNotCoded
	case size > c.srv.opts.MaxMessage:
		return &callTooLarge
	}
	return nil
}

// grantMessage lets the client send the n bytes of a message that are not in its first frame, at their turn.
func (c *Conn) grantMessage(s *Stream, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n <= s.st.RecvWindow || s.st.gone || s.st.recvDone {
		return
	}
	c.broaden() // after which the window may be wide enough
	c.mu.turns.Grant(&s.st.Inflow, s.id, n, c.in.now, c.raw, &c.mu.out)
}

// grant lets the client send n more bytes on s.
func (c *Conn) grant(s *Stream, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.st.gone && !s.st.recvDone {
		s.st.Widen(s.id, n-s.st.RecvWindow, &c.mu.out)
	}
}

// requestEnds takes the end of a request.
func (c *Conn) requestEnds(s *Stream) *link.Fault {
	c.mu.Lock()
	if s.st.gone || s.st.sendDone {
		c.mu.Unlock()
		return nil // it is an orphan: answered or reset meanwhile
	}
	if s.length >= 0 && s.total != s.length {
		f := c.streamFault(s, frame.ProtocolError)
		c.mu.Unlock()
		return f
	}
	if s.kind == Streaming {
		c.mu.Unlock()
		c.streamEnds(s)
		return nil
	}
	if !s.grpc {
		// Once the reader is done with it the handler may end it at any moment.
		c.mu.Unlock()
		s.body.end()
		c.mu.Lock()
	}
	if !s.st.gone {
		s.st.recvDone = true
	}
	c.mu.Unlock()
	if s.grpc {
		c.callIsWhole(s)
	}
	return nil
}

// callIsWhole hands a gRPC call on.
func (c *Conn) callIsWhole(s *Stream) {
	m := &s.msg
	switch {
	case m.discard:
		return
	case m.Head == 0:
		c.refuse(s, &callNone)
		return
	case !m.Complete():
		c.refuse(s, &callCut)
		return
	}
	if m.Slab != nil {
		s.message.AppendOwned(m.Slab.View(0, m.Size))
		m.Slab = nil
	}
	c.hold(s)
	if s.kind == Generic || m.Packed() {
		go s.run()
		return
	}
	c.in.called = true
	c.unary(s)
}

// unary calls the handler on the reader's stack, and survives it.
func (c *Conn) unary(s *Stream) {
	gen := s.gen.Load()
	defer func() {
		if p := recover(); p != nil {
			c.srv.panicked("handler panicked", p)
			c.refuseHeld(s, gen, &callPanicked)
		}
	}()
	c.calls.Unary(s)
}

// hold gives the stream to a handler.
func (c *Conn) hold(s *Stream) {
	c.mu.Lock()
	s.st.handler = true
	c.mu.pins++
	c.mu.Unlock()
}
