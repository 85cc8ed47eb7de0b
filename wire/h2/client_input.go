package h2

import (
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
	called bool // a call was answered, or a message handed on, since Drained
	told   bool // there was room for more of a request, since Drained
	now    int64
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
		c.aim()
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
	return c.rest()
}

// read reads once.
func (c *ClientConn) read() (int, error) {
	if c.raw != nil {
		return c.raw.read()
	}
	return c.in.readFrom(c.sock)
}

// aim chooses where the next bytes go: a large message's to its place.
func (c *ClientConn) aim() {
	var room []byte
	d := &c.in.data
	if s := d.s; s != nil && s.msg.slab != nil {
		room = s.msg.slab.Bytes()[s.msg.n:s.msg.size]
	}
	c.in.aim(room, d.left, d.pad)
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
		c.consumed(k)
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
