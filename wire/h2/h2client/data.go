package h2client

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
	m := &c.mu
	c.in.of = nil
	m.Lock()
	s := c.find(h.Stream)
	if s == nil {
		idle := c.idle(h.Stream)
		m.Unlock()
		switch {
		case idle:
			return &link.FaultIdleStream
		case h.Length >= link.SmallData:
			return nil // of a large answer that was given up while it was on its way
		}
		return c.budget.Spend()
	}
	s.touched = true
	var f *link.Fault
	if back := s.Takes(h.Length, h.Length-c.in.Coming()); back > 0 && !c.in.Ends() {
		m.out.Window(s.id, back)
		f = c.budget.Spend()
	}
	m.turns.Came(&s.Inflow, int64(c.in.Coming()), &m.out)
	over := s.RecvWindow < 0
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
func (c *Conn) idle(id uint32) bool { return id%2 == 0 || id >= c.mu.nextID }

// consumed gives bytes of the connection's window back.
func (c *Conn) consumed(n int) {
	if back := c.credit.Read(n); back > 0 {
		c.mu.Lock()
		c.mu.out.Window(0, back)
		c.mu.Unlock()
	}
}

// dataBytes takes what there is of a DATA frame.
func (c *Conn) dataBytes() {
	in := &c.in
	if p := in.Chunk(); len(p) > 0 {
		if in.of != nil {
			c.messageBytes(in.of, p, in.Coming())
		}
		c.consumed(len(p))
	}
	over, end := in.Over()
	if !over {
		return
	}
	s := in.of
	if in.of = nil; s != nil && end {
		c.fail(s, &verdictCut, frame.NoError)
	}
}

// messageBytes takes bytes of an answer; after is how much of the frame is still to come.
func (c *Conn) messageBytes(s *stream, p []byte, after int) {
	if s.many {
		c.streamBytes(s, p)
		return
	}
	m := &s.msg
	for len(p) > 0 && c.in.of != nil {
		if !m.Prefixed() {
			if p = p[m.TakePrefix(p):]; m.Prefixed() {
				c.messageStarts(s, len(p)+after)
			}
			continue
		}
		if m.N == m.Size {
			c.fail(s, &verdictMany, frame.Cancel)
			return
		}
		p = p[m.Take(p):]
	}
}

// messageStarts makes room for a message whose length is known, and grants what the windows do not hold of
// it. coming is how much of it is in this frame.
func (c *Conn) messageStarts(s *stream, coming int) {
	m := &s.msg
	size := m.Length()
	if v := c.checkPrefix(s, size); v != nil {
		c.fail(s, v, frame.Cancel)
		return
	}
	if size == 0 {
		return
	}
	m.Slab = c.client.pool.Get(int(size))
	m.Size = int(size)
	c.grant(s, size-int64(coming))
}

// checkPrefix returns what is wrong with the prefix of a message, nil if nothing is.
func (c *Conn) checkPrefix(s *stream, size int64) *verdict {
	switch m := &s.msg; {
	case m.Prefix[0] > 1:
		return &verdictFlag
	case m.Packed() && (s.coding == codec.Identity || !s.coded):
		return &verdictCoding
	case size > c.client.opts.MaxMessage:
		return &verdictTooLarge
	}
	return nil
}

// grant lets the server send the n bytes of a message that are not in its first frame.
func (c *Conn) grant(s *stream, n int64) {
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	if s.call != nil {
		m.turns.Grant(&s.Inflow, s.id, n, c.in.now, c.raw, &m.out)
	}
}
