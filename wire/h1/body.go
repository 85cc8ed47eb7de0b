package h1

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/sluice-serving/sluice/wire/h1/syntax"
)

// drainBytes bounds what is read and dropped of a body that nobody wants.
const drainBytes = 64 << 10

const continueLine = "HTTP/1.1 100 Continue\r\n\r\n"

// body reads the body of a request by its framing, and nothing beyond it.
type body struct {
	c *conn

	chunked bool
	left    int64 // of the body, or of the current chunk
	end     bool  // all of it was read
	begun   bool  // some of it was read
	failed  *refusal
	expect  bool // the client waits for 100 (Continue)
	chunks  syntax.Chunks

	started  time.Time // when reading from the socket began
	received int64     // since then
}

// start prepares for the body that h announces.
func (b *body) start(h *head) {
	*b = body{c: b.c, chunked: h.chunked, left: max(h.length, 0)}
	b.end = !b.chunked && b.left == 0
	b.expect = h.expect && h.minor > 0 && !b.end
}

// Read reads into p. It returns io.EOF at the end of the body and a *refusal as b.failed with errBody if
// the body is not what it should be.
func (b *body) Read(p []byte) (int, error) {
	if b.failed != nil {
		return 0, errBody
	}
	b.begun = true
	if b.chunked && b.left == 0 && !b.end {
		if r := b.nextChunk(); r != nil {
			b.failed = r
			return 0, errBody
		}
	}
	if b.end {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	req := b.c.req
	n := copy(p, req.buf[req.r:req.w])
	if n > 0 {
		req.r += n
	} else {
		var r *refusal
		if n, r = b.receive(p); r != nil {
			b.failed = r
			return 0, errBody
		}
	}
	b.left -= int64(n)
	b.end = !b.chunked && b.left == 0
	return n, nil
}

// errBody says that body.failed tells what is wrong.
var errBody = errors.New("h1: body refused")

// receive reads from the socket.
func (b *body) receive(p []byte) (int, *refusal) {
	c := b.c
	if b.expect {
		b.expect = false
		c.writeBefore()
		if _, err := c.write([]byte(continueLine)); err != nil {
			c.why = ClosedReset
			return 0, &refuseShort
		}
	}
	c.now = time.Now()
	if b.started.IsZero() {
		b.started = c.now
	}
	opts := &c.srv.opts
	due := time.Duration(float64(b.received+1) / float64(opts.BodyRate) * float64(time.Second))
	c.readBefore(b.started.Add(opts.BodyGrace + due))
	n, err := c.read(p)
	b.received += int64(n)
	if n > 0 {
		return n, nil
	}
	if isTimeout(err) {
		c.why = ClosedSlowBody
		return 0, &refuseSlowBody
	}
	c.why = ClosedReset
	return 0, &refuseShort
}

// nextChunk reads up to the start of the next chunk or, behind the last one, past the trailers.
func (b *body) nextChunk() *refusal {
	for {
		limit, tooLong := b.chunks.Longest()
		line, r := b.line(limit, chunkRefusal(tooLong))
		if r != nil {
			return r
		}
		size, wrong := b.chunks.Take(line)
		switch {
		case wrong != 0:
			return chunkRefusal(wrong)
		case size > 0:
			b.left = size
			return nil
		case b.chunks.Over():
			b.end = true
			return nil
		}
	}
}

// chunkRefusal returns the refusal for what is wrong with a line.
func chunkRefusal(e syntax.ChunkError) *refusal {
	switch e {
	case syntax.ChunkExtension:
		return &refuseChunkExt
	case syntax.ChunkMany:
		return &refuseChunks
	case syntax.ChunkTrailer:
		return &refuseTrailer
	}
	return &refuseChunk
}

// line reads a line that ends in CRLF, of at most limit bytes with it, and returns it without. The line
// is valid until the next read. A longer one is refused with tooLong.
func (b *body) line(limit int, tooLong *refusal) ([]byte, *refusal) {
	req := b.c.req
	for from := 0; ; {
		unread := req.buf[req.r:req.w]
		if i := bytes.IndexByte(unread[from:], '\n'); i >= 0 {
			i += from
			if i == 0 || unread[i-1] != '\r' || bytes.IndexByte(unread[:i-1], '\r') >= 0 {
				return nil, &refuseChunk
			}
			if i+1 > limit {
				return nil, tooLong
			}
			req.r += i + 1
			return unread[:i-1], nil
		}
		from = len(unread)
		if from >= limit {
			return nil, tooLong
		}
		// The head before must stay where it is: what is unread moves down to it when room ends.
		if len(req.buf)-req.w == 0 {
			at := req.head.line
			if req.r == at {
				return nil, tooLong
			}
			req.w = at + copy(req.buf[at:], unread)
			req.r = at
		}
		n, r := b.receive(req.buf[req.w:])
		if r != nil {
			return nil, r
		}
		req.w += n
	}
}

// finish reads and drops what the handler left of the body, if it is little, and tells whether the
// connection can go on. It cannot while the client may still hold back a body for 100 (Continue).
func (b *body) finish() bool {
	for total := int64(0); !b.end; {
		if b.failed != nil || b.expect || total > drainBytes || b.left > drainBytes {
			return false
		}
		total += b.skip()
	}
	return true
}

// skip drops some of the body.
func (b *body) skip() int64 {
	if b.chunked && b.left == 0 {
		b.failed = b.nextChunk()
		return 0
	}
	req := b.c.req
	if req.r == req.w {
		at := req.head.line
		n, r := b.receive(req.buf[at:])
		if r != nil {
			b.failed = r
			return 0
		}
		req.r, req.w = at, at+n
	}
	n := min(b.left, int64(req.w-req.r))
	req.r += int(n)
	b.left -= n
	b.end = !b.chunked && b.left == 0
	return n
}

// mustClose tells, before the answer is written, whether the connection has to close because of what is
// left of the body.
func (b *body) mustClose() bool {
	return b.failed != nil || !b.end && (b.expect || b.left > drainBytes)
}
