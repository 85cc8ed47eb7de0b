package h2

import (
	"errors"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
)

// inflateMessage decompresses a message in place.
func (s *Server) inflateMessage(message *slab.List, c codec.Coding) *callRefusal {
	return codingRefusal(s.unpacker.InPlace(message, c, s.opts.MaxMessage))
}

// unpack appends to dst what a message decompresses to. If it fails, what dst holds then is its caller's to drop.
func (s *Server) unpack(dst, message *slab.List, c codec.Coding) *callRefusal {
	return codingRefusal(s.unpacker.Unpack(dst, message, c, s.opts.MaxMessage))
}

// codingRefusal returns the refusal of a message for an error of a codec.
func codingRefusal(err error) *callRefusal {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, codec.ErrCorrupt):
		return &callCorrupt
	case errors.Is(err, codec.ErrTooLarge):
		return &callTooLarge
	case errors.Is(err, codec.ErrRatio):
		return &callRatio
	}
	return &callMemory
}

// inflateBody decompresses a body, to at most limit bytes.
func (s *Server) inflateBody(dst, src *slab.List, c codec.Coding, limit int64) *refusal {
	switch err := s.unpacker.Unpack(dst, src, c, limit); {
	case err == nil:
		return nil
	case errors.Is(err, codec.ErrCorrupt):
		return &refuseCorrupt
	case errors.Is(err, codec.ErrTooLarge):
		return &refuseTooLarge
	case errors.Is(err, codec.ErrRatio):
		return &refuseRatio
	}
	return &refuseMemory
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
