package h1

import (
	"errors"
	"io"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
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
	case h.length > limit && (coding == identity || h.length > limit+limit/64+1024):
		return &refuseTooLarge
	case b.end:
		if coding != identity {
			return &refuseCorrupt // not even an empty stream is empty
		}
		return nil
	case coding != identity:
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

const (
	firstSlab = 8 << 10
	lastSlab  = 1 << 20
)

// readChunks reads a body of unknown length into slabs that double in size.
func (x *exchange) readChunks(dst *slab.List, limit int64) *refusal {
	sink := sink{pool: x.c.srv.pool, dst: dst, limit: limit}
	b := &x.c.body
	for {
		p, r := sink.room()
		if r != nil {
			if r == &refuseTooLarge && b.atEnd() {
				return nil
			}
			if b.failed != nil {
				return b.failed
			}
			return r
		}
		n, err := b.Read(p)
		sink.filled(n)
		switch {
		case errors.Is(err, io.EOF):
			sink.close()
			return nil
		case err != nil:
			sink.close()
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

// sink grows a list by slabs as bytes arrive whose number is not known, and asks the budget for each.
type sink struct {
	pool  *slab.Pool
	dst   *slab.List
	limit int64 // of all bytes

	slab  *slab.Slab
	used  int
	total int64
}

// room returns where to put the next bytes: at least one, and none beyond the limit.
func (s *sink) room() ([]byte, *refusal) {
	if s.total >= s.limit {
		s.close()
		return nil, &refuseTooLarge
	}
	if s.slab == nil || s.used == len(s.slab.Bytes()) {
		size := firstSlab
		if s.slab != nil {
			size = min(2*len(s.slab.Bytes()), lastSlab)
		}
		s.close()
		if s.slab = s.pool.TryGet(size); s.slab == nil {
			return nil, &refuseMemory
		}
	}
	p := s.slab.Bytes()[s.used:]
	if left := s.limit - s.total; int64(len(p)) > left {
		p = p[:left]
	}
	return p, nil
}

func (s *sink) filled(n int) {
	s.used += n
	s.total += int64(n)
}

// close gives the last slab to the list.
func (s *sink) close() {
	switch {
	case s.slab == nil:
	case s.used == 0:
		s.slab.Release()
	default:
		s.dst.AppendOwned(s.slab.View(0, s.used))
	}
	s.slab, s.used = nil, 0
}
