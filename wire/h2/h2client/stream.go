package h2client

import (
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// stream is what a connection knows of a call.
type stream struct {
	// Owned by the reader, once the stream has an id.
	head, trailer hpack.Fields
	answered      bool // a head came that is not merely informational
	http          int
	coding        codec.Coding
	coded         bool // coding was understood
	msg           grpc.Assembly
	in            incoming // of a call with Messages
	many          bool     // it is one; immutable

	// Guarded by Conn.mu.
	id       uint32 // 0: nothing was sent
	call     *Call  // nil: it is over
	touched  bool   // the reader has it, or had
	headIn   uint64 // the output that has its head
	sendDone bool   // all of it is in the output
	orphan   bool   // it is in orphans

	wanted    bool     // a message was pulled that did not come yet
	waiting   bool     // a message is whole that was not pulled yet
	ended     bool     // the answer is through, and the stream closed; messages may wait
	telling   bool     // the reader tells the caller something: whoever ends the call leaves that to him
	resumed   bool     // it is in resumes
	emptied   bool     // the caller is to be told that there is room
	inflating bool     // in.ahead is the inflater's
	inflated  *verdict // why it failed

	link.Inflow
	link.Outflow

	streaming       bool // the request goes on behind its message; immutable
	body            *slab.List
	current         *outgoing // what body is in, unless it is the call's message
	prefix          [grpc.PrefixSize]byte
	prefixed        int // bytes of prefix that are in the output
	view, off, sent int // where the message is
	size            int // of the message

	place link.Place[stream]
}

// left returns how many bytes of DATA are still to go.
func (s *stream) left() int { return len(s.prefix) - s.prefixed + s.size - s.sent }

// newStream returns a stream for a call.
func (cl *Client) newStream(call *Call) *stream {
	s, ok := cl.streams.Get().(*stream)
	if !ok {
		s = &stream{}
	}
	s.call, s.many, s.streaming, s.wanted = call, call.Messages != nil, call.Streaming, true
	if s.begin(&call.Message); s.streaming && s.size == 0 {
		s.prefixed = len(s.prefix)
	}
	return s
}

// begin has a message be the next to be sent.
func (s *stream) begin(message *slab.List) {
	s.body, s.size = message, message.Size()
	s.prefix = [grpc.PrefixSize]byte{0, byte(s.size >> 24), byte(s.size >> 16), byte(s.size >> 8), byte(s.size)}
	s.prefixed, s.view, s.off, s.sent = 0, 0, 0, 0
}

// recycle drops what a stream holds and gives it back. Nobody else refers to it.
func (cl *Client) recycle(s *stream) {
	if s.msg.Slab != nil {
		s.msg.Slab.Release()
	}
	s.in.ahead.Release()
	s.in.held.Release()
	head, trailer := s.head, s.trailer
	head.Reset()
	trailer.Reset()
	*s = stream{head: head, trailer: trailer}
	cl.streams.Put(s)
}

type addResult uint8

const (
	addRefused addResult = iota
	added
	addedCancelled // it was cancelled before
)

// add queues a call.
func (c *Conn) add(call *Call) addResult {
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
			c.backlog.Add(int64(s.left()) + call.sends.bytes)
			c.enqueue(s)
			m.Unlock()
			return added
		}
		call.sends.drop(cl)
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
func (c *Conn) detach(s *stream) *Call {
	call := s.call
	if call == nil {
		return nil
	}
	m := &c.mu
	c.dropRequest(s)
	m.turns.Gone(&s.Inflow, &m.out)
	s.call, call.stream = nil, nil
	if s.resumed || s.inflating {
		c.orphan(s)
	}
	if s.id != 0 {
		delete(m.streams, s.id)
	}
	m.good++
	if c.live.Add(-1) == 0 && (m.going || c.client.closed.Load()) {
		c.poke()
	}
	return call
}

// orphan leaves a stream that is given up to the reader. It runs under mu.
func (c *Conn) orphan(s *stream) {
	if !s.orphan {
		s.orphan = true
		c.mu.orphans = append(c.mu.orphans, s)
	}
}

// recycle gives a stream back whose call the reader took off.
func (c *Conn) recycle(s *stream) {
	if !s.orphan {
		c.client.recycle(s)
	}
}

// cancel takes a call off the connection and tells the server. It returns false if the call is over, and whether
// the reader will say that it is.
func (c *Conn) cancel(call *Call, v *verdict) (cancelled, told bool) {
	m := &c.mu
	m.Lock()
	s := call.stream
	if s == nil || s.call != call {
		m.Unlock()
		return false, false
	}
	c.detach(s)
	call.Sent = s.id != 0
	if s.id != 0 && !s.ended {
		c.appendReset(s.id, frame.Cancel)
	}
	if told = s.telling; told {
		call.end(v)
	}
	if s.touched || told {
		c.orphan(s)
	}
	orphan := s.orphan
	if orphan {
		c.poke()
	}
	m.Unlock()
	if !orphan {
		c.client.recycle(s)
	}
	return true, told
}

// find returns the stream on which a frame came, nil if the server has ended it or it was given up. It runs under
// mu.
func (c *Conn) find(id uint32) *stream {
	if s := c.mu.streams[id]; s != nil && !s.ended {
		return s
	}
	return nil
}

// appendReset appends RST_STREAM. It runs under mu.
func (c *Conn) appendReset(id uint32, code frame.Code) {
	c.mu.out.Reset(id, code)
}
