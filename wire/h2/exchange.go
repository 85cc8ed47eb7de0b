package h2

import (
	"bytes"
	"strconv"
	"time"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// exchange is a plain request as handlers see it. It belongs to the goroutine that serves it.
type exchange struct {
	s        *Stream
	read     bool // ReadBody was called
	replied  bool // Reply or Begin was called
	parts    bool // Begin was
	encoding bool // the body has a coding that is refused: the answer says what is accepted
}

// mostTarget bounds the request target.
const mostTarget = 8 << 10

// openExchange starts a plain request.
func (c *Conn) openExchange(s *Stream, end bool) {
	if end {
		s.body.end()
	}
	c.hold(s)
	c.serves(s)
	go s.run()
}

// serveExchange has the handler answer a plain request, and answers if it does not.
func (s *Server) serveExchange(st *Stream) {
	x := &exchange{s: st}
	if r := x.refusal(); r != nil {
		s.metrics.refused(r)
		x.refuse(r)
		return
	}
	panicked := s.answer(x)
	switch {
	case x.parts:
		x.endParts(panicked)
	case !x.replied:
		x.refuse(&refuseInternal)
	}
}

// answer calls the handler and survives it.
func (s *Server) answer(x *exchange) (panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			panicked = true
			s.panicked("handler panicked", p)
		}
	}()
	s.rest.Serve(x)
	return false
}

// refusal tells why a request is not served at all.
func (x *exchange) refusal() *refusal {
	switch {
	case x.s.crowded:
		return &refuseHeaderSize
	case x.s.twin:
		return &refuseUnderscore
	case len(x.s.Path()) > mostTarget:
		return &refuseTarget
	}
	if e := x.s.Header("expect"); e != nil && !bytes.EqualFold(e, []byte("100-continue")) {
		return &refuseExpect
	}
	switch string(x.Method()) {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return nil
	}
	return &refuseMethod
}

// refuse answers with a refusal.
func (x *exchange) refuse(r *refusal) {
	text := wire.AppendRefusal(nil, r.text, r.code, wire.AppendRequestID(nil, x.s.Header("x-request-id")))
	reply := wire.Reply{Status: r.status, ContentType: "application/json"}
	if r == &refuseMethod {
		reply.Headers = append(reply.Headers, wire.Header{Name: "allow", Value: []byte("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")})
	}
	reply.Body.AppendOwned(slab.View{B: text})
	x.Reply(&reply)
}

func (x *exchange) Method() []byte { return x.s.fields.Value(x.s.method) }

func (x *exchange) Path() []byte {
	path, _, _ := bytes.Cut(x.s.Path(), []byte("?"))
	return path
}

func (x *exchange) Query() []byte {
	_, query, _ := bytes.Cut(x.s.Path(), []byte("?"))
	return query
}

func (x *exchange) Header(name string) []byte {
	f := &x.s.fields
	var v []byte
	n := 0
	for i := range f.Len() {
		if !equalFold(f.Name(i), name) {
			continue
		}
		if n++; n > 1 {
			if !listed(name) {
				return nil
			}
			break
		}
		v = f.Value(i)
	}
	if n == 0 && equalFold([]byte("host"), name) {
		return x.s.Authority()
	}
	return v
}

// equalFold compares a name in lower case with one that may not be.
func equalFold(lower []byte, name string) bool {
	if len(lower) != len(name) {
		return false
	}
	for i := range lower {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if lower[i] != c {
			return false
		}
	}
	return true
}

// listed tells whether a field may come more than once; the first one then stands for all.
func listed(name string) bool {
	for _, l := range [...]string{
		"accept", "accept-encoding", "accept-language", "cache-control", "cookie", "forwarded", "pragma", "trailer",
		"tracestate", "via", "x-forwarded-for",
	} {
		if equalFold([]byte(l), name) {
			return true
		}
	}
	return false
}

func (x *exchange) ContentLength() int64 { return x.s.length }

func (x *exchange) Proto() string { return "HTTP/2.0" }

func (x *exchange) Remote() string { return x.s.Remote() }

func (x *exchange) ReadBody(dst *slab.List, limit int64) error {
	if x.read {
		panic("BUG: h2: a body was read twice")
	}
	x.read = true
	r := x.readBody(dst, limit)
	if r == nil {
		return nil
	}
	dst.Release()
	x.encoding = r == &refuseEncoding
	x.s.c.srv.metrics.refused(r)
	return r.err()
}

func (x *exchange) readBody(dst *slab.List, limit int64) *refusal {
	s := x.s
	srv := s.c.srv
	coding, r := x.contentEncoding()
	sent := limit // of the body as it is sent
	if coding != codec.Identity {
		sent += limit/64 + 1024
	}
	switch {
	case r != nil:
		return r
	case s.length > sent:
		return &refuseTooLarge
	}
	total, r := s.body.want(srv.pool, s.length, sent)
	if r != nil {
		return r
	}
	s.c.bodyWanted(s, total)
	if coding == codec.Identity {
		return s.body.wait(dst)
	}
	var raw slab.List
	defer raw.Release()
	if r := s.body.wait(&raw); r != nil {
		return r
	}
	return srv.inflateBody(dst, &raw, coding, limit)
}

// contentEncoding returns the coding of the body.
func (x *exchange) contentEncoding() (codec.Coding, *refusal) {
	v, n := x.s.fields.Get("content-encoding")
	if n == 0 || len(v) == 0 {
		return codec.Identity, nil
	}
	if c, ok := codec.Parse(v); ok && n == 1 {
		return c, nil
	}
	return codec.Identity, &refuseEncoding
}

// bodyWanted opens the window of a body that somebody wants, of which total bytes have come.
func (c *Conn) bodyWanted(s *Stream, total int64) {
	if s.Header("expect") != nil && total == 0 {
		c.mu.Lock()
		if !s.st.gone && !s.st.recvDone {
			out := c.mu.out.Open()
			at := out.StartBlock()
			out.B = c.mu.encoder.Begin(out.B)
			out.B = c.mu.encoder.Status(out.B, 100)
			out.EndBlock(at, s.id, frame.EndHeaders, c.mu.peer.MaxFrame)
		}
		c.mu.Unlock()
	}
	if s.length > 0 {
		c.grant(s, s.length-total)
	} else {
		c.creditStream(s, int(total))
	}
	c.Flush()
}

// creditStream gives bytes of a stream's window back, but none that a known length does not need.
func (c *Conn) creditStream(s *Stream, n int) {
	if s.length >= 0 || n == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.st.credit += n; s.st.credit < link.StreamStep || s.st.gone || s.st.recvDone {
		return
	}
	s.st.RecvWindow += int64(s.st.credit)
	c.mu.out.Window(s.id, uint32(s.st.credit))
	s.st.credit = 0
}

func (x *exchange) Wait(done <-chan struct{}, w wire.Watcher) {
	if !x.s.Watch(w) {
		w.HangUp(wire.Reset)
		<-done
		return
	}
	<-done
	x.s.unwatch()
}

// unwatch has the watcher not be told any more. If it is being told, it waits for that to end.
func (s *Stream) unwatch() {
	m := &s.c.mu
	m.Lock()
	defer m.Unlock()
	s.st.watcher = nil
	for s.st.telling {
		if s.told == nil {
			s.told = make(chan struct{}, 1)
		}
		m.Unlock()
		<-s.told
		m.Lock()
	}
}

// Reply queues the answer.
func (x *exchange) Reply(r *wire.Reply) {
	encoded := x.head(r)
	s := x.s
	a := &s.send
	if x.encoding && r.Status == refuseEncoding.status {
		a.fields = appendField(a.fields, varies, "accept-encoding", []byte("gzip, deflate"))
	}
	if !encoded {
		x.compress(r)
	}
	if !bodiless(r.Status) {
		var n [20]byte
		a.fields = appendField(a.fields, varies, "content-length", strconv.AppendInt(n[:0], int64(r.Body.Size()), 10))
		if string(x.Method()) != "HEAD" {
			a.body.append(&r.Body)
		}
	}
	r.Body.Release()
	a.only = a.body.left == 0
	s.hand()
}

// bodiless tells whether answers of a status have no body.
func bodiless(status int) bool { return status < 200 || status == 204 || status == 304 }

// head sets what every answer has in its head, and tells whether its body is encoded already.
func (x *exchange) head(r *wire.Reply) (encoded bool) {
	if x.replied {
		panic("BUG: h2: an exchange was answered twice")
	}
	x.replied = true
	srv, a := x.s.c.srv, &x.s.send
	a.rest, a.status = true, r.Status
	if r.ContentType != "" {
		a.fields = appendField(a.fields, repeats, "content-type", []byte(r.ContentType))
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		if own(h.Name) {
			continue
		}
		encoded = encoded || equalFold([]byte("content-encoding"), h.Name)
		a.fields = appendLower(a.fields, h.Name, h.Value)
	}
	if name := srv.opts.ServerName; name != "" {
		a.fields = appendField(a.fields, repeats, "server", []byte(name))
	}
	a.fields = appendField(a.fields, varies, "date", srv.httpDate())
	return encoded
}

// own tells whether a field is the transport's.
func own(name string) bool {
	for _, o := range [...]string{
		"content-length", "transfer-encoding", "connection", "date", "keep-alive", "upgrade", "proxy-connection",
	} {
		if equalFold([]byte(o), name) {
			return true
		}
	}
	return false
}

// date is a second as it stands in the field of that name.
type date struct {
	unix int64
	text []byte
}

// httpDate returns the time for the field date.
func (s *Server) httpDate() []byte {
	now := time.Now()
	if d := s.date.Load(); d != nil && d.unix == now.Unix() {
		return d.text
	}
	d := &date{unix: now.Unix(), text: now.UTC().AppendFormat(nil, "Mon, 02 Jan 2006 15:04:05 GMT")}
	s.date.Store(d)
	return d.text
}
