package h2client

import (
	"errors"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// inlineInflate is the largest compressed message that the reader decompresses itself.
const inlineInflate = 64 << 10

// headers takes a whole header block.
func (c *Conn) headers(id uint32, block []byte, end bool) *link.Fault {
	m := &c.mu
	m.Lock()
	idle := c.idle(id)
	s := c.find(id)
	if s != nil {
		s.touched = true
	}
	m.Unlock()
	fields := &c.stray
	switch {
	case idle:
		return &link.FaultIdleStream
	case s == nil:
	case s.answered:
		fields = &s.trailer
	default:
		fields = &s.head
	}
	fields.Reset()
	if err := c.decoder.Decode(block, fields); err != nil {
		return link.HeaderFault(err)
	}
	switch {
	case s == nil:
		return c.budget.Spend()
	case fields.Over() && !(end && tellsFailure(fields)):
		c.fail(s, &verdictHeadSize, frame.Cancel)
	case s.answered && (!end || !fields.ValidTrailers()):
		c.fail(s, &verdictTrailers, frame.ProtocolError)
	case s.answered:
		c.complete(s)
	default:
		return c.head(s, end)
	}
	return nil
}

// tellsFailure tells whether fields that are too large still say how the call failed: the status counts then, and the
// words that were dropped do not.
func tellsFailure(f *hpack.Fields) bool {
	status, ok := readStatus(f)
	return ok && status != grpc.OK
}

// head takes the first header block of an answer, or one that is merely informational.
func (c *Conn) head(s *stream, end bool) *link.Fault {
	f := &s.head
	status, ok := readAnswerHead(f)
	switch {
	case !ok || status < 200 && end:
		c.fail(s, &verdictHead, frame.ProtocolError)
		return nil
	case status < 200:
		return c.budget.Spend()
	}
	s.answered, s.http, s.coded = true, status, true
	kind, n := f.Get("content-type")
	ours := n == 1 && grpc.IsGRPC(kind) && grpc.IsProto(kind)
	if coding, n := f.Get("grpc-encoding"); n > 0 {
		s.coding, s.coded = codec.Parse(coding)
	}
	_, said := f.Get("grpc-status")
	switch {
	case !ours || status != 200 && said == 0:
		c.fail(s, verdictOfHTTP(status), frame.Cancel)
	case end:
		s.head, s.trailer = s.trailer, s.head
		c.complete(s)
	}
	return nil
}

// readAnswerHead checks the fields of an answer and returns its status.
func readAnswerHead(f *hpack.Fields) (status int, ok bool) {
	for i := range f.Len() {
		if !f.ValidName(i) || !f.ValidValue(i) {
			return 0, false
		}
		if f.Name(i)[0] != ':' {
			continue
		}
		v := f.Value(i)
		if i > 0 || string(f.Name(i)) != ":status" || len(v) != 3 {
			return 0, false
		}
		for _, d := range v {
			if d < '0' || d > '9' {
				return 0, false
			}
			status = 10*status + int(d-'0')
		}
	}
	return status, status >= 100
}

// fail ends a call that the server answered wrongly, and resets its stream with code; NoError is for a stream
// that the server has ended.
func (c *Conn) fail(s *stream, v *verdict, code frame.Code) {
	call := c.finish(s, code)
	if call == nil {
		return
	}
	c.hand(call, s)
	c.recycle(s)
	call.answerLocally(v, c.drainer)
}

// finish takes the call off a stream whose answer is through, nil if somebody else has. What is still to be
// sent is not.
func (c *Conn) finish(s *stream, code frame.Code) *Call {
	m := &c.mu
	m.Lock()
	call := c.detach(s)
	if call != nil {
		call.Sent = true
		if !s.ended && (code != frame.NoError || !s.sendDone) {
			c.appendReset(s.id, code)
		}
	}
	m.Unlock()
	if call == nil {
		return nil // it is an orphan
	}
	if c.in.of == s {
		c.in.of = nil
	}
	c.in.called = true
	return call
}

// hand gives a call what came of its answer's fields.
func (c *Conn) hand(call *Call, s *stream) {
	if !s.in.given {
		call.HTTPStatus = s.http
		call.head, s.head = s.head, call.head
	}
	call.trailer, s.trailer = s.trailer, call.trailer
}

// complete takes the end of an answer, whose trailers are valid.
func (c *Conn) complete(s *stream) {
	if s.many {
		c.streamEnds(s)
		return
	}
	status, ok := readStatus(&s.trailer)
	m := &s.msg
	switch {
	case !ok:
		c.fail(s, &verdictNoStatus, frame.NoError)
		return
	case status == grpc.OK && m.Head == 0:
		c.fail(s, &verdictNone, frame.NoError)
		return
	case status == grpc.OK && !m.Complete():
		c.fail(s, &verdictShort, frame.NoError)
		return
	}
	call := c.finish(s, frame.NoError)
	if call == nil {
		return
	}
	c.hand(call, s)
	call.Status = status
	if status != grpc.OK {
		call.readError()
	} else if m.Slab != nil {
		call.Answer.AppendOwned(m.Slab.View(0, m.Size))
		m.Slab = nil
	}
	packed, coding := m.Packed() && status == grpc.OK, s.coding
	c.recycle(s)
	switch {
	case !packed:
		call.over(c.drainer)
	case call.Answer.Size() <= inlineInflate:
		c.inflate(call, coding, c.drainer)
	default:
		c.mu.Lock()
		c.mu.pins++
		c.mu.Unlock()
		go func() {
			defer c.unpin()
			c.inflate(call, coding, nil)
		}()
	}
}

// inflate decompresses an answer and hands it on.
func (c *Conn) inflate(call *Call, coding codec.Coding, by Drainer) {
	if v := c.inflateMessage(&call.Answer, coding); v != nil {
		call.Answer.Release()
		call.end(v)
	}
	call.over(by)
}

// inflateMessage decompresses a message in place; it returns nil unless that fails.
func (c *Conn) inflateMessage(message *slab.List, coding codec.Coding) *verdict {
	if message.Size() == 0 {
		return &verdictCorrupt
	}
	switch err := c.client.unpacker.InPlace(message, coding, c.client.opts.MaxMessage); {
	case err == nil:
		return nil
	case errors.Is(err, codec.ErrCorrupt):
		return &verdictCorrupt
	case errors.Is(err, codec.ErrTooLarge):
		return &verdictTooLarge
	case errors.Is(err, codec.ErrRatio):
		return &verdictRatio
	}
	return &verdictMemory
}

// readStatus reads grpc-status; ok is false if there is none.
func readStatus(f *hpack.Fields) (s grpc.Status, ok bool) {
	v, n := f.Get("grpc-status")
	if n == 0 {
		return 0, false
	}
	return grpc.ParseStatus(v), true
}

// readError reads what explains a status.
func (call *Call) readError() {
	if v, n := call.trailer.Get("grpc-message"); n > 0 {
		call.Text = string(grpc.Unescape(v))
	}
	if v, n := call.trailer.Get("grpc-status-details-bin"); n > 0 {
		if b, ok := grpc.AppendBinary(call.Details[:0], v); ok {
			call.Details = b
		}
	}
}

// Why a client's connection ends, beside what a server's ends for. The variables are never written.
var (
	faultEOFServer = link.Fault{Code: frame.NoError, Reason: link.ClosedByClient, Text: "the server closed the connection", Quiet: true}
	faultSilent    = link.Fault{Code: frame.NoError, Reason: link.ClosedIdle, Text: "the server gave no sign of life", Quiet: true}
	faultPushed    = link.Fault{Code: frame.ProtocolError, Reason: link.ClosedProtocol, Text: "pushes were not allowed"}
)
