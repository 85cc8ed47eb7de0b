package h2

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

const (
	// mostWhole is the largest frame other than DATA that is read: it must lie whole in the buffer.
	mostWhole = inputSize - frame.HeadSize
)

// input is where the reader stands in what the client sends.
type input struct {
	readBuffer
	greeted  bool // the preface is over
	settled  bool // and so is the first SETTINGS frame
	skip     int  // bytes of a frame that is passed over
	data     dataFrame
	block    headerBlock
	called   bool // Unary was called since Drained
	now      int64
	nowTime  time.Time
	openedAt int64 // when what is incomplete began; 0: nothing is
}

// dataFrame is a DATA frame on its way in.
type dataFrame struct {
	on   bool
	s    *Stream // nil: passed over
	left int     // bytes of data
	pad  int     // bytes of padding behind it
	end  bool
}

// headerBlock is a header block that goes on in CONTINUATION frames.
type headerBlock struct {
	stream uint32 // 0: none
	end    bool   // of the stream
	self   bool   // it depends on itself
	parts  int
	buf    []byte
}

// take puts what somebody else has read into the buffer.
func (in *input) take(c *Conn, prefix []byte) {
	in.nowTime = time.Now()
	in.now = c.srv.at(in.nowTime)
	in.fetch()
	if in.w = copy(in.buf, prefix); in.w < len(prefix) {
		panic("BUG: h2: a prefix is longer than 32 KiB")
	}
}

// fill waits for bytes.
func (c *Conn) fill() *fault {
	in := &c.in
	in.compact()
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
		n, err := c.read()
		in.nowTime = time.Now()
		in.now = c.srv.at(in.nowTime)
		if n > 0 {
			c.arrived(n)
			return nil
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.timer.armed = 0
			if f := c.expired(in.now); f != nil {
				return f
			}
		case err == nil:
		case errors.Is(err, io.EOF) && c.live.Load() == 0:
			return &faultEOF
		default:
			return &faultBroken
		}
	}
}

// read reads once.
func (c *Conn) read() (int, error) {
	if c.raw != nil {
		return c.raw.read()
	}
	return c.in.readFrom(c.sock)
}

// aim chooses where the next bytes go: a large message's to its place.
func (c *Conn) aim() {
	var room []byte
	d := &c.in.data
	if s := d.s; s != nil && s.grpc {
		if m := &s.msg; s.kind == Streaming {
			room = s.streamRoom()
		} else if !m.discard && m.slab != nil {
			room = m.slab.Bytes()[m.n:m.size]
		}
	}
	c.in.aim(room, d.left, d.pad)
}

// arrived takes n bytes that were read.
func (c *Conn) arrived(n int) {
	in := &c.in
	if k := min(n, len(in.direct)); k > 0 {
		d := &in.data
		if d.s.kind == Streaming {
			d.s.streamDirect(k)
		} else {
			d.s.msg.n += k
		}
		d.s.total += int64(k)
		d.left -= k
		c.consumed(k)
		n -= k
	}
	in.direct = nil
	in.w += n
}

// process handles what is in the buffer, as far as it is whole.
func (c *Conn) process() *fault {
	in := &c.in
	if !in.greeted {
		if f := c.preface(); f != nil || !in.greeted {
			return f
		}
	}
	c.budget.refill(in.now)
	for {
		if in.skip > 0 {
			n := min(in.skip, in.w-in.r)
			in.skip -= n
			in.r += n
		}
		if in.data.on {
			if f := c.dataBytes(); f != nil {
				return f
			}
		}
		b := in.buf[in.r:in.w]
		if in.skip > 0 || in.data.on || len(b) < frame.HeadSize {
			break
		}
		h := frame.ParseHead(b)
		whole, f := c.frame(h, b[frame.HeadSize:])
		if f != nil {
			return f
		}
		if !whole {
			break
		}
	}
	c.timeIncomplete()
	return nil
}

// timeIncomplete starts the clock of what has begun and not ended, and stops it if there is nothing.
func (c *Conn) timeIncomplete() {
	in := &c.in
	open := in.block.stream != 0 || in.skip > 0 || !in.data.on && in.w > in.r
	switch {
	case !open:
		in.openedAt = 0
	case in.openedAt == 0:
		in.openedAt = in.now
	}
}

// preface checks what a client sends first.
func (c *Conn) preface() *fault {
	in := &c.in
	match, more := IsPreface(in.buf[in.r:in.w])
	switch {
	case more:
		return nil
	case !match:
		return &faultPreface
	}
	in.r += len(frame.Preface)
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

// frame handles the frame with head h at the start of the buffer if it is whole; p is what there is behind
// the head. DATA and what is passed over need not be whole.
func (c *Conn) frame(h frame.Head, p []byte) (whole bool, f *fault) {
	in := &c.in
	switch {
	case h.Length > c.srv.opts.MaxFrame:
		return false, &faultSize
	case in.block.stream != 0 && (h.Type != frame.Continuation || h.Stream != in.block.stream):
		return false, &faultBlock
	case !in.settled && (h.Type != frame.Settings || h.Has(frame.Ack)):
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
	return true, &faultPush
}
