package h1

import (
	"errors"
	"io"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
)

// err returns the refusal as a handler sees it.
func (r *refusal) err() *wire.Error {
	return &wire.Error{Status: r.status, Code: r.code, Text: r.text}
}

// ReadBody reads the whole body into slabs.
func (x *exchange) ReadBody(dst *slab.List, limit int64) error {
	if x.read {
		panic("BUG: h1: a body was read twice")
	}
	x.read = true
	r := x.readBody(dst, limit)
	if r == nil {
		return nil
	}
	dst.Release()
	b := &x.c.body
	// A body that was refused unread, and of which little comes, is skipped, so that an overloaded server
	// is not also asked for new connections. Anything else that is wrong ends the connection.
	if unread := r == &refuseMemory || r == &refuseTooLarge || r == &refuseEncoding; b.failed == nil && (!unread || b.begun || b.chunked) {
		b.failed = r
	}
	x.decode = r == &refuseEncoding
	x.c.srv.metrics.refused(r)
	return r.err()
}

func (x *exchange) readBody(dst *slab.List, limit int64) *refusal {
	h, b := x.head(), &x.c.body
	coding, r := x.contentEncoding()
	switch {
	case r != nil:
		return r
	case h.length > limit && (coding == codec.Identity || h.length > limit+limit/64+1024):
		return &refuseTooLarge
	case b.end:
		if coding != codec.Identity {
			return &refuseCorrupt // not even an empty stream is empty
		}
		return nil
	case coding != codec.Identity:
		return x.inflate(dst, coding, limit)
	case b.chunked:
		return x.readChunks(dst, limit)
	}
	return x.readKnown(dst, int(h.length))
}

// readKnown reads a body of n bytes into one slab.
func (x *exchange) readKnown(dst *slab.List, n int) *refusal {
	s := x.c.srv.pool.TryGet(n)
	if s == nil {
		return &refuseMemory
	}
	dst.AppendOwned(s.View(0, n))
	return x.c.body.fill(s.Bytes()[:n])
}

// fill reads until p is full.
func (b *body) fill(p []byte) *refusal {
	for len(p) > 0 {
		n, err := b.Read(p)
		if err != nil {
			return b.failed
		}
		p = p[n:]
	}
	return nil
}

// readChunks reads a body of unknown length into slabs that double in size.
func (x *exchange) readChunks(dst *slab.List, limit int64) *refusal {
	sink := codec.Sink{Pool: x.c.srv.pool, Dst: dst, Limit: limit}
	b := &x.c.body
	for {
		p, err := sink.Room()
		if err != nil {
			sink.Close()
			r := refusalOf(err)
			if r == &refuseTooLarge && b.atEnd() {
				return nil
			}
			if b.failed != nil {
				return b.failed
			}
			return r
		}
		n, err := b.Read(p)
		sink.Filled(n)
		switch {
		case errors.Is(err, io.EOF):
			sink.Close()
			return nil
		case err != nil:
			sink.Close()
			return b.failed
		}
	}
}

// atEnd tells whether nothing of the body is left, without taking any of it.
func (b *body) atEnd() bool {
	if b.chunked && b.left == 0 && !b.end {
		b.failed = b.nextChunk()
	}
	return b.end
}
