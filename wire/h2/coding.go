package h2

import (
	"errors"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
)

// inflation undoes codings into slabs of a pool.
type inflation struct {
	pool      *slab.Pool
	ratio     int64 // how much larger than sent a body may become
	inflaters codec.Inflaters
}

// inflate appends to dst what src decodes to, at most limit bytes.
func (f *inflation) inflate(dst, src *slab.List, c codec.Coding, limit int64) error {
	sink := codec.Sink{Pool: f.pool, Dst: dst, Limit: limit}
	return f.inflaters.Inflate(&sink, codec.NewReader(src), c, f.ratio)
}

// inflateMessage decompresses a message in place, to at most limit bytes.
func (f *inflation) inflateMessage(message *slab.List, c codec.Coding, limit int64) *callRefusal {
	var out slab.List
	defer out.Release()
	if r := f.unpack(&out, message, c, limit); r != nil {
		return r
	}
	message.Release()
	message.AppendList(&out)
	return nil
}

// unpack appends to dst what a message decompresses to, at most limit bytes. If it fails, what dst holds then
// is its caller's to drop.
func (f *inflation) unpack(dst, message *slab.List, c codec.Coding, limit int64) *callRefusal {
	switch err := f.inflate(dst, message, c, limit); {
	case errors.Is(err, codec.ErrCorrupt):
		return &callCorrupt
	case errors.Is(err, codec.ErrTooLarge):
		return &callTooLarge
	case errors.Is(err, codec.ErrRatio):
		return &callRatio
	case err != nil:
		return &callMemory
	}
	return nil
}

// inflateBody decompresses a body.
func (f *inflation) inflateBody(dst, src *slab.List, c codec.Coding, limit int64) *refusal {
	switch err := f.inflate(dst, src, c, limit); {
	case errors.Is(err, codec.ErrCorrupt):
		return &refuseCorrupt
	case errors.Is(err, codec.ErrTooLarge):
		return &refuseTooLarge
	case errors.Is(err, codec.ErrRatio):
		return &refuseRatio
	case err != nil:
		return &refuseMemory
	}
	return nil
}

// compress replaces the body of r by its compressed form if the client wants that and it is smaller.
func (x *exchange) compress(r *wire.Reply) {
	srv := x.s.c.srv
	if r.Body.Size() < srv.opts.MinCompress || bodiless(r.Status) {
		return
	}
	list, n := x.s.fields.Get("accept-encoding")
	if n != 1 {
		return
	}
	want := codec.Accepted(list)
	if want == codec.Identity || !srv.deflaters.Deflate(&r.Body, want, srv.pool) {
		return
	}
	a := &x.s.send
	a.fields = appendField(a.fields, varies, "vary", []byte("Accept-Encoding"))
	a.fields = appendField(a.fields, repeats, "content-encoding", []byte(want.String()))
}
