package h1

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/sluice-serving/sluice/slab"
)

// coding is a content coding.
type coding uint8

const (
	identity coding = iota
	gzipped
	deflated
)

// contentEncoding returns the coding of the body.
func (x *exchange) contentEncoding() (coding, *refusal) {
	switch x.head().encoding {
	case 0:
		return identity, nil
	case 1:
	default:
		return 0, &refuseEncoding
	}
	v, _ := x.head().find(x.c.req.buf, "content-encoding")
	switch {
	case len(v) == 0, equalFold(v, "identity"):
		return identity, nil
	case equalFold(v, "gzip"), equalFold(v, "x-gzip"):
		return gzipped, nil
	case equalFold(v, "deflate"):
		return deflated, nil
	}
	return 0, &refuseEncoding
}

// ratioFrom is the decoded size from which the ratio of a body is bounded.
const ratioFrom = 1 << 20

// inflater undoes content codings. It is pooled: its windows are large.
type inflater struct {
	src  *body
	in   int64 // bytes taken from src
	buf  *bufio.Reader
	gzip *gzip.Reader
	zlib io.ReadCloser
	raw  io.ReadCloser
}

func newInflater() *inflater {
	f := &inflater{}
	f.buf = bufio.NewReaderSize(f, 16<<10)
	return f
}

// Read gives the readers what was sent.
func (f *inflater) Read(p []byte) (int, error) {
	n, err := f.src.Read(p)
	f.in += int64(n)
	return n, err
}

// open returns what reads the decoded body.
func (f *inflater) open(src *body, c coding) (r io.Reader, err error) {
	f.src, f.in = src, 0
	f.buf.Reset(f)
	switch {
	case c == gzipped && f.gzip == nil:
		f.gzip, err = gzip.NewReader(f.buf)
		return f.gzip, err
	case c == gzipped:
		return f.gzip, f.gzip.Reset(f.buf)
	}
	start, err := f.buf.Peek(2)
	if err != nil {
		return nil, err
	}
	// "deflate" means zlib's format; some clients mean the raw stream by it.
	if !zlibHeader(start) {
		if f.raw == nil {
			f.raw = flate.NewReader(f.buf)
			return f.raw, nil
		}
		return f.raw, f.raw.(flate.Resetter).Reset(f.buf, nil)
	}
	if f.zlib == nil {
		f.zlib, err = zlib.NewReader(f.buf)
		return f.zlib, err
	}
	return f.zlib, f.zlib.(zlib.Resetter).Reset(f.buf, nil)
}

// zlibHeader tells whether b starts a zlib stream: method 8, a window that exists, a check that adds up.
func zlibHeader(b []byte) bool {
	return b[0]&0x0f == 8 && b[0]>>4 <= 7 && (uint(b[0])<<8|uint(b[1]))%31 == 0
}

// inflate reads a body that is coded and undoes the coding.
func (x *exchange) inflate(dst *slab.List, c coding, limit int64) *refusal {
	srv, b := x.c.srv, &x.c.body
	f, ok := srv.inflaters.Get().(*inflater)
	if !ok {
		f = newInflater()
	}
	sink := sink{pool: srv.pool, dst: dst, limit: limit}
	r := f.copy(&sink, b, c, int64(srv.opts.MaxRatio))
	sink.close()
	f.src = nil
	srv.inflaters.Put(f)
	if b.failed != nil {
		return b.failed // what came is at fault, not what it decodes to
	}
	return r
}

func (f *inflater) copy(s *sink, src *body, c coding, ratio int64) *refusal {
	r, err := f.open(src, c)
	if err != nil {
		return &refuseCorrupt
	}
	for {
		p, refused := s.room()
		if refused == &refuseTooLarge {
			return f.end(r, refused)
		}
		if refused != nil {
			return refused
		}
		n, err := r.Read(p)
		s.filled(n)
		switch {
		case s.total > ratioFrom && s.total/ratio > f.in:
			return &refuseRatio
		case errors.Is(err, io.EOF):
			return f.trailing()
		case err != nil:
			return &refuseCorrupt
		}
	}
}

// end tells whether a body that is exactly as long as the limit ends there.
func (f *inflater) end(r io.Reader, tooLarge *refusal) *refusal {
	var one [1]byte
	for {
		n, err := r.Read(one[:])
		switch {
		case n > 0:
			return tooLarge
		case errors.Is(err, io.EOF):
			return f.trailing()
		case err != nil:
			return &refuseCorrupt
		}
	}
}

// trailing refuses what follows the end of the stream.
func (f *inflater) trailing() *refusal {
	if _, err := f.buf.Peek(1); !errors.Is(err, io.EOF) {
		return &refuseCorrupt
	}
	return nil
}
