package h2

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// clientInput is where the reader stands in what the server sends.
type clientInput struct {
	readBuffer

	skip   int // bytes of a frame that is passed over
	data   clientData
	block  headerBlock
	called bool // a call was answered since Drained
	now    int64
}

// clientData is a DATA frame on its way in.
type clientData struct {
	on   bool
	s    *clientStream // nil: passed over
	left int           // bytes of data
	pad  int           // bytes of padding behind it
	end  bool
}

// clientTimer is the reader's. Its deadline is armed only where it changed.
type clientTimer struct {
	armed  int64 // 0: none; below: unknown
	began  int64
	heard  int64 // when something was read last
	pinged int64 // when a sign of life was asked for; 0: it was not
}

// arm sets the deadline of reading.
func (c *ClientConn) arm() {
	t, o := &c.timer, &c.client.opts
	due := int64(0)
	switch {
	case !c.greeted:
		due = t.began + int64(o.ConnectTimeout)
	case o.KeepAlive > 0 && t.pinged > 0:
		due = t.pinged + int64(o.KeepAlive)
	case o.KeepAlive > 0:
		due = t.heard + int64(o.KeepAlive)
	}
	if due == t.armed {
		return
	}
	t.armed = due
	var at time.Time
	if due != 0 {
		at = c.client.epoch.Add(time.Duration(due))
	}
	_ = c.sock.SetReadDeadline(at) // fails only if it is closed
}

// expired does what is due.
func (c *ClientConn) expired() *fault {
	t, o := &c.timer, &c.client.opts
	now := c.client.clock()
	switch {
	case !c.greeted && now >= t.began+int64(o.ConnectTimeout):
		return &faultNoPreface
	case !c.greeted || o.KeepAlive == 0:
		return nil
	case t.pinged > 0 && now >= t.pinged+int64(o.KeepAlive):
		return &faultSilent
	case t.pinged > 0 || now < t.heard+int64(o.KeepAlive):
		return nil
	case c.live.Load() == 0:
		t.heard = now
		return nil
	}
	t.pinged = now
	c.mu.Lock()
	out := c.output()
	out.b = frame.AppendPing(out.b, []byte(alivePing), false)
	c.mu.Unlock()
	c.Flush()
	return nil
}

// alivePing is what the PING that asks for a sign of life carries.
const alivePing = "alive???"

// fill waits for bytes.
func (c *ClientConn) fill() *fault {
	in := &c.in
	in.compact()
	for {
		c.arm()
		if c.poked.Swap(false) {
			if f := c.news(); f != nil {
				return f
			}
		}
		in.direct = c.directly()
		n, err := c.read()
		if n > 0 {
			c.arrived(n)
			return nil
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.timer.armed = -1
			if f := c.expired(); f != nil {
				return f
			}
		case err == nil:
		case errors.Is(err, io.EOF):
			return &faultEOFServer
		default:
			return &faultBroken
		}
	}
}

// news looks at why somebody woke the reader.
func (c *ClientConn) news() *fault {
	m := &c.mu
	m.Lock()
	going := m.going
	m.Unlock()
	if going {
		c.client.retire(c)
		c.client.feed(c)
	}
	c.settle()
	return c.over()
}

// read reads once.
func (c *ClientConn) read() (int, error) {
	if c.raw != nil {
		return c.raw.read()
	}
	return c.in.readFrom(c.sock)
}

// directly returns where the next bytes of a large DATA frame go, nil if it is the buffer.
func (c *ClientConn) directly() []byte {
	in := &c.in
	d := &in.data
	if d.left < directFrom || in.w > 0 || d.s == nil {
		return nil
	}
	m := &d.s.msg
	if m.slab == nil {
		return nil
	}
	to := m.slab.Bytes()[m.n:m.size]
	if len(to) > d.left {
		to = to[:d.left]
	}
	if len(to) < directFrom {
		return nil
	}
	return to
}

// arrived takes n bytes that were read.
func (c *ClientConn) arrived(n int) {
	in := &c.in
	c.in.now = c.client.clock()
	c.timer.heard, c.timer.pinged = in.now, 0
	if k := min(n, len(in.direct)); k > 0 {
		d := &in.data
		d.s.msg.n += k
		d.left -= k
		c.consumed(d.s, k)
		n -= k
	}
	in.direct = nil
	in.w += n
}

// process handles what is in the buffer, as far as it is whole.
func (c *ClientConn) process() *fault {
	in := &c.in
	c.budget.refill(in.now)
	for {
		if in.skip > 0 {
			n := min(in.skip, in.w-in.r)
			in.skip -= n
			in.r += n
		}
		if in.data.on {
			c.dataBytes()
		}
		b := in.buf[in.r:in.w]
		if in.skip > 0 || in.data.on || len(b) < frame.HeadSize {
			return nil
		}
		h := frame.ParseHead(b)
		whole, f := c.frame(h, b[frame.HeadSize:])
		if f != nil || !whole {
			return f
		}
	}
}

// frame handles the frame with head h at the start of the buffer if it is whole; p is what there is behind
// the head. DATA and what is passed over need not be whole.
func (c *ClientConn) frame(h frame.Head, p []byte) (whole bool, f *fault) {
	in := &c.in
	switch {
	case h.Length > clientFrame:
		return false, &faultSize
	case in.block.stream != 0 && (h.Type != frame.Continuation || h.Stream != in.block.stream):
		return false, &faultBlock
	case !c.greeted && (h.Type != frame.Settings || h.Has(frame.Ack)):
		return false, &faultFirst
	case h.Type == frame.Data:
		return c.dataHead(h, p)
	case h.Type > frame.Continuation:
		in.r += frame.HeadSize
		in.skip = h.Length
		return true, c.budget.spend()
	case h.Length > mostWhole && (h.Type == frame.Headers || h.Type == frame.Continuation):
		return false, &faultBomb
	case h.Length > mostWhole:
		return false, &faultSize
	case h.Length > len(p):
		return false, nil
	}
	in.r += frame.HeadSize + h.Length
	p = p[:h.Length]
	switch h.Type {
	case frame.Headers:
		return true, c.headersFrame(h, p)
	case frame.Continuation:
		return true, c.continuationFrame(h, p)
	case frame.Settings:
		return true, c.settingsFrame(h, p)
	case frame.Ping:
		return true, c.pingFrame(h, p)
	case frame.WindowUpdate:
		return true, c.windowFrame(h, p)
	case frame.Reset:
		return true, c.resetFrame(h, p)
	case frame.Priority:
		return true, c.priorityFrame(h, p)
	case frame.GoAway:
		return true, c.goAwayFrame(h, p)
	}
	return true, &faultPushed
}

// dataHead takes the head of a DATA frame and of its padding.
func (c *ClientConn) dataHead(h frame.Head, p []byte) (whole bool, f *fault) {
	in := &c.in
	d := clientData{on: true, left: h.Length, end: h.Has(frame.EndStream)}
	skip := frame.HeadSize
	if h.Has(frame.Padded) {
		switch {
		case h.Length == 0:
			return false, &faultSize
		case len(p) == 0:
			return false, nil
		case int(p[0]) >= h.Length:
			return false, &faultPadding
		}
		skip++
		d.pad = int(p[0])
		d.left -= 1 + d.pad
		if f := c.budget.spend(); f != nil {
			return false, f
		}
	}
	if h.Stream == 0 {
		return false, &faultStreamZero
	}
	if f := c.budget.data(d.left == 0 && !d.end); f != nil {
		return false, f
	}
	in.r += skip
	if f := c.admitData(h, &d); f != nil {
		return false, f
	}
	in.data = d
	c.consumed(d.s, h.Length-d.left) // padding and its length
	return true, nil
}

// admitData finds the stream of a DATA frame and takes the frame from the windows.
func (c *ClientConn) admitData(h frame.Head, d *clientData) *fault {
	m := &c.mu
	m.Lock()
	if m.recvWindow -= int64(h.Length); m.recvWindow < 0 {
		m.Unlock()
		return &faultWindow
	}
	s := m.streams[h.Stream]
	if s == nil {
		idle := c.idle(h.Stream)
		m.Unlock()
		if idle {
			return &faultIdleStream
		}
		return c.budget.spend()
	}
	s.touched = true
	s.recvWindow -= int64(h.Length)
	over := s.recvWindow < 0
	m.Unlock()
	switch {
	case over:
		c.fail(s, &verdictWindow, frame.FlowControlError)
	case !s.answered:
		c.fail(s, &verdictDataFirst, frame.ProtocolError)
	default:
		d.s = s
	}
	return nil
}

// idle tells whether a stream was never opened. It runs under mu.
func (c *ClientConn) idle(id uint32) bool { return id%2 == 0 || id >= c.mu.nextID }

// consumed gives bytes of the connection's window back, except those that were granted for a message.
func (c *ClientConn) consumed(s *clientStream, n int) {
	if n == 0 {
		return
	}
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	if s != nil {
		k := min(s.reserved, int64(n))
		s.reserved -= k
		n -= int(k)
	}
	k := min(m.prepaid, int64(n))
	m.prepaid -= k
	n -= int(k)
	if m.credit += n; m.credit >= creditStep {
		m.recvWindow += int64(m.credit)
		out := c.output()
		out.b = frame.AppendWindow(out.b, 0, uint32(m.credit))
		m.credit = 0
	}
}

// dataBytes takes what there is of a DATA frame.
func (c *ClientConn) dataBytes() {
	in := &c.in
	d := &in.data
	if n := min(d.left, in.w-in.r); n > 0 {
		p := in.buf[in.r : in.r+n]
		in.r += n
		d.left -= n
		if d.s != nil {
			c.messageBytes(d.s, p, d.left)
		}
		c.consumed(d.s, n)
	}
	if d.left > 0 {
		return
	}
	if n := min(d.pad, in.w-in.r); n > 0 {
		in.r += n
		d.pad -= n
	}
	if d.pad > 0 {
		return
	}
	s, end := d.s, d.end
	*d = clientData{}
	if s != nil && end {
		c.fail(s, &verdictCut, frame.NoError)
	}
}

// messageBytes takes bytes of an answer; after is how much of the frame is still to come.
func (c *ClientConn) messageBytes(s *clientStream, p []byte, after int) {
	m := &s.msg
	for len(p) > 0 && c.in.data.s != nil {
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
	switch {
	case m.prefix[0] > 1:
		c.fail(s, &verdictFlag, frame.Cancel)
		return
	case m.prefix[0] == 1 && (s.coding == identity || !s.coded):
		c.fail(s, &verdictCoding, frame.Cancel)
		return
	case size > c.client.opts.MaxMessage:
		c.fail(s, &verdictTooLarge, frame.Cancel)
		return
	case size == 0:
		return
	}
	m.slab = c.client.pool.Get(int(size))
	m.size = int(size)
	c.grant(s, size-int64(coming))
}

// grant lets the server send the n bytes of a message that are not in its first frame. The connection's
// window gets all of them, so that messages which come at once do not wait for each other.
func (c *ClientConn) grant(s *clientStream, n int64) {
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	if n <= 0 || s.call == nil {
		return
	}
	out := c.output()
	if more := n - s.recvWindow; more > 0 {
		s.recvWindow += more
		out.b = frame.AppendWindow(out.b, s.id, uint32(more))
	}
	if m.recvWindow+n > frame.LargestWindow {
		return
	}
	s.reserved += n
	m.recvWindow += n
	out.b = frame.AppendWindow(out.b, 0, uint32(n))
}
