package codec

import (
	"bufio"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
)

// ratioFrom is the decoded size from which the ratio is bounded.
const ratioFrom = 1 << 20

// Inflaters undo codings. The zero value is ready to use.
type Inflaters struct{ pool sync.Pool }

// Inflate puts what src decodes to into sink, and closes it. Beyond a megabyte it may be at most ratio times
// what was read. The error is ErrCorrupt, which an error of src is as well, ErrTooLarge, ErrRatio or ErrMemory.
func (p *Inflaters) Inflate(sink *Sink, src io.Reader, c Coding, ratio int64) error {
	f, ok := p.pool.Get().(*inflater)
	if !ok {
		f = newInflater()
	}
	err := f.copy(sink, src, c, ratio)
	sink.Close()
	f.src = nil
	p.pool.Put(f)
	return err
}

// inflater undoes codings. It is pooled: its windows are large.
type inflater struct {
	src  io.Reader
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

// open returns what reads the decoded bytes.
func (f *inflater) open(src io.Reader, c Coding) (r io.Reader, err error) {
	f.src, f.in = src, 0
	f.buf.Reset(f)
	switch {
	case c == Gzip && f.gzip == nil:
		f.gzip, err = gzip.NewReader(f.buf)
		return f.gzip, err
	case c == Gzip:
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

func (f *inflater) copy(s *Sink, src io.Reader, c Coding, ratio int64) error {
	r, err := f.open(src, c)
	if err != nil {
		return ErrCorrupt
	}
	for {
		p, err := s.Room()
		if errors.Is(err, ErrTooLarge) {
			return f.end(r)
		}
		if err != nil {
			return err
		}
		n, err := r.Read(p)
		s.Filled(n)
		switch {
		case s.total > ratioFrom && s.total/ratio > f.in:
			return ErrRatio
		case errors.Is(err, io.EOF):
			return f.trailing()
		case err != nil:
			return ErrCorrupt
		}
	}
}

// end tells whether what is exactly as long as the limit ends there.
func (f *inflater) end(r io.Reader) error {
	var one [1]byte
	for {
		n, err := r.Read(one[:])
		switch {
		case n > 0:
			return ErrTooLarge
		case errors.Is(err, io.EOF):
			return f.trailing()
		case err != nil:
			return ErrCorrupt
		}
	}
}

// trailing refuses what follows the end of the stream.
func (f *inflater) trailing() error {
	if _, err := f.buf.Peek(1); !errors.Is(err, io.EOF) {
		return ErrCorrupt
	}
	return nil
}
