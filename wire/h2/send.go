package h2

import (
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// output returns what bytes are appended to. It runs under mu.
func (c *Conn) output() *link.Output {
	if c.mu.out == nil {
		c.mu.out = c.srv.outputs.Take()
	}
	return c.mu.out
}

// full tells whether streams are to wait. The end of a large answer goes along: a write of its own, and what it wakes,
// would cost more. It runs under mu.
func (c *Conn) full() bool {
	most := link.OutputFull
	if c.raw == nil {
		most = link.OutputFullPlain
	}
	if c.mu.out == nil || c.mu.out.Size() < most {
		return false
	}
	first := c.mu.long.first
	return first == nil || c.mu.out.Size()+first.send.body.left > most+most/4
}

// sendQueue holds streams that have something to send, first come, first served.
type sendQueue struct{ first, last *Stream }

// queueOf returns the queue of a stream: those with large answers have one of their own, in which the first stays until
// all of it is sent, so that answers are whole one after the other. The two queues take turns. It runs under mu.
func (c *Conn) queueOf(s *Stream) *sendQueue {
	if s.st.long {
		return &c.mu.long
	}
	return &c.mu.queue
}

func (c *Conn) enqueue(s *Stream) {
	if s.st.queued {
		return
	}
	s.st.queued = true
	s.st.long = s.kind != Streaming && s.send.body.left > link.StreamWindow
	q := c.queueOf(s)
	if q.last == nil {
		q.first = s
	} else {
		q.last.st.next = s
	}
	q.last = s
}

// dequeue takes out the stream whose turn it is. There is one.
func (c *Conn) dequeue() *Stream {
	m := &c.mu
	q := &m.queue
	if m.longNext = !m.longNext; q.first == nil || m.longNext && m.long.first != nil {
		q = &m.long
	}
	s := q.first
	q.first = s.st.next
	if q.first == nil {
		q.last = nil
	}
	s.st.next, s.st.queued = nil, false
	return s
}

// requeue puts a stream back where it was.
func (c *Conn) requeue(s *Stream) {
	q := c.queueOf(s)
	s.st.queued, s.st.next = true, q.first
	q.first = s
	if q.last == nil {
		q.last = s
	}
}

// unqueue takes a stream out, wherever it is.
func (c *Conn) unqueue(s *Stream) {
	if !s.st.queued {
		return
	}
	q := c.queueOf(s)
	var before *Stream
	for at := q.first; at != s; at = at.st.next {
		before = at
	}
	if before == nil {
		q.first = s.st.next
	} else {
		before.st.next = s.st.next
	}
	if q.last == s {
		q.last = before
	}
	s.st.next, s.st.queued = nil, false
}

// pumped is what is left to do, without the mutex, for streams that pump came upon.
type pumped struct {
	over *Stream // to be recycled; linked by next
	idle *Stream // whose messages have all gone, and somebody wants to know; linked by nextIdle
}

// pump turns the queue into frames until the output is full or nothing more may be sent. It runs under mu.
func (c *Conn) pump() (p pumped) {
	m := &c.mu
	if m.ended || m.failed {
		return p
	}
	for (m.queue.first != nil || m.long.first != nil) && !m.peer.Starved && !c.full() {
		s := c.dequeue()
		switch c.sendSome(s) {
		case link.SendMore:
			if s.st.long {
				c.requeue(s)
			} else {
				c.enqueue(s)
			}
		case link.SendStarved:
			c.stuck()
			c.requeue(s)
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
				s.st.next, p.over = p.over, s
			}
		}
	}
	if m.queue.first == nil && m.long.first == nil {
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
	a, out := &s.send, c.output()
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
	case s.length >= 0 && s.length <= link.StreamWindow:
		// The rest fits the window that the client has. It is let finish: some take any reset for a failure.
		return c.passOver(s)
	}
	return c.resetStream(s, frame.NoError)
}
