package h2

import (
	"encoding/binary"

	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// dataFrame takes the head of a DATA frame.
func (c *ClientConn) dataFrame(h frame.Head) *fault {
	if f := c.admitData(h); f != nil {
		return f
	}
	c.consumed(h.Length - c.in.coming()) // padding and its length
	return nil
}

// admitData finds the stream of a DATA frame and takes the frame from the windows.
func (c *ClientConn) admitData(h frame.Head) *fault {
	m := &c.mu
	c.in.of = nil
	m.Lock()
	s := c.find(h.Stream)
	if s == nil {
		idle := c.idle(h.Stream)
		m.Unlock()
		switch {
		case idle:
			return &faultIdleStream
		case h.Length >= smallData:
			return nil // of a large answer that was given up while it was on its way
		}
		return c.budget.spend()
	}
	s.touched = true
	var f *fault
	if back := s.takes(h.Length, h.Length-c.in.coming()); back > 0 && !c.in.ends() {
		out := c.output()
		out.b = frame.AppendWindow(out.b, s.id, back)
		f = c.budget.spend()
	}
	m.turns.came(&s.inflow, int64(h.Length), c.output)
	over := s.recvWindow < 0
	m.Unlock()
	switch {
	case over:
		c.fail(s, &verdictWindow, frame.FlowControlError)
	case !s.answered:
		c.fail(s, &verdictDataFirst, frame.ProtocolError)
	default:
		c.in.of = s
	}
	return f
}

// idle tells whether a stream was never opened. It runs under mu.
func (c *ClientConn) idle(id uint32) bool { return id%2 == 0 || id >= c.mu.nextID }

// consumed gives bytes of the connection's window back.
func (c *ClientConn) consumed(n int) {
	back := c.credit.read(n)
	if back == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.output()
	out.b = frame.AppendWindow(out.b, 0, back)
}

// dataBytes takes what there is of a DATA frame.
func (c *ClientConn) dataBytes() {
	in := &c.in
	if p := in.chunk(); len(p) > 0 {
		if in.of != nil {
			c.messageBytes(in.of, p, in.coming())
		}
		c.consumed(len(p))
	}
	over, end := in.over()
	if !over {
		return
	}
	s := in.of
	if in.of = nil; s != nil && end {
		c.fail(s, &verdictCut, frame.NoError)
	}
}

// messageBytes takes bytes of an answer; after is how much of the frame is still to come.
func (c *ClientConn) messageBytes(s *clientStream, p []byte, after int) {
	if s.many {
		c.streamBytes(s, p)
		return
	}
	m := &s.msg
	for len(p) > 0 && c.in.of != nil {
		if m.head < len(m.prefix) {
			n := copy(m.prefix[m.head:], p)
			m.head += n
			p = p[n:]
			if m.head == len(m.prefix) {
				c.messageStarts(s, len(p)+after)
			}
			continue
		}
		if m.n == m.size {
			c.fail(s, &verdictMany, frame.Cancel)
			return
		}
		n := copy(m.slab.Bytes()[m.n:m.size], p)
		m.n += n
		p = p[n:]
	}
}

// messageStarts makes room for a message whose length is known, and grants what the windows do not hold of
// it. coming is how much of it is in this frame.
func (c *ClientConn) messageStarts(s *clientStream, coming int) {
	m := &s.msg
	size := int64(binary.BigEndian.Uint32(m.prefix[1:]))
	if v := c.checkPrefix(s, size); v != nil {
		c.fail(s, v, frame.Cancel)
		return
	}
	if size == 0 {
		return
	}
	m.slab = c.client.pool.Get(int(size))
	m.size = int(size)
	c.grant(s, size-int64(coming))
}

// checkPrefix returns what is wrong with the prefix of a message, nil if nothing is.
func (c *ClientConn) checkPrefix(s *clientStream, size int64) *verdict {
	packed := s.msg.prefix[0]
	switch {
	case packed > 1:
		return &verdictFlag
	case packed == 1 && (s.coding == codec.Identity || !s.coded):
		return &verdictCoding
	case size > c.client.opts.MaxMessage:
		return &verdictTooLarge
	}
	return nil
}

// grant lets the server send the n bytes of a message that are not in its first frame.
func (c *ClientConn) grant(s *clientStream, n int64) {
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	more := n - s.recvWindow
	if more <= 0 || s.call == nil || m.turns.wait(&s.inflow, s.id, n, c.in.now, c.raw) {
		return
	}
	s.widened(more)
	out := c.output()
	out.b = frame.AppendWindow(out.b, s.id, uint32(more))
}
