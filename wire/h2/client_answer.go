package h2

import (
	"errors"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
)

// inlineInflate is the largest compressed message that the reader decompresses itself.
const inlineInflate = 64 << 10

// headers takes a whole header block.
func (c *ClientConn) headers(id uint32, block []byte, end bool) *fault {
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
		return &faultIdleStream
	case s == nil:
	case s.answered:
		fields = &s.trailer
	default:
		fields = &s.head
	}
	fields.Reset()
	if err := c.decoder.Decode(block, fields); err != nil {
		return hpackFault(err)
	}
	switch {
	case s == nil:
		return c.budget.spend()
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
	return ok && status != OK
}

// head takes the first header block of an answer, or one that is merely informational.
func (c *ClientConn) head(s *clientStream, end bool) *fault {
	f := &s.head
	status, ok := readAnswerHead(f)
	switch {
	case !ok || status < 200 && end:
		c.fail(s, &verdictHead, frame.ProtocolError)
		return nil
	case status < 200:
		return c.budget.spend()
	}
	s.answered, s.http, s.coded = true, status, true
	kind, n := f.Get("content-type")
	grpc := n == 1 && isGRPC(kind) && isProto(kind)
	if coding, n := f.Get("grpc-encoding"); n > 0 {
		s.coding, s.coded = codec.Parse(coding)
	}
	_, said := f.Get("grpc-status")
	switch {
	case !grpc || status != 200 && said == 0:
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
func (c *ClientConn) fail(s *clientStream, v *verdict, code frame.Code) {
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
func (c *ClientConn) finish(s *clientStream, code frame.Code) *Call {
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
func (c *ClientConn) hand(call *Call, s *clientStream) {
	if !s.in.given {
		call.HTTPStatus = s.http
		call.head, s.head = s.head, call.head
	}
	call.trailer, s.trailer = s.trailer, call.trailer
}

// complete takes the end of an answer, whose trailers are valid.
func (c *ClientConn) complete(s *clientStream) {
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
	case status == OK && m.head == 0:
		c.fail(s, &verdictNone, frame.NoError)
		return
	case status == OK && (m.head < len(m.prefix) || m.n < m.size):
		c.fail(s, &verdictShort, frame.NoError)
		return
	}
	call := c.finish(s, frame.NoError)
	if call == nil {
		return
	}
	c.hand(call, s)
	call.Status = status
	if status != OK {
		call.readError()
	} else if m.slab != nil {
		call.Answer.AppendOwned(m.slab.View(0, m.size))
		m.slab = nil
	}
	packed, coding := m.prefix[0] == 1 && status == OK, s.coding
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
func (c *ClientConn) inflate(call *Call, coding codec.Coding, by Drainer) {
	if v := c.inflateMessage(&call.Answer, coding); v != nil {
		call.Answer.Release()
		call.end(v)
	}
	call.over(by)
}

// inflateMessage decompresses a message in place; it returns nil unless that fails.
func (c *ClientConn) inflateMessage(message *slab.List, coding codec.Coding) *verdict {
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

// readStatus reads grpc-status; ok is false if there is none. What is no status is UNKNOWN.
func readStatus(f *hpack.Fields) (s Status, ok bool) {
	v, n := f.Get("grpc-status")
	if n == 0 {
		return 0, false
	}
	code := 0
	for _, d := range v {
		if d < '0' || d > '9' || code > 16 {
			return statusUnknown, true
		}
		code = 10*code + int(d-'0')
	}
	if len(v) == 0 || code > 16 {
		return statusUnknown, true
	}
	return Status(code), true
}

// readError reads what explains a status.
func (call *Call) readError() {
	if v, n := call.trailer.Get("grpc-message"); n > 0 {
		call.Text = string(unescape(v))
	}
	if v, n := call.trailer.Get("grpc-status-details-bin"); n > 0 {
		if b, ok := AppendBinary(call.Details[:0], v); ok {
			call.Details = b
		}
	}
}

// unescape undoes the percent-encoding of grpc-message; what is none stands as it is.
func unescape(v []byte) []byte {
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] == '%' && i+2 < len(v) {
			hi, lo := hexDigit(v[i+1]), hexDigit(v[i+2])
			if hi >= 0 && lo >= 0 {
				out = append(out, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		out = append(out, v[i])
	}
	return out
}

func hexDigit(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}

// Why a client's connection ends, beside what a server's ends for. The variables are never written.
var (
	faultEOFServer = fault{code: frame.NoError, reason: ClosedByClient, text: "the server closed the connection", quiet: true}
	faultSilent    = fault{code: frame.NoError, reason: ClosedIdle, text: "the server gave no sign of life", quiet: true}
	faultPushed    = fault{code: frame.ProtocolError, reason: ClosedProtocol, text: "pushes were not allowed"}
)
