package h2client

import (
	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// incoming is the answer of a call with Messages, as far as it was not handed on: a message that is being
// assembled in the stream's assembly, or one that is whole and waits to be pulled, and then the bytes behind
// it. It belongs to the reader.
type incoming struct {
	whole bool      // ahead is a message
	ahead slab.List // the inflater's while inflating is set
	held  link.Held // what came behind it; the window of the stream bounds it
	given bool      // the call has the head
}

// resume has the reader look at a stream: a message was pulled that waits, or inflated, or there is room for
// more of its request. It runs under mu.
func (c *Conn) resume(s *stream) {
	m := &c.mu
	if s.resumed {
		return
	}
	s.resumed = true
	m.resumes = append(m.resumes, s)
	if m.resting {
		m.resting = false
		c.poke()
	}
}

// resumed looks at a stream for which resume was called.
func (c *Conn) resumed(s *stream) {
	m := &c.mu
	m.Lock()
	s.resumed = false
	call := s.call
	emptied := call != nil && s.emptied && !call.sends.closed
	s.emptied, s.telling = false, emptied
	m.Unlock()
	if call == nil {
		return
	}
	if emptied {
		c.in.told = true
		if !c.tell(s, call, nil) {
			return
		}
	}
	if s.many {
		c.advance(s)
	}
}

// streamBytes takes bytes of an answer of many messages.
func (c *Conn) streamBytes(s *stream, p []byte) {
	in := &s.in
	if in.whole { // nothing is before its turn otherwise
		in.held.AppendAnyway(c.client.pool, p)
		return
	}
	for len(p) > 0 {
		n, ok := c.assemble(s, p)
		p = p[n:]
		switch {
		case !ok:
			return
		case !s.msg.Complete():
		case !c.wholeMessage(s):
			if c.in.of == s && len(p) > 0 {
				in.held.AppendAnyway(c.client.pool, p)
			}
			return
		}
	}
}

// assemble takes bytes for the message that is being assembled and returns how many. ok is false if the message is
// refused: the stream is gone then.
func (c *Conn) assemble(s *stream, p []byte) (n int, ok bool) {
	m := &s.msg
	if m.Prefixed() {
		return m.Take(p), true
	}
	if n = m.TakePrefix(p); m.Prefixed() {
		return n, c.nextStarts(s, len(p)-n)
	}
	return n, true
}

// nextStarts makes room for a message; behind is how many bytes there are behind its prefix. It returns false if
// the message is refused: the stream is gone then.
func (c *Conn) nextStarts(s *stream, behind int) bool {
	m := &s.msg
	size := m.Length()
	if v := c.checkPrefix(s, size); v != nil {
		c.fail(s, v, frame.Cancel)
		return false
	}
	if size > 0 {
		m.Slab = c.client.pool.Get(int(size))
		m.Size = int(size)
	}
	if c.in.of == s {
		behind += c.in.Coming()
	}
	c.grantNext(s, size-int64(behind))
	return true
}

// grantNext grants the n bytes of a message that are still to come (less than zero: so many came behind it),
// and what a stream may send before its message is known, for the next. So the server may be one message and
// that much ahead of what was pulled; small messages do not cost a frame each.
func (c *Conn) grantNext(s *stream, n int64) {
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	if s.call == nil || s.ended {
		return
	}
	more := min(n+link.StreamWindow, frame.LargestWindow) - s.RecvWindow
	if more < link.StreamStep && n <= s.RecvWindow {
		return
	}
	s.Widen(s.id, more, &m.out)
}

// wholeMessage takes the message that is assembled, and hands it on if it was pulled. It returns whether it was, and
// the stream is still there.
func (c *Conn) wholeMessage(s *stream) bool {
	m := &s.msg
	packed := m.Packed()
	s.in.whole = true
	if m.Slab != nil {
		s.in.ahead.AppendOwned(m.Slab.View(0, m.Size))
	}
	s.msg = grpc.Assembly{}
	switch {
	case !packed:
	case s.in.ahead.Size() > inlineInflate:
		c.inflateAhead(s)
		return false
	default:
		if v := c.inflateMessage(&s.in.ahead, s.coding); v != nil {
			c.fail(s, v, frame.Cancel)
			return false
		}
	}
	return c.deliver(s)
}

// inflateAhead has a goroutine decompress the message that is whole.
func (c *Conn) inflateAhead(s *stream) {
	m := &c.mu
	m.Lock()
	s.inflating = true
	m.pins++
	m.Unlock()
	go func() {
		defer c.unpin()
		v := c.inflateMessage(&s.in.ahead, s.coding)
		m.Lock()
		defer m.Unlock()
		s.inflating, s.inflated = false, v
		switch {
		case s.call != nil:
			c.resume(s)
		case m.gone: // and left it to us
			c.client.recycle(s)
		default:
			c.poke()
		}
	}()
}

// deliver hands the message that is whole on if it was pulled, and fails the call if it could not be decompressed.
// It returns whether it was handed on, and the stream is still there.
func (c *Conn) deliver(s *stream) bool {
	m := &c.mu
	m.Lock()
	call, failed := s.call, s.inflated
	s.waiting = !s.wanted && !s.inflating && failed == nil
	if call == nil || s.waiting || s.inflating {
		m.Unlock()
		return false
	}
	if failed != nil {
		m.Unlock()
		c.fail(s, failed, frame.Cancel)
		return false
	}
	s.wanted, s.telling = false, true
	m.good++
	m.Unlock()
	if !s.in.given {
		s.in.given = true
		call.HTTPStatus = s.http
		call.head, s.head = s.head, call.head
	}
	s.in.whole = false
	c.in.called = true
	return c.tell(s, call, &s.in.ahead)
}

// tell hands a message on, or that there is room if there is none, and survives whoever is told. It returns
// false if the call has ended meanwhile.
func (c *Conn) tell(s *stream, call *Call, message *slab.List) bool {
	sane := c.told(call, message)
	if message != nil {
		message.Release()
	}
	m := &c.mu
	m.Lock()
	s.telling = false
	over := s.call == nil
	m.Unlock()
	switch {
	case over: // somebody cancelled, and left telling so to us
		call.over(c.drainer)
		return false
	case !sane:
		c.fail(s, &verdictPanicked, frame.Cancel)
		return false
	}
	return true
}

// told tells, and returns false if whoever is told panicked.
func (c *Conn) told(call *Call, message *slab.List) (sane bool) {
	defer func() {
		if p := recover(); p != nil {
			c.client.log.Error("taking a message panicked", zap.String("panic", wire.PanicText(p)), zap.Stack("stack"))
		}
	}()
	if message == nil {
		call.Room.Emptied(call, c.drainer)
	} else {
		call.Messages.Message(call, message, c.drainer)
	}
	return true
}

// advance hands on what there is of an answer, as far as it was pulled, and its end.
func (c *Conn) advance(s *stream) {
	in := &s.in
	for {
		if in.whole && !c.deliver(s) {
			return
		}
		for b := in.held.Bytes(); len(b) > 0 && !s.msg.Complete(); b = in.held.Bytes() {
			n, ok := c.assemble(s, b)
			if !ok {
				return
			}
			in.held.Advance(n)
		}
		if !s.msg.Complete() {
			break
		}
		if !c.wholeMessage(s) {
			return
		}
	}
	c.mu.Lock()
	ended := s.ended && s.call != nil
	c.mu.Unlock()
	if ended {
		c.conclude(s)
	}
}

// streamEnds takes the end of an answer of many messages. Some may have to be pulled before it is told.
func (c *Conn) streamEnds(s *stream) {
	m := &c.mu
	m.Lock()
	if s.call == nil {
		m.Unlock()
		return
	}
	s.ended = true
	if !s.sendDone { // the rest of the request is of no use
		c.dropRequest(s)
		s.sendDone = true
		c.appendReset(s.id, frame.NoError)
	}
	m.Unlock()
	c.advance(s)
}

// conclude ends a call whose messages were handed on.
func (c *Conn) conclude(s *stream) {
	status, ok := readStatus(&s.trailer)
	switch {
	case !ok:
		c.fail(s, &verdictNoStatus, frame.NoError)
		return
	case status == grpc.OK && s.msg.Head > 0:
		c.fail(s, &verdictShort, frame.NoError)
		return
	}
	call := c.finish(s, frame.NoError)
	if call == nil {
		return
	}
	c.hand(call, s)
	if call.Status = status; status != grpc.OK {
		call.readError()
	}
	c.recycle(s)
	call.over(c.drainer)
}
