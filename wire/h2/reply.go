package h2

import (
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// Answer is the answer to a gRPC call.
type Answer struct {
	// Head is metadata before the message, and Trailer behind it. Values of names in -bin are sent as base64.
	Head, Trailer []wire.Header
	// Message is the message without its prefix; nil if there is none, as with an error. Reply empties it.
	Message *slab.List
	Status  grpc.Status
	// Text is for the client, with a status other than OK.
	Text string
	// Details is a google.rpc.Status, encoded, with a status other than OK.
	Details []byte
}

// answer is an answer on its way out.
type answer struct {
	status   int  // of HTTP
	rest     bool // an answer of plain HTTP
	only     bool // there is no body: the head ends the stream
	last     bool // nothing follows what there is
	trailers bool // of gRPC, behind the body
	ended    bool // the last of the body said that it is
	headSent bool
	headSet  bool // of a stream of messages: fields are not added to any more
	code     grpc.Status
	fields   []byte // of the head, as appendField writes them
	tail     []byte // of the trailers

	body pieces
}

// release drops what is left, and keeps small buffers for the next answer.
func (a *answer) release() {
	const keep = 1 << 10
	a.body.release()
	if cap(a.fields) > keep {
		a.fields = nil
	}
	if cap(a.tail) > keep {
		a.tail = nil
	}
	a.fields, a.tail = a.fields[:0], a.tail[:0]
	a.rest, a.only, a.last, a.trailers, a.headSent, a.headSet, a.ended = false, false, false, false, false, false, false
}

// Reply answers the call. It returns before anything is sent: that is Flush's, of the stream's connection.
// What a points to may be reused. The handler does not touch the stream again.
func (s *Stream) Reply(a *Answer) {
	if s.kind == Streaming {
		s.replyLast(a)
		return
	}
	out := &s.send
	out.status, out.code = 200, a.Status
	for i := range a.Head {
		out.fields = appendMetadata(out.fields, &a.Head[i])
	}
	for i := range a.Trailer {
		out.tail = appendMetadata(out.tail, &a.Trailer[i])
	}
	if a.Status != grpc.OK {
		out.tail = appendStatus(out.tail, a.Text, a.Details)
	}
	if a.Message != nil {
		out.trailers = true
		out.body.message(a.Message)
	}
	out.only = !out.trailers
	s.hand()
}

// hand gives the answer, which lies in send, to the connection, and lets go of the stream.
func (s *Stream) hand() {
	s.message.Release()
	c := s.c
	m := &c.mu
	m.Lock()
	if !s.st.handler {
		m.Unlock()
		panic("BUG: h2: a stream was answered twice")
	}
	s.send.last = true
	free := c.letGo(s)
	m.Unlock()
	if free {
		s.recycle()
	}
}

// letGo takes a stream, whose answer is in send to its end, from its handler. It returns true if the caller is
// to recycle s. It runs under mu.
func (c *Conn) letGo(s *Stream) bool {
	m := &c.mu
	s.st.handler = false
	s.replied.Store(s.gen.Load() + 1)
	s.st.watcher, s.st.sentWatcher = nil, nil
	if s.st.gone || m.ended || m.failed {
		s.send.release()
		if !s.st.inTable {
			c.left()
		}
	} else {
		c.enqueue(s)
	}
	c.unpin()
	return c.freeable(s)
}

// refuse answers a call that no handler has.
func (c *Conn) refuse(s *Stream, r *callRefusal) {
	c.countRefusal(r)
	if s.kind == Streaming {
		s.inbox.fail(refusedError(r))
		return
	}
	s.msg.discard = true
	s.inbox.held.Release()
	c.mu.Lock()
	s.st.handler = true
	c.mu.pins++
	c.mu.Unlock()
	a := Answer{Status: r.status, Text: r.text}
	if r == &callEncoding {
		a.Head = codingsTaken
	}
	s.Reply(&a)
}

// codingsTaken is what a client is told that has compressed its message in another way. It is never written.
var codingsTaken = []wire.Header{{Name: "grpc-accept-encoding", Value: []byte("identity,deflate,gzip")}}

// countRefusal counts a refusal where it belongs.
func (c *Conn) countRefusal(r *callRefusal) {
	if r.ask {
		c.srv.metrics.rejected(r.reason)
	} else {
		c.srv.metrics.parseError(r.reason)
	}
}

// refuseHeld answers a call whose handler failed, unless it has answered.
func (c *Conn) refuseHeld(s *Stream, gen uint32, r *callRefusal) {
	// Once answered, the stream may serve another call. So nothing else of it is looked at, and this before the use:
	// it may be of a later one only if that has changed.
	if s.replied.Load() == gen+1 || s.gen.Load() != gen {
		return
	}
	c.srv.metrics.rejected(r.reason)
	s.Reply(&Answer{Status: r.status, Text: r.text})
}

// Fields of an answer wait as bytes: a mode, both lengths, the name, the value.
const (
	varies = iota
	repeats
	fieldHead = 1 + 2 + 4
)

func appendField(dst []byte, mode byte, name string, value []byte) []byte {
	dst = append(dst, mode)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(name)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	dst = append(dst, name...)
	return append(dst, value...)
}

// appendMetadata appends a field of a gRPC answer.
func appendMetadata(dst []byte, h *wire.Header) []byte {
	if !strings.HasSuffix(h.Name, "-bin") {
		return appendLower(dst, h.Name, h.Value)
	}
	return appendBase64(dst, h.Name, h.Value)
}

func appendBase64(dst []byte, name string, value []byte) []byte {
	enc := base64.RawStdEncoding
	dst = append(dst, varies)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(name)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(enc.EncodedLen(len(value))))
	dst = append(dst, name...)
	return enc.AppendEncode(dst, value)
}

// appendLower appends a field whose name may have upper-case letters.
func appendLower(dst []byte, name string, value []byte) []byte {
	at := len(dst) + fieldHead
	dst = appendField(dst, varies, name, value)
	for i, b := range dst[at : at+len(name)] {
		if 'A' <= b && b <= 'Z' {
			dst[at+i] = b + 'a' - 'A'
		}
	}
	return dst
}

// appendStatus appends what explains a status.
func appendStatus(dst []byte, text string, details []byte) []byte {
	if text != "" {
		at := len(dst)
		dst = appendField(dst, varies, "grpc-message", nil)
		from := len(dst)
		dst = grpc.AppendEscaped(dst, text)
		binary.BigEndian.PutUint32(dst[at+3:], uint32(len(dst)-from))
	}
	if len(details) > 0 {
		dst = appendBase64(dst, "grpc-status-details-bin", details)
	}
	return dst
}

// appendHead appends the HEADERS frame that starts an answer. It runs under mu.
func (c *Conn) appendHead(s *Stream) {
	a, e, out := &s.send, &c.mu.encoder, c.mu.out.Open()
	at := out.StartBlock()
	out.B = e.Begin(out.B)
	out.B = e.Status(out.B, a.status)
	if !a.rest {
		out.B = e.Repeated(out.B, "content-type", "application/grpc")
	}
	c.appendFields(out, a.fields)
	flags := uint8(frame.EndHeaders)
	if a.only {
		flags |= frame.EndStream
		if !a.rest {
			out.B = e.Repeated(out.B, "grpc-status", a.code.Text())
			c.appendFields(out, a.tail)
		}
	}
	out.EndBlock(at, s.id, flags, c.mu.peer.MaxFrame)
}

// appendTrailers appends the HEADERS frame that ends an answer. It runs under mu.
func (c *Conn) appendTrailers(s *Stream) {
	a, e, out := &s.send, &c.mu.encoder, c.mu.out.Open()
	at := out.StartBlock()
	out.B = e.Begin(out.B)
	out.B = e.Repeated(out.B, "grpc-status", a.code.Text())
	c.appendFields(out, a.tail)
	out.EndBlock(at, s.id, frame.EndHeaders|frame.EndStream, c.mu.peer.MaxFrame)
}

func (c *Conn) appendFields(out *link.Output, fields []byte) {
	e := &c.mu.encoder
	for len(fields) > 0 {
		n := int(binary.BigEndian.Uint16(fields[1:]))
		v := int(binary.BigEndian.Uint32(fields[3:]))
		name, value := fields[fieldHead:fieldHead+n], fields[fieldHead+n:fieldHead+n+v]
		if fields[0] == repeats {
			out.B = e.Repeated(out.B, string(name), string(value))
		} else {
			out.B = e.Field(out.B, name, value)
		}
		fields = fields[fieldHead+n+v:]
	}
}
