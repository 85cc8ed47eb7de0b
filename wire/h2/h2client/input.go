package h2client

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// input is where the reader stands in what the server sends.
type input struct {
	link.Reader
	of     *stream // whose the DATA frame is; nil: it is passed over
	called bool    // a call was answered, or a message handed on, since Drained
	told   bool    // there was room for more of a request, since Drained
	now    int64
}

// timer is the reader's. Its deadline is armed only where it changed.
type timer struct {
	armed  int64 // 0: none; below: unknown
	began  int64
	heard  int64 // when something was read last
	pinged int64 // when a sign of life was asked for; 0: it was not
}

// arm sets the deadline of reading.
func (c *Conn) arm() {
	t, o := &c.timer, &c.client.opts
	due := int64(0)
	switch {
	case !c.in.Settled:
		due = t.began + int64(o.ConnectTimeout)
	case o.KeepAlive > 0 && t.pinged > 0:
		due = t.pinged + int64(o.KeepAlive)
	case o.KeepAlive > 0:
		due = t.heard + int64(o.KeepAlive)
	}
	if at := c.mu.turns.Due(); at != 0 && (due == 0 || at < due) {
		due = at
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
func (c *Conn) expired() *link.Fault {
	t, o := &c.timer, &c.client.opts
	now := c.client.clock()
	c.mu.Lock()
	c.mu.turns.Overdue(now, &c.mu.out)
	c.mu.Unlock()
	c.Flush()
	switch {
	case !c.in.Settled && now >= t.began+int64(o.ConnectTimeout):
		return &link.FaultNoPreface
	case !c.in.Settled || o.KeepAlive == 0:
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
	c.mu.out.Ping([]byte(alivePing), false)
	c.mu.Unlock()
	c.Flush()
	return nil
}

// alivePing is what the PING that asks for a sign of life carries.
const alivePing = "alive???"

// fill waits for bytes.
func (c *Conn) fill() *link.Fault {
	in := &c.in
	in.Compact()
	for {
		c.arm()
		if c.poked.Swap(false) {
			if f := c.news(); f != nil {
				return f
			}
		}
		c.aim()
		n, err := c.in.Read(c.sock, c.raw)
		if n > 0 {
			return c.arrived(n)
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
			c.broke = err
			return &link.FaultBroken
		}
	}
}

// news looks at why somebody woke the reader.
func (c *Conn) news() *link.Fault {
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

// aim chooses where the next bytes go: a large message's to its place.
func (c *Conn) aim() {
	in := &c.in
	s := in.of
	if s == nil && in.Between() {
		c.mu.Lock()
		s = c.find(in.Stream())
		c.mu.Unlock()
	}
	var room []byte
	if s != nil {
		room = s.msg.Room()
	}
	in.Aim(room)
	if s != nil && c.raw != nil && !s.many {
		in.Guess(room)
	}
}

// arrived takes n bytes that were read.
func (c *Conn) arrived(n int) *link.Fault {
	c.in.now = c.client.clock()
	c.timer.heard, c.timer.pinged = c.in.now, 0
	return c.in.Arrived(n, (*taker)(c))
}

// taker has a connection take DATA frames.
type taker Conn

func (t *taker) DataFrame(h frame.Head) *link.Fault { return (*Conn)(t).dataFrame(h) }

func (t *taker) Landed(k int) { (*Conn)(t).landed(k) }

// landed takes k bytes of a DATA frame that were read to where they belong.
func (c *Conn) landed(k int) {
	in := &c.in
	s := in.of
	c.consumed(k)
	if s == nil {
		return
	}
	if s.msg.N += k; s.many && s.msg.Complete() {
		c.wholeMessage(s)
	}
}

// process handles what is in the buffer, as far as it is whole.
func (c *Conn) process() *link.Fault {
	in := &c.in
	c.budget.Refill(in.now)
	for {
		do, h, p, f := in.Next(&c.budget)
		switch {
		case f != nil:
		case do == link.StepFrame:
			f = c.frame(h, p)
		case do == link.StepData:
			f = c.dataFrame(h)
		case do == link.StepBytes:
			c.dataBytes()
		default:
			return nil
		}
		if f != nil {
			return f
		}
	}
}

// frame takes a frame that is whole.
func (c *Conn) frame(h frame.Head, p []byte) *link.Fault {
	switch h.Type {
	case frame.Headers, frame.Continuation:
		b, whole, f := c.in.Headers(h, p, link.BlockTimes*c.client.opts.MaxHeaderBytes, c.client.pool)
		if !whole {
			return f
		}
		f = c.headers(b.Stream, b.Buf, b.End)
		c.in.ReleaseBlock()
		return f
	case frame.Settings:
		return c.settingsFrame(h, p)
	case frame.Ping:
		c.pingFrame(h, p)
		return nil
	case frame.WindowUpdate:
		return c.windowFrame(h, p)
	case frame.Reset:
		return c.resetFrame(h, p)
	case frame.Priority:
		return c.priorityFrame(p)
	case frame.GoAway:
		c.goAwayFrame(p)
		return nil
	}
	return &faultPushed
}
