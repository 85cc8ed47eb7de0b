package h2

import (
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// full tells whether streams are to wait. The end of a large answer goes along: a write of its own, and what it wakes,
// would cost more. It runs under mu.
func (c *Conn) full() bool {
	most := link.OutputFull
	if c.raw == nil {
		most = link.OutputFullPlain
	}
	if c.mu.out.Size() < most {
		return false
	}
	first := c.mu.queues.Long.First()
	return first == nil || c.mu.out.Size()+first.send.body.left > most+most/4
}

// enqueue has a stream send that has something to, if it does not yet. It runs under mu.
func (c *Conn) enqueue(s *Stream) {
	if p := &s.st.place; !p.Taken() {
		c.mu.queues.Append(p, s, s.kind != Streaming && s.send.body.left > link.StreamWindow)
	}
}

// pumped is what is left to do, without the mutex, for streams that pump came upon.
type pumped struct {
	over *Stream // to be recycled; linked by nextOver
	idle *Stream // whose messages have all gone, and somebody wants to know; linked by nextIdle
}

// pump turns the queue into frames until the output is full or nothing more may be sent. It runs under mu.
func (c *Conn) pump() (p pumped) {
	m := &c.mu
	if m.ended || m.failed {
		return p
	}
	for m.queues.Len() > 0 && !m.peer.Starved && !c.full() {
		s := m.queues.Next()
		r := c.sendSome(s)
		m.queues.Sent(&s.st.place, s, r)
		switch r {
		case link.SendStarved:
			c.stuck()
		case link.SendBlocked:
			if s.st.blockedAt == 0 {
				s.st.blockedAt, s.st.sentSince = c.srv.clock(), 0
			}
		case link.SendIdle:
			if c.idle(s) {
				s.st.nextIdle, p.idle = p.idle, s
			}
		case link.SendDone:
			if c.sent(s) {
				s.st.nextOver, p.over = p.over, s
			}
		}
	}
	if m.queues.Len() == 0 {
		m.stuckAt = 0
	}
	return p
}

// stuck notes that nothing moves. It runs under mu.
func (c *Conn) stuck() {
	if c.mu.stuckAt == 0 {
		c.mu.stuckAt, c.mu.sent = c.srv.clock(), 0
	}
}

// sendSome appends the next frames of s: its head, a DATA frame, its trailers.
func (c *Conn) sendSome(s *Stream) link.SendResult {
	m, a := &c.mu, &s.send
	if !a.headSent {
		a.headSent = true
		c.appendHead(s)
	}
	if a.body.left > 0 {
		n, why := m.peer.Takes(&s.st.Outflow, a.body.left)
		if n == 0 {
			return why
		}
		s.st.sentSince += int64(n)
		m.sent += int64(n)
		if n >= link.SmallData {
			m.good++
		}
		if c.appendData(s, n); a.body.left > 0 {
			return link.SendMore
		}
	}
	if !a.last {
		return link.SendIdle
	}
	switch {
	case a.trailers:
		c.appendTrailers(s)
	case !a.only && !a.ended: // the parts of it had all gone when it was over
		c.appendData(s, 0)
	}
	return link.SendDone
}

// appendData appends a DATA frame of n bytes of the answer.
func (c *Conn) appendData(s *Stream, n int) {
	a, out := &s.send, c.mu.out.Open()
	h := frame.Head{Length: n, Type: frame.Data, Stream: s.id}
	if n == a.body.left && a.last && !a.trailers {
		h.Flags, a.ended = frame.EndStream, true
	}
	out.B = frame.AppendHead(out.B, h)
	a.body.move(out, n, c.raw != nil)
}

// sent closes our side of s. It returns true if the caller is to recycle s. It runs under mu.
func (c *Conn) sent(s *Stream) bool {
	s.st.sendDone = true
	s.send.release()
	c.mu.good++
	switch {
	case s.st.recvDone:
		return c.drop(s)
	case s.length >= 0 && s.length-s.st.announced <= min(s.st.RecvWindow, link.StreamWindow):
		// The rest fits the window that the client has. It is let finish: some take any reset for a failure.
		return c.passOver(s)
	}
	return c.resetStream(s, frame.NoError)
}
