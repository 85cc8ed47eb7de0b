package h2

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// input is where the reader stands in what the client sends.
type input struct {
	link.Reader
	greeted  bool    // the preface is over
	of       *Stream // whose the DATA frame is; nil: it is passed over
	called   bool    // Unary was called since Drained
	now      int64
	nowTime  time.Time
	openedAt int64 // when what is incomplete began; 0: nothing is
}

// begin puts what somebody else has read into the buffer.
func (in *input) begin(c *Conn, prefix []byte) {
	in.nowTime = time.Now()
	in.now = c.srv.at(in.nowTime)
	if !in.Put(prefix) {
		panic("BUG: h2: a prefix is longer than 32 KiB")
	}
}

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
			c.settle()
			c.Flush()
			c.arm()
		}
		c.aim()
		n, err := c.in.Read(c.sock, c.raw)
		in.nowTime = time.Now()
		in.now = c.srv.at(in.nowTime)
		if n > 0 {
			c.timer.heard = in.now
			return c.in.Arrived(n, (*taker)(c))
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.timer.armed = 0
			if f := c.expired(in.now); f != nil {
				return f
			}
			if c.rests(in.now) {
				return &faultRest
			}
		case err == nil:
		case errors.Is(err, io.EOF) && c.live.Load() == 0:
			return &faultEOF
		default:
			return &link.FaultBroken
		}
	}
}

// aim chooses where the next bytes go: a large message's to its place.
func (c *Conn) aim() {
	in := &c.in
	s := in.of
	if s == nil && in.Between() {
		c.mu.Lock()
		if s = c.mu.streams[in.Stream()]; s != nil && s.st.recvDone {
			s = nil
		}
		c.mu.Unlock()
	}
	var room []byte
	if s != nil && s.grpc {
		if m := &s.msg; s.kind == Streaming {
			room = s.streamRoom()
		} else if !m.discard {
			room = m.Room()
		}
	}
	in.Aim(room)
	switch {
	case s == nil || c.raw == nil || s.kind == Streaming:
	case s.msg.waits:
		in.Hold() // what is held of it comes in one go
	default:
		in.Guess(room)
	}
}

// taker has a connection take DATA frames.
type taker Conn

func (t *taker) DataFrame(h frame.Head) *link.Fault { return (*Conn)(t).dataFrame(h) }

func (t *taker) Landed(k int) { (*Conn)(t).landed(k) }

// landed takes k bytes of a DATA frame that were read to where they belong.
func (c *Conn) landed(k int) {
	in := &c.in
	if s := in.of; s != nil {
		if s.kind == Streaming {
			s.streamDirect(k)
		} else {
			s.msg.N += k
		}
		s.total += int64(k)
	}
	c.consumed(k)
}

// process handles what is in the buffer, as far as it is whole.
func (c *Conn) process() *link.Fault {
	in := &c.in
	if !in.greeted {
		if f := c.preface(); f != nil || !in.greeted {
			return f
		}
	}
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
			f = c.dataBytes()
		default:
			c.timeIncomplete()
			return nil
		}
		if f != nil {
			return f
		}
	}
}

// timeIncomplete starts the clock of what has begun and not ended, and stops it if there is nothing.
func (c *Conn) timeIncomplete() {
	in := &c.in
	open := in.Unfinished()
	switch {
	case !open:
		in.openedAt = 0
	case in.openedAt == 0:
		in.openedAt = in.now
	}
}

// preface checks what a client sends first.
func (c *Conn) preface() *link.Fault {
	in := &c.in
	match, more := IsPreface(in.Bytes())
	switch {
	case more:
		return nil
	case !match:
		return &faultPreface
	}
	in.Take(len(frame.Preface))
	in.greeted = true
	return nil
}

// IsPreface tells whether a connection that starts with b speaks HTTP/2, or whether more of it is needed to
// tell.
func IsPreface(b []byte) (match, more bool) {
	n := min(len(b), len(frame.Preface))
	if string(b[:n]) != frame.Preface[:n] {
		return false, false
	}
	return n == len(frame.Preface), n < len(frame.Preface)
}

// frame takes a frame that is whole.
func (c *Conn) frame(h frame.Head, p []byte) *link.Fault {
	switch h.Type {
	case frame.Headers, frame.Continuation:
		b, whole, f := c.in.Headers(h, p, link.BlockTimes*c.srv.opts.MaxHeaderBytes, c.srv.pool)
		if !whole {
			if f != nil && h.Stream%2 == 1 {
				c.lastID = max(c.lastID, h.Stream) // else the client would take it for unseen, and send it again
			}
			return f
		}
		f = c.headers(b.Stream, b.Buf, b.End, b.Self)
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
		return c.resetFrame(h)
	case frame.Priority:
		return c.priorityFrame(h, p)
	case frame.GoAway:
		return nil // the client opens no more streams, and will close when it has its answers
	}
	return &faultPush
}
