package h2

import (
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
)

// clientStream is what a connection knows of a call.
type clientStream struct {
	// Owned by the reader, once the stream has an id.
	head, trailer hpack.Fields
	answered      bool // a head came that is not merely informational
	http          int
	coding        codec.Coding
	coded         bool // coding was understood
	msg           assembly

	// Guarded by ClientConn.mu.
	id       uint32 // 0: nothing was sent
	call     *Call  // nil: it is over
	touched  bool   // the reader has it, or had
	headIn   uint64 // the output that has its head
	sendDone bool   // all of it is in the output

	sendWindow int64
	recvWindow int64
	reserved   int64 // of the connection's window, what was granted for the message

	prefix          [5]byte
	prefixed        int // bytes of prefix that are in the output
	view, off, sent int // where the message is
	size            int // of the message

	blocked    bool // has data and no window
	queued     bool
	prev, next *clientStream
}

// left returns how many bytes of DATA are still to go.
func (s *clientStream) left() int { return len(s.prefix) - s.prefixed + s.size - s.sent }

// newStream returns a stream for a call.
func (cl *Client) newStream(call *Call) *clientStream {
	s, ok := cl.streams.Get().(*clientStream)
	if !ok {
		s = &clientStream{}
	}
	s.call, s.size = call, call.Message.Size()
	s.prefix = [5]byte{0, byte(s.size >> 24), byte(s.size >> 16), byte(s.size >> 8), byte(s.size)}
	return s
}

// recycle drops what a stream holds and gives it back. Nobody else refers to it.
func (cl *Client) recycle(s *clientStream) {
	if s.msg.slab != nil {
		s.msg.slab.Release()
	}
	head, trailer := s.head, s.trailer
	head.Reset()
	trailer.Reset()
	*s = clientStream{head: head, trailer: trailer}
	cl.streams.Put(s)
}

type addResult uint8

const (
	addRefused addResult = iota
	added
	addedCancelled // it was cancelled before
)

// add queues a call.
func (c *ClientConn) add(call *Call) addResult {
	cl := c.client
	s := cl.newStream(call)
	m := &c.mu
	m.Lock()
	if m.nextID >= lastStream && !m.going {
		m.going = true
		c.open.Store(false)
		c.poke()
	}
	refused := m.going || m.ended || m.failed || c.live.Load() >= c.limit.Load()
	if !refused {
		call.conn.Store(c)
		if !call.cancelled.Load() {
			call.stream = s
			c.live.Add(1)
			c.backlog.Add(int64(s.left()))
			c.enqueue(s)
			m.Unlock()
			return added
		}
	}
	m.Unlock()
	s.call = nil
	cl.recycle(s)
	if refused {
		return addRefused
	}
	return addedCancelled
}

// detach takes the call off a stream, and the stream out of the table; it returns nil if the call was taken
// off before. It runs under mu.
func (c *ClientConn) detach(s *clientStream) *Call {
	call := s.call
	if call == nil {
		return nil
	}
	m := &c.mu
	s.call, call.stream = nil, nil
	c.unqueue(s)
	if s.id != 0 {
		delete(m.streams, s.id)
		m.prepaid += s.reserved
		s.reserved = 0
	}
	c.backlog.Add(-int64(s.left()))
	m.good++
	if c.live.Add(-1) == 0 && (m.going || c.client.closed.Load()) {
		c.poke()
	}
	return call
}

// cancel takes a call off the connection and tells the server. It returns false if the call is over.
func (c *ClientConn) cancel(call *Call) bool {
	m := &c.mu
	m.Lock()
	s := call.stream
	if s == nil || s.call != call {
		m.Unlock()
		return false
	}
	c.detach(s)
	call.Sent = s.id != 0
	if s.id != 0 {
		c.appendReset(s.id, frame.Cancel)
	}
	if s.touched {
		m.orphans = append(m.orphans, s)
		c.poke()
		s = nil
	}
	m.Unlock()
	if s != nil {
		c.client.recycle(s)
	}
	return true
}

// appendReset appends RST_STREAM. It runs under mu.
func (c *ClientConn) appendReset(id uint32, code frame.Code) {
	out := c.output()
	out.b = frame.AppendReset(out.b, id, code)
}
