package h2client

import (
	"math"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// Messages takes the messages of an answer that has any number of them.
type Messages interface {
	// Message is called with each message when it is whole, on the stack of the connection's reader; by is as
	// in Answered. The message is without its prefix and decompressed. Whoever is told takes references to
	// what he keeps: m is emptied when Message returns. It must not block, and may call anything of the call
	// but Reset. From the first message on the head of the answer may be looked at from within.
	Message(call *Call, m *slab.List, by Drainer)
}

// Emptied is told when there is room for more of a request.
type Emptied interface {
	// Emptied is called, on the stack of the connection's reader, when all messages that were sent so far have
	// left into the connection's output: the server's windows and the socket took what came before. None is
	// begun behind CloseSend. It must not block, and may call anything of the call but Reset.
	Emptied(call *Call, by Drainer)
}

// Pull asks for the next message of an answer; Start has asked for the first. More calls than one before a
// message comes are as good as one. Pull never blocks, and may be called from any goroutine, from within Message
// too, which is not called again before it has returned. It does nothing before Start and behind the call's end;
// the caller sees to it that a late Pull does not meet the next use of the call.
func (call *Call) Pull() {
	c := call.conn.Load()
	if c == nil {
		return // it is not on a connection yet, and its first message is asked for
	}
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	s := call.stream
	if s == nil {
		return
	}
	s.wanted = true
	if s.waiting {
		c.resume(s)
	}
}

// Send adds a message to the request of a Streaming call, and empties m. It may be called from any goroutine
// once Start has returned, never blocks and does not write: it returns the connection that is to be flushed,
// nil if the call waits for one or is over, when the message is dropped. It is not to follow CloseSend.
func (call *Call) Send(m *slab.List) *Conn {
	cl := call.client.Load()
	if cl == nil || int64(m.Size()) > math.MaxUint32 {
		m.Release()
		if cl != nil {
			call.cancel(&verdictLong)
		}
		return nil
	}
	o := cl.newOutgoing(m)
	return call.request(o)
}

// CloseSend ends the request of a Streaming call, behind what was sent. It returns the connection that is to be
// flushed, as Send does.
func (call *Call) CloseSend() *Conn { return call.request(nil) }

// request adds a message to what is to be sent, or the end if o is nil.
func (call *Call) request(o *outgoing) *Conn {
	cl := call.client.Load()
	if cl == nil {
		return nil
	}
	c := call.conn.Load()
	if c == nil {
		cl.mu.Lock()
		c = call.conn.Load()
		waits := c == nil && call.place.Taken()
		if waits {
			call.sends.add(o)
		}
		cl.mu.Unlock()
		switch {
		case waits:
			return nil
		case c == nil:
			cl.dropOutgoing(o)
			return nil
		}
	}
	m := &c.mu
	m.Lock()
	s := call.stream
	if s == nil || s.sendDone || call.sends.closed {
		m.Unlock()
		cl.dropOutgoing(o)
		return nil
	}
	c.backlog.Add(call.sends.add(o))
	if !s.place.Taken() && !s.Blocked {
		c.enqueue(s)
	}
	m.Unlock()
	return c
}

// Unsent returns how many bytes of the request are not in the connection's output yet, those that are needed
// for framing among them: how far the server, or the connection to it, is behind.
func (call *Call) Unsent() int64 {
	c := call.conn.Load()
	if c == nil {
		cl := call.client.Load()
		if cl == nil {
			return 0
		}
		cl.mu.Lock()
		if call.place.Taken() {
			defer cl.mu.Unlock()
			n := call.sends.bytes
			if size := call.Message.Size(); size > 0 || !call.Streaming {
				n += grpc.PrefixSize + int64(size)
			}
			return n
		}
		cl.mu.Unlock()
		if c = call.conn.Load(); c == nil {
			return 0
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := call.stream; s != nil {
		return int64(s.left()) + call.sends.bytes
	}
	return 0
}

// outgoing is a message of a streaming request that waits for its turn.
type outgoing struct {
	list slab.List
	next *outgoing
}

// newOutgoing moves a message out of m.
func (cl *Client) newOutgoing(m *slab.List) *outgoing {
	o, ok := cl.outgoing.Get().(*outgoing)
	if !ok {
		o = &outgoing{}
	}
	o.list.AppendList(m)
	m.Release()
	return o
}

// dropOutgoing gives o, which may be nil, and what is linked to it back.
func (cl *Client) dropOutgoing(o *outgoing) {
	for o != nil {
		next := o.next
		o.next = nil
		o.list.Release()
		cl.outgoing.Put(o)
		o = next
	}
}

// sends is what of a streaming request waits behind the message that is being sent.
type sends struct {
	first, last *outgoing
	bytes       int64 // prefixes among them
	closed      bool  // nothing comes behind them
}

// add puts a message at the end, or the end itself if o is nil, and returns how many bytes that are.
func (q *sends) add(o *outgoing) int64 {
	if o == nil {
		q.closed = true
		return 0
	}
	if q.last == nil {
		q.first = o
	} else {
		q.last.next = o
	}
	q.last = o
	n := grpc.PrefixSize + int64(o.list.Size())
	q.bytes += n
	return n
}

// take returns the first message, nil if there is none.
func (q *sends) take() *outgoing {
	o := q.first
	if o == nil {
		return nil
	}
	if q.first = o.next; q.first == nil {
		q.last = nil
	}
	o.next = nil
	q.bytes -= grpc.PrefixSize + int64(o.list.Size())
	return o
}

// drop empties the queue and lets nothing more in.
func (q *sends) drop(cl *Client) {
	cl.dropOutgoing(q.first)
	*q = sends{closed: true}
}

// nextMessage turns to the next message of a streaming request, whose last one is in the output; it returns
// false if there is none. It runs under mu.
func (c *Conn) nextMessage(s *stream) bool {
	o := s.call.sends.take()
	if o == nil {
		return false
	}
	s.current = o
	s.begin(&o.list)
	return true
}

// messageSent follows a message that is in the output. It runs under mu.
func (c *Conn) messageSent(s *stream) link.SendResult {
	c.client.dropOutgoing(s.current)
	s.current = nil
	c.mu.good++ // the server may answer each one with frames of control
	q := &s.call.sends
	switch {
	case q.first != nil:
		return link.SendMore
	case q.closed:
		return link.SendDone
	}
	if s.call.Room != nil {
		s.emptied = true
		c.resume(s)
	}
	return link.SendIdle
}

// appendEnd appends the end of a request behind its last message. It runs under mu.
func (c *Conn) appendEnd(s *stream) {
	out := c.mu.out.Open()
	out.B = frame.AppendHead(out.B, frame.Head{Type: frame.Data, Flags: frame.EndStream, Stream: s.id})
}

// dropRequest forgets what is still to be sent. It runs under mu.
func (c *Conn) dropRequest(s *stream) {
	c.mu.queues.Remove(&s.place)
	s.Blocked = false
	c.backlog.Add(-int64(s.left()) - s.call.sends.bytes)
	s.prefixed, s.sent = len(s.prefix), s.size
	if s.streaming {
		s.call.sends.drop(c.client)
		c.client.dropOutgoing(s.current)
		s.current = nil
	}
}
