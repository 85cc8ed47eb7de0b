package h2

import (
	"bytes"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// headers takes a whole header block.
func (c *Conn) headers(id uint32, block []byte, end, self bool) *link.Fault {
	switch {
	case id%2 == 0:
		return &faultStreamID
	case id <= c.lastID:
		return c.trailers(id, block, end)
	}
	c.lastID = id
	s := c.srv.streams.get()
	s.reset(c, id)
	if err := c.decoder.Decode(block, &s.fields); err != nil {
		s.recycle()
		return link.HeaderFault(err)
	}
	m := &c.mu
	m.Lock()
	refused := c.refusesStreams()
	if refused || self || int(c.live.Load()) >= c.srv.opts.MaxStreams {
		code := frame.RefusedStream
		if self {
			code = frame.ProtocolError
		}
		if !refused { // the client knows what a GOAWAY means
			m.out.Reset(id, code)
			c.remember(id)
		} else {
			c.remember(id)
		}
		m.Unlock()
		s.recycle()
		c.srv.metrics.rejected(RefusedStreams)
		return c.budget.SpendReset()
	}
	m.Unlock()
	return c.open(s, end)
}

// trailers takes a header block for a stream that is or was open.
func (c *Conn) trailers(id uint32, block []byte, end bool) *link.Fault {
	f := &c.trailer
	f.Reset()
	if err := c.decoder.Decode(block, f); err != nil {
		return link.HeaderFault(err)
	}
	m := &c.mu
	m.Lock()
	s := m.streams[id]
	var code frame.Code
	switch {
	case s == nil && c.wasReset(id):
		m.Unlock()
		return c.budget.Spend()
	case s == nil:
		m.Unlock()
		return &faultClosed
	case s.st.recvDone:
		code = frame.StreamClosed
	case !end || !f.ValidTrailers():
		code = frame.ProtocolError
	default:
		m.Unlock()
		return c.requestEnds(s)
	}
	fault := c.streamFault(s, code)
	m.Unlock()
	return fault
}

// validTrailers tells whether the fields behind a body are well formed. What they say is passed over.

// head is what the fields of a request say.
type head struct {
	method, path, scheme, authority, host int
	contentType, encoding, timeout        int
	length                                int64
	fields                                int // that are not HTTP/2's own
	twin                                  bool
	ok                                    bool
}

// open starts the stream of a request whose fields are in s.
func (c *Conn) open(s *Stream, end bool) *link.Fault {
	h := readHead(&s.fields)
	if !h.ok || end && h.length > 0 {
		c.mu.Lock()
		c.mu.out.Reset(s.id, frame.ProtocolError)
		c.remember(s.id)
		c.mu.Unlock()
		s.recycle()
		c.srv.metrics.parseError(RefusedHeaders)
		return c.budget.SpendReset()
	}
	s.method, s.path, s.authority, s.length = h.method, h.path, h.authority, h.length
	s.twin = h.twin
	s.crowded = s.fields.Over() || h.fields > c.srv.opts.MaxHeaders
	s.arrived = c.in.nowTime
	s.since = c.in.now
	c.timer.idleAt = 0
	if !end {
		c.watchBody()
	}
	m := &c.mu
	m.Lock()
	m.streams[s.id] = s
	s.st.inTable = true
	s.st.recvDone = end
	s.st.RecvWindow = c.counted()
	s.st.credit = int(link.StreamWindow - s.st.RecvWindow) // a body of unknown length gets it once somebody reads
	m.peer.Opens(&s.st.Outflow)
	c.live.Add(1)
	m.Unlock()
	if h.contentType >= 0 && grpc.IsGRPC(s.fields.Value(h.contentType)) {
		c.openCall(s, &h, end)
	} else {
		c.openExchange(s, end)
	}
	return nil
}

// openCall starts a gRPC call.
func (c *Conn) openCall(s *Stream, h *head, end bool) {
	s.grpc = true
	f := &s.fields
	if string(f.Value(h.method)) != "POST" {
		c.refuseHTTP(s, 405)
		return
	}
	if s.crowded {
		c.refuse(s, &callHeaders)
		return
	}
	if s.twin {
		c.refuse(s, &callTwin)
		return
	}
	if !grpc.IsProto(f.Value(h.contentType)) {
		c.refuse(s, &callCodec)
		return
	}
	kind := c.srv.grpc.Method(s.Path())
	if kind == Unknown {
		c.refuse(s, &callUnknown)
		return
	}
	if h.timeout >= 0 {
		d, ok := grpc.ParseTimeout(f.Value(h.timeout))
		if !ok {
			c.refuse(s, &callTimeout)
			return
		}
		s.timeout = d
	}
	if h.encoding >= 0 {
		coding, ok := codec.Parse(f.Value(h.encoding))
		if !ok {
			c.refuse(s, &callEncoding)
			return
		}
		s.coding = coding
	}
	// The kind comes last: until then a refusal has no handler to go to.
	if s.kind = kind; kind == Streaming {
		c.openStreaming(s, end)
	} else if end {
		c.callIsWhole(s)
	}
}

// openStreaming hands a stream of messages to its handler.
func (c *Conn) openStreaming(s *Stream, end bool) {
	s.inbox.ended = end
	c.hold(s)
	c.serves(s)
	go s.run()
}

// refuseHTTP answers a stream with a status and nothing else.
func (c *Conn) refuseHTTP(s *Stream, status int) {
	s.msg.discard = true
	s.send.status, s.send.rest, s.send.only = status, true, true
	s.send.fields = appendField(s.send.fields, varies, "content-length", []byte("0"))
	s.send.fields = appendField(s.send.fields, varies, "allow", []byte("POST"))
	c.hold(s)
	s.hand()
}

// readHead checks the fields of a request by RFC 9113, section 8, and finds those that the engine needs.
func readHead(f *hpack.Fields) head {
	h := head{
		method: -1, path: -1, scheme: -1, authority: -1, host: -1,
		contentType: -1, encoding: -1, timeout: -1, length: -1,
	}
	for i := range f.Len() {
		if !f.ValidName(i) || !f.ValidValue(i) {
			return h
		}
		name := f.Name(i)
		if name[0] == ':' {
			if h.fields > 0 || !h.pseudo(f, i) {
				return h
			}
			continue
		}
		h.fields++
		if !h.regular(f, i, name) {
			return h
		}
	}
	if h.authority < 0 {
		h.authority = h.host
	}
	if h.path < 0 {
		h.ok = f.Over() && h.method >= 0 && h.scheme >= 0 // a path that was dropped is refused for its size
		return h
	}
	h.ok = h.method >= 0 && h.scheme >= 0 && validPath(f.Value(h.path), f.Value(h.method))
	return h
}

// pseudo takes a pseudo-field: known, and once.
func (h *head) pseudo(f *hpack.Fields, i int) bool {
	var at *int
	switch f.Known(i) {
	case hpack.Method:
		at = &h.method
	case hpack.Path:
		at = &h.path
	case hpack.Scheme:
		at = &h.scheme
	case hpack.Authority:
		at = &h.authority
	default:
		return false
	}
	if *at >= 0 {
		return false
	}
	*at = i
	return true
}

// regular takes a field that is none of HTTP/2's own.
func (h *head) regular(f *hpack.Fields, i int, name []byte) bool {
	switch f.Known(i) {
	case hpack.ContentType:
		if h.contentType >= 0 {
			return false
		}
		h.contentType = i
		return true
	case hpack.ContentLength:
		n, ok := parseLength(f.Value(i))
		if !ok || h.length >= 0 && h.length != n {
			return false
		}
		h.length = n
		return true
	case hpack.Host:
		if h.host >= 0 {
			return false
		}
		h.host = i
		return true
	case hpack.Transfer:
		return false
	case 0:
	default:
		return true
	}
	switch string(name) {
	case "te":
		return string(f.Value(i)) == "trailers"
	case "connection", "upgrade", "keep-alive", "proxy-connection":
		return false
	case "grpc-timeout":
		h.timeout = i
	case "grpc-encoding":
		h.encoding = i
	default:
		h.twin = h.twin || bytes.IndexByte(name, '_') >= 0 && wire.Twin(name)
	}
	return true
}

// validPath tells whether a path is one: it starts with a slash, but for the one of OPTIONS.
func validPath(path, method []byte) bool {
	if len(path) == 0 || path[0] != '/' {
		return string(path) == "*" && string(method) == "OPTIONS"
	}
	for _, b := range path {
		if b <= ' ' || b == 0x7f || b == '#' {
			return false
		}
	}
	return true
}

// parseLength reads a content-length.
func parseLength(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 18 {
		return 0, false
	}
	var n int64
	for _, d := range v {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = 10*n + int64(d-'0')
	}
	return n, true
}
