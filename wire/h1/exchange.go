package h1

import (
	"runtime/debug"

	"github.com/valyala/fasthttp"
	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h1/syntax"
)

// exchange is the request that a connection serves, as handlers see it.
type exchange struct {
	c       *conn
	ctx     *fasthttp.RequestCtx
	read    bool   // ReadBody was called
	replied bool   // Reply or Begin was called
	parts   bool   // Begin was
	decode  bool   // the body has a content encoding that is refused: the answer says what is accepted
	remote  string // of the connection, once asked for
}

func (x *exchange) head() *head { return &x.c.req.head }

func (x *exchange) Method() []byte { return x.head().method.In(x.c.req.buf) }

func (x *exchange) Path() []byte { return x.head().path.In(x.c.req.buf) }

func (x *exchange) Query() []byte {
	q := x.head().query.In(x.c.req.buf)
	if len(q) == 0 {
		return nil
	}
	return q[1:]
}

func (x *exchange) Header(name string) []byte {
	v, n := x.head().Find(x.c.req.buf, name)
	if n == 0 || n > 1 && !listed(name) {
		return nil
	}
	return v
}

// listed tells whether a field may come more than once; the first one then stands for all.
func listed(name string) bool {
	for _, l := range [...]string{
		"accept", "accept-encoding", "accept-language", "cache-control", "connection", "cookie", "forwarded",
		"pragma", "te", "trailer", "tracestate", "upgrade", "via", "x-forwarded-for",
	} {
		if syntax.EqualFold([]byte(name), l) {
			return true
		}
	}
	return false
}

func (x *exchange) ContentLength() int64 { return x.head().length }

func (x *exchange) Proto() string {
	if x.head().minor == 0 {
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}

func (x *exchange) Remote() string {
	if x.remote == "" {
		x.remote = x.c.sock.RemoteAddr().String()
	}
	return x.remote
}

func (x *exchange) Wait(done <-chan struct{}, w wire.Watcher) {
	x.c.watch.begin(w)
	<-done
	x.c.watch.end()
}

// Reply sets the head of the answer and keeps its body.
func (x *exchange) Reply(r *wire.Reply) {
	encoded := x.answer(r)
	resp := &x.ctx.Response
	if x.decode && r.Status == refuseEncoding.status {
		resp.Header.Add("Accept-Encoding", encodings)
	}
	if !encoded {
		x.compress(r)
	}
	if !bodiless(r.Status) {
		resp.Header.SetContentLength(r.Body.Size())
		if string(x.Method()) != "HEAD" {
			x.c.reply.body.AppendList(&r.Body)
		}
	}
	r.Body.Release()
}

// answer sets what every answer has in its head, and tells whether its body is encoded already.
func (x *exchange) answer(r *wire.Reply) (encoded bool) {
	if x.replied {
		panic("BUG: h1: an exchange was answered twice")
	}
	x.replied = true
	resp := &x.ctx.Response
	resp.SkipBody = true // it is written behind the head, by conn.Write
	resp.SetStatusCode(r.Status)
	if r.ContentType != "" {
		resp.Header.SetContentType(r.ContentType)
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		switch {
		case own(h.Name):
		case syntax.EqualFold([]byte(h.Name), "content-encoding"):
			encoded = true
			fallthrough
		default:
			resp.Header.AddBytesV(h.Name, h.Value)
		}
	}
	if r.Close {
		x.ctx.SetConnectionClose()
	}
	return encoded
}

// bodiless tells whether answers of a status have no body.
func bodiless(status int) bool { return status < 200 || status == 204 || status == 304 }

// own tells whether a field is the transport's.
func own(name string) bool {
	for _, o := range [...]string{"content-length", "transfer-encoding", "connection", "date", "keep-alive"} {
		if len(name) == len(o) && syntax.EqualFold([]byte(name), o) {
			return true
		}
	}
	return false
}

// handle is fasthttp's handler: by now the head of the request lies in the connection.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	c, ok := ctx.Conn().(*conn)
	if !ok {
		panic("BUG: h1: fasthttp serves a foreign connection")
	}
	x := &c.x
	x.ctx, x.read, x.replied, x.parts, x.decode = ctx, false, false, false, false
	s.serve(x)
	if !x.replied {
		x.fail()
	}
	x.ctx = nil
	c.reply.due = true
	c.closeBehind(ctx)
}

// serve calls the handler and survives it.
func (s *Server) serve(x *exchange) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked("handler panicked", p)
			switch {
			case x.parts:
				x.c.reply.framing = framedCut
				x.ctx.SetConnectionClose()
			case x.replied:
				// What was set may be half an answer.
				x.c.reply.release()
				x.ctx.Response.Reset()
				x.replied = false
			}
			x.c.linger = true
		}
	}()
	s.handler.Serve(x)
}

// panicked counts and logs a panic, while its stack stands.
func (s *Server) panicked(what string, p any) {
	s.metrics.panicked()
	s.log.Error(what, zap.String("panic", wire.PanicText(p)), zap.ByteString("stack", debug.Stack()))
}

// fail answers an exchange whose handler did not.
func (x *exchange) fail() {
	why := &refuseInternal
	id, _ := x.head().Find(x.c.req.buf, "x-request-id")
	text := wire.AppendRefusal(nil, why.text, why.code, wire.AppendRequestID(nil, id))
	r := wire.Reply{Status: why.status, ContentType: "application/json", Close: true}
	r.Body.AppendOwned(slab.View{B: text})
	x.Reply(&r)
}

// closeBehind has the connection end with this answer if it is to.
func (c *conn) closeBehind(ctx *fasthttp.RequestCtx) {
	if why, closes := c.closes(ctx); closes {
		if c.why == ClosedByClient {
			c.why = why
		}
		ctx.SetConnectionClose()
	}
}

// closes tells whether the connection ends with this answer, and why.
func (c *conn) closes(ctx *fasthttp.RequestCtx) (Reason, bool) {
	h := &c.req.head
	switch {
	case c.srv.draining.Load():
		return ClosedDrain, true
	case h.close, h.minor == 0 && !h.keep, c.body.mustClose(), ctx.Response.ConnectionClose():
		return ClosedAnswered, true
	case c.poked.Load() != nil:
		return *c.poked.Load(), true
	case !c.expire.IsZero() && c.now.After(c.expire):
		return ClosedAge, true
	}
	return "", false
}
