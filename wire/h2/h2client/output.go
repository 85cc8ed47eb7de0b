package h2client

import (
	"encoding/base64"
	"strings"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// appendUnopened appends the streams of which nothing was sent. It runs under mu.
func (c *Conn) appendUnopened(dst []*stream) []*stream {
	q := &c.mu.queues
	for _, first := range [...]*stream{q.Short.First(), q.Long.First()} {
		for s := first; s != nil; s = s.place.Next() {
			if s.id == 0 {
				dst = append(dst, s)
			}
		}
	}
	return dst
}

// enqueue has a stream send. It runs under mu.
func (c *Conn) enqueue(s *stream) {
	c.mu.queues.Append(&s.place, s, !s.streaming && s.size > link.StreamWindow)
}

// full tells whether streams are to wait. The end of a large message goes along: a write of its own, and what it wakes,
// would cost more. It runs under mu.
func (c *Conn) full() bool {
	m := &c.mu
	if m.out.Size() < link.OutputFull {
		return false
	}
	first := m.queues.Long.First()
	return first == nil || m.out.Size()+first.left() > link.OutputFull+link.OutputFull/4
}

// pump turns the queue into frames until the output is full or nothing more may be sent. It runs under mu.
func (c *Conn) pump() {
	m := &c.mu
	if m.ended || m.failed {
		return
	}
	for m.queues.Len() > 0 && !m.peer.Starved && !c.full() {
		s := m.queues.Next()
		r := c.sendSome(s)
		m.queues.Sent(&s.place, s, r)
		s.sendDone = s.sendDone || r == link.SendDone
	}
}

// sendSome appends the next frames of s: its head, a DATA frame. It runs under mu.
func (c *Conn) sendSome(s *stream) link.SendResult {
	m := &c.mu
	if s.id == 0 {
		s.id = m.nextID
		m.nextID += 2
		m.streams[s.id] = s
		s.RecvWindow = link.StreamWindow
		m.peer.Opens(&s.Outflow)
		s.headIn = m.outputs
		c.appendCall(s)
	}
	switch {
	case s.left() > 0 || c.nextMessage(s):
	case !s.call.sends.closed:
		return link.SendIdle
	default:
		c.appendEnd(s)
		return link.SendDone
	}
	n, why := m.peer.Takes(&s.Outflow, min(s.left(), link.OutputFull))
	if n == 0 {
		return why
	}
	c.backlog.Add(-int64(n))
	if n >= link.SmallData {
		m.good++ // its window is worth the frames that open it
	}
	c.appendData(s, n)
	switch {
	case s.left() > 0:
		return link.SendMore
	case s.streaming:
		return c.messageSent(s)
	}
	return link.SendDone
}

// appendData appends a DATA frame of n bytes of the message. It runs under mu.
func (c *Conn) appendData(s *stream, n int) {
	out := c.mu.out.Open()
	h := frame.Head{Length: n, Type: frame.Data, Stream: s.id}
	if q := &s.call.sends; n == s.left() && (!s.streaming || q.closed && q.first == nil) {
		h.Flags = frame.EndStream
	}
	out.B = frame.AppendHead(out.B, h)
	if s.prefixed < len(s.prefix) {
		k := link.AppendSome(&out.B, s.prefix[s.prefixed:], n)
		s.prefixed += k
		n -= k
	}
	for n > 0 {
		v := s.body.At(s.view)
		b := v.B[s.off:]
		k := min(n, len(b))
		if k < link.CopyBelow {
			out.B = append(out.B, b[:k]...)
		} else {
			out.View(slab.View{B: b[:k:k], S: v.S})
		}
		n -= k
		s.sent += k
		if s.off += k; s.off == len(v.B) {
			s.view++
			s.off = 0
		}
	}
}

// appendCall appends the HEADERS frame of a call. It runs under mu.
func (c *Conn) appendCall(s *stream) {
	m, o, call := &c.mu, &c.client.opts, s.call
	e, out := &m.encoder, m.out.Open()
	at := out.StartBlock()
	b := e.Begin(out.B)
	scheme, host := "http", call.Authority
	if o.TLS != nil {
		scheme = "https"
	}
	if host == "" {
		host = o.Authority
	}
	b = e.Repeated(b, ":method", "POST")
	b = e.Repeated(b, ":scheme", scheme)
	b = e.Repeated(b, ":path", call.Path)
	b = e.Repeated(b, ":authority", host)
	b = e.Repeated(b, "content-type", "application/grpc")
	b = e.Repeated(b, "te", "trailers")
	b = e.Repeated(b, "user-agent", o.UserAgent)
	b = e.Repeated(b, "grpc-accept-encoding", "identity,deflate,gzip")
	if call.Timeout > 0 {
		m.scratch = grpc.AppendTimeout(m.scratch[:0], call.Timeout)
		b = e.Varying(b, "grpc-timeout", m.scratch)
	}
	for i := range call.Metadata {
		b = c.appendMetadata(b, &call.Metadata[i])
	}
	out.B = b
	out.EndBlock(at, s.id, frame.EndHeaders, m.peer.MaxFrame)
}

// appendMetadata appends a field of the caller's. It runs under mu.
func (c *Conn) appendMetadata(dst []byte, h *wire.Header) []byte {
	name, value := strings.ToLower(h.Name), h.Value // it copies only a name that is not in lower case
	if strings.HasSuffix(name, "-bin") {
		c.mu.scratch = base64.RawStdEncoding.AppendEncode(c.mu.scratch[:0], value)
		value = c.mu.scratch
	}
	return c.mu.encoder.Varying(dst, name, value)
}

// takeOutput returns what is to be written now. It runs under mu.
func (c *Conn) takeOutput() *link.Output {
	m := &c.mu
	if c.pump(); m.failed || m.ended {
		m.out.Drop()
	}
	o := m.out.Take()
	if o != nil {
		m.begun = m.outputs
		m.outputs++
	}
	return o
}

// Flush sends what is queued. It does not block: if somebody else is writing he takes it along, and what the
// socket does not take is left to a writer.
func (c *Conn) Flush() {
	m := &c.mu
	m.Lock()
	if m.writing {
		m.Unlock()
		return
	}
	m.writing = true
	for round := 0; ; round++ {
		o := c.takeOutput()
		if o == nil {
			m.writing = false
			if m.going && round > 0 {
				c.poke() // the reader may wait for the last word to be written
			}
			m.Unlock()
			return
		}
		if c.raw == nil || round == link.FlushRounds {
			c.park(o)
			return
		}
		m.Unlock()
		size := o.Size()
		done, err := c.raw.TryWrite(o)
		switch {
		case err != nil:
			untouched := o.Unwritten() == size
			o.Recycle(&c.client.outputs)
			m.Lock()
			if untouched {
				m.begun--
			}
			c.writeFailed()
		case done:
			o.Recycle(&c.client.outputs)
			m.Lock()
		default:
			m.Lock()
			c.park(o)
			return
		}
	}
}

// park starts the writer with o. It runs under mu, and leaves it; writing is set and becomes the writer's.
func (c *Conn) park(o *link.Output) {
	if c.mu.ended { // the reader, which keeps the client open, is gone
		c.mu.writing = false
		c.mu.Unlock()
		o.Recycle(&c.client.outputs)
		return
	}
	c.mu.parked = o
	c.mu.pins++
	c.mu.Unlock()
	go c.write()
}

// writeFailed notes that the connection is of no more use. It runs under mu.
func (c *Conn) writeFailed() {
	c.mu.failed = true
	c.open.Store(false)
	c.poke()
}

// writeParked is the writer: it writes until nothing is left, then ends.
func (c *Conn) writeParked() {
	defer c.unpin()
	m := &c.mu
	m.Lock()
	o := m.parked
	m.parked = nil
	for o != nil {
		m.Unlock()
		err := link.WriteSlowly(c.sock, c.raw, o, c.client.opts.WriteIdle)
		o.Recycle(&c.client.outputs)
		m.Lock()
		if err != nil {
			c.writeFailed()
		}
		o = c.takeOutput()
	}
	m.writing = false
	if m.going {
		c.poke()
	}
	m.Unlock()
}
