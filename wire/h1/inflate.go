package h1

import (
	"errors"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/codec"
)

// contentEncoding returns the coding of the body.
func (x *exchange) contentEncoding() (codec.Coding, *refusal) {
	switch x.head().encoding {
	case 0:
		return codec.Identity, nil
	case 1:
	default:
		return 0, &refuseEncoding
	}
	v, _ := x.head().Find(x.c.req.buf, "content-encoding")
	if len(v) == 0 {
		return codec.Identity, nil
	}
	if c, ok := codec.Parse(v); ok {
		return c, nil
	}
	return 0, &refuseEncoding
}

// inflate reads a body that is coded and undoes the coding.
func (x *exchange) inflate(dst *slab.List, c codec.Coding, limit int64) *refusal {
	srv, b := x.c.srv, &x.c.body
	sink := codec.Sink{Pool: srv.pool, Dst: dst, Limit: limit}
	err := srv.inflaters.Inflate(&sink, b, c, int64(srv.opts.MaxRatio))
	if b.failed != nil {
		return b.failed // what came is at fault, not what it decodes to
	}
	return refusalOf(err)
}

// refusalOf returns the refusal for an error of a codec.
func refusalOf(err error) *refusal {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, codec.ErrTooLarge):
		return &refuseTooLarge
	case errors.Is(err, codec.ErrRatio):
		return &refuseRatio
	case errors.Is(err, codec.ErrMemory):
		return &refuseMemory
	}
	return &refuseCorrupt
}
