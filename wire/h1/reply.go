package h1

import (
	"bytes"
	"net"
	"time"

	"github.com/sluice-serving/sluice/slab"
)

// reply is the body of an answer on its way out. fasthttp writes the head, without a body; the body
// follows when the head's last byte passes Write.
type reply struct {
	due     bool      // a head is on its way through Write
	framing parting   // of an answer in parts
	tail    [3]byte   // the last bytes of a head that came in parts
	body    slab.List // references of our own
	vec     net.Buffers
	rest    net.Buffers
}

// release drops what was not written.
func (r *reply) release() {
	r.due, r.framing = false, framedNot
	r.tail = [3]byte{}
	r.body.Release()
}

// writeStep is how much is written under one deadline: WriteIdle is then about progress, not about the
// whole answer.
const writeStep = 256 << 10

// Write passes on what fasthttp wrote, which is a head, and the body behind it. Instead of the head of an answer in
// parts, which its handler has written, it writes their end.
func (c *conn) Write(p []byte) (int, error) {
	c.writeBefore()
	var err error
	parts := c.reply.framing != framedNot
	switch {
	case c.reply.due && c.reply.headEnds(p):
		if parts {
			err = c.writeEnd()
		} else {
			err = c.writeAnswer(p)
		}
		c.reply.release()
	case !parts:
		_, err = c.write(p)
	}
	if err != nil {
		c.lost(err)
		return 0, err
	}
	return len(p), nil
}

// lost notes why nothing more can be written.
func (c *conn) lost(err error) {
	c.why = ClosedReset
	if isTimeout(err) {
		c.why = ClosedSlowRead
	}
}

// headEnds tells whether a head ends with p. An empty line stands nowhere in a head but at its end.
func (r *reply) headEnds(p []byte) bool {
	const end = "\r\n\r\n"
	if bytes.HasSuffix(p, []byte(end)) {
		return true
	}
	if len(p) >= len(end) {
		copy(r.tail[:], p[len(p)-len(r.tail):])
		return false
	}
	last := append(append(make([]byte, 0, 8), r.tail[:]...), p...)
	copy(r.tail[:], last[len(last)-len(r.tail):])
	return bytes.HasSuffix(last, []byte(end))
}

// writeAnswer writes the end of a head and the body: together if there is room for a copy beside the
// request, else from where the body lies.
func (c *conn) writeAnswer(p []byte) error {
	r := &c.reply
	size := r.body.Size()
	if size == 0 {
		_, err := c.write(p)
		return err
	}
	if free := c.req.buf[c.req.w:]; len(p)+size <= len(free) {
		n := copy(free, p)
		n += r.body.CopyTo(free[n:])
		_, err := c.write(free[:n])
		return err
	}
	step := append(r.vec[:0], p)
	left := writeStep
	for i := range r.body.Len() {
		for b := r.body.At(i).B; len(b) > 0; {
			n := min(left, len(b))
			step = append(step, b[:n])
			b = b[n:]
			if left -= n; left == 0 {
				var err error
				if step, err = c.writeVector(step); err != nil {
					return err
				}
				left = writeStep
			}
		}
	}
	_, err := c.writeVector(step)
	return err
}

// writeVector writes the runs of step and returns it empty.
func (c *conn) writeVector(step net.Buffers) (net.Buffers, error) {
	r := &c.reply
	r.vec, r.rest = step[:0], step
	if len(step) == 0 {
		return step, nil
	}
	c.writeBefore()
	_, err := c.writeAll(&r.rest)
	clear(step)
	r.rest = nil
	return r.vec, err
}

// write writes all of p.
func (c *conn) write(p []byte) (int, error) {
	if c.raw != nil {
		return c.raw.Write(p)
	}
	return c.Conn.Write(p)
}

// writeAll writes all of views and takes them.
func (c *conn) writeAll(views *net.Buffers) (int64, error) {
	if c.raw == nil {
		return views.WriteTo(c.Conn)
	}
	n, err := c.raw.WriteViews(*views)
	return int64(n), err
}

// writeBefore sets the deadline of writes, unless the one that stands is about as good.
func (c *conn) writeBefore() {
	c.now = time.Now()
	idle := c.srv.opts.WriteIdle
	if c.now.Sub(c.writeFrom) < idle/8 {
		return
	}
	c.writeFrom = c.now
	// It fails only on a closed connection, and then so does the write.
	_ = c.Conn.SetWriteDeadline(c.now.Add(idle))
}
