package h1

import (
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
)

// compress replaces the body of r by its compressed form if the client wants that and it is smaller.
func (x *exchange) compress(r *wire.Reply) {
	if r.Body.Size() < x.c.srv.opts.MinCompress || bodiless(r.Status) {
		return
	}
	list, n := x.head().Find(x.c.req.buf, "accept-encoding")
	if n != 1 {
		return
	}
	want := codec.Accepted(list)
	if want == codec.Identity || !x.c.srv.deflaters.Deflate(&r.Body, want, x.c.srv.pool) {
		return
	}
	h := &x.ctx.Response.Header
	h.Add("Vary", "Accept-Encoding")
	h.SetContentEncoding(want.String())
}
