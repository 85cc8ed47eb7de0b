package h2

import (
	"bufio"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/sluice-serving/sluice/slab"
)

// coding is a coding of contents or messages.
type coding uint8

const (
	identity coding = iota
	gzipped
	deflated
)

// parseCoding reads the name of a coding.
func parseCoding(v []byte) (coding, bool) {
	switch {
	case equalFoldBytes(v, "identity"):
		return identity, true
	case equalFoldBytes(v, "gzip"), equalFoldBytes(v, "x-gzip"):
		return gzipped, true
	case equalFoldBytes(v, "deflate"):
		return deflated, true
	}
	return identity, false
}

func equalFoldBytes(v []byte, lower string) bool { return equalFold([]byte(lower), string(v)) }

// ratioFrom is the decoded size from which the ratio of a body is bounded.
const ratioFrom = 1 << 20

// inflater undoes codings. It is pooled: its windows are large.
type inflater struct {
	src  *slab.List
	view int
	off  int
	in   int64 // bytes taken from src
	buf  *bufio.Reader
	gzip *gzip.Reader
	zlib io.ReadCloser
	raw  io.ReadCloser
}

// Read gives the readers what was sent.
func (f *inflater) Read(p []byte) (int, error) {
	for f.view < f.src.Len() {
		b := f.src.At(f.view).B[f.off:]
		if len(b) == 0 {
			f.view++
			f.off = 0
			continue
		}
		n := copy(p, b)
		f.off += n
		f.in += int64(n)
		return n, nil
	}
	return 0, io.EOF
}

// open returns what reads the decoded bytes.
func (f *inflater) open(src *slab.List, c coding) (r io.Reader, err error) {
	f.src, f.view, f.off, f.in = src, 0, 0, 0
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

// How inflating fails.
var (
	errCorrupt = errors.New("h2: corrupt")
	errLarge   = errors.New("h2: too large")
	errRatio   = errors.New("h2: expands too much")
	errMemory  = errors.New("h2: no memory")
)

// inflation undoes codings into slabs of a pool.
type inflation struct {
	pool      *slab.Pool
	ratio     int64 // how much larger than sent a body may become, once it is over ratioFrom
	inflaters sync.Pool
}

// inflate appends to dst what src decodes to, at most limit bytes.
func (s *inflation) inflate(dst, src *slab.List, c coding, limit int64) error {
	f, ok := s.inflaters.Get().(*inflater)
	if !ok {
		f = &inflater{}
		f.buf = bufio.NewReaderSize(f, 4<<10)
	}
	defer func() {
		f.src = nil
		s.inflaters.Put(f)
	}()
	r, err := f.open(src, c)
	if err != nil {
		return errCorrupt
	}
	sink := sink{pool: s.pool, dst: dst, limit: limit}
	defer sink.close()
	for {
		p, err := sink.room()
		if errors.Is(err, errLarge) {
			return f.end(r)
		}
		if err != nil {
			return err
		}
		n, err := r.Read(p)
		sink.filled(n)
		switch {
		case sink.total > ratioFrom && sink.total/s.ratio > f.in:
			return errRatio
		case errors.Is(err, io.EOF):
			return f.trailing()
		case err != nil:
			return errCorrupt
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
			return errLarge
		case errors.Is(err, io.EOF):
			return f.trailing()
		case err != nil:
			return errCorrupt
		}
	}
}

// trailing refuses what follows the end of the stream.
func (f *inflater) trailing() error {
	if _, err := f.buf.Peek(1); !errors.Is(err, io.EOF) {
		return errCorrupt
	}
	return nil
}

// inflateMessage decompresses a message in place, to at most limit bytes.
func (s *inflation) inflateMessage(message *slab.List, c coding, limit int64) *callRefusal {
	var out slab.List
	defer out.Release()
	switch err := s.inflate(&out, message, c, limit); {
	case errors.Is(err, errCorrupt):
		return &callCorrupt
	case errors.Is(err, errLarge):
		return &callTooLarge
	case errors.Is(err, errRatio):
		return &callRatio
	case err != nil:
		return &callMemory
	}
	message.Release()
	message.AppendList(&out)
	return nil
}

// inflateBody decompresses a body.
func (s *inflation) inflateBody(dst, src *slab.List, c coding, limit int64) *refusal {
	switch err := s.inflate(dst, src, c, limit); {
	case errors.Is(err, errCorrupt):
		return &refuseCorrupt
	case errors.Is(err, errLarge):
		return &refuseTooLarge
	case errors.Is(err, errRatio):
		return &refuseRatio
	case err != nil:
		return &refuseMemory
	}
	return nil
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
func (s *sink) room() ([]byte, error) {
	if s.total >= s.limit {
		s.close()
		return nil, errLarge
	}
	if s.slab == nil || s.used == len(s.slab.Bytes()) {
		size := firstChunk
		if s.slab != nil {
			size = min(2*len(s.slab.Bytes()), lastChunk)
		}
		s.close()
		if s.slab = s.pool.TryGet(size); s.slab == nil {
			return nil, errMemory
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
