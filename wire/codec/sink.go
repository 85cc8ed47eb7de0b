package codec

import (
	"io"

	"github.com/sluice-serving/sluice/slab"
)

const (
	firstSlab = 8 << 10
	lastSlab  = 1 << 20
)

// Sink grows a list by slabs that double in size, as bytes arrive whose number is not known, and asks the
// budget for each.
type Sink struct {
	Pool  *slab.Pool
	Dst   *slab.List
	Limit int64 // of all bytes

	slab  *slab.Slab
	used  int
	total int64
}

// Total returns how many bytes there are.
func (s *Sink) Total() int64 { return s.total }

// Room returns where to put the next bytes: at least one, and none beyond the limit. The error is ErrTooLarge
// or ErrMemory.
func (s *Sink) Room() ([]byte, error) {
	if s.total >= s.Limit {
		s.Close()
		return nil, ErrTooLarge
	}
	if s.slab == nil || s.used == len(s.slab.Bytes()) {
		size := firstSlab
		if s.slab != nil {
			size = min(2*len(s.slab.Bytes()), lastSlab)
		}
		s.Close()
		if s.slab = s.Pool.TryGet(size); s.slab == nil {
			return nil, ErrMemory
		}
	}
	p := s.slab.Bytes()[s.used:]
	if left := s.Limit - s.total; int64(len(p)) > left {
		p = p[:left]
	}
	return p, nil
}

// Filled says that n bytes were put where Room said.
func (s *Sink) Filled(n int) {
	s.used += n
	s.total += int64(n)
}

// Close gives the last slab to the list.
func (s *Sink) Close() {
	switch {
	case s.slab == nil:
	case s.used == 0:
		s.slab.Release()
	default:
		s.Dst.AppendOwned(s.slab.View(0, s.used))
	}
	s.slab, s.used = nil, 0
}

// Reader reads the bytes of a list, which keeps them.
type Reader struct {
	list *slab.List
	view int
	off  int
}

// NewReader returns a reader of list.
func NewReader(list *slab.List) *Reader { return &Reader{list: list} }

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	for r.view < r.list.Len() {
		b := r.list.At(r.view).B[r.off:]
		if len(b) == 0 {
			r.view++
			r.off = 0
			continue
		}
		n := copy(p, b)
		r.off += n
		return n, nil
	}
	return 0, io.EOF
}
