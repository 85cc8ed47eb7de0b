package text

import (
	"encoding/binary"

	"github.com/sluice-serving/sluice/slab"
)

const (
	firstChunk = 1 << 10
	maxChunk   = 1 << 20
)

// A Writer appends bytes to a list, a slab at a time: each is twice as large as the one before it, so that
// long answers cost few slabs and nothing is copied when one is full.
type Writer struct {
	pool *slab.Pool
	list *slab.List
	cur  *slab.Slab
	Buf  []byte // of cur: what has been written
	next int    // size of the next slab
}

// Start begins to write to list. hint is how much there will be, as far as anybody knows.
func (w *Writer) Start(pool *slab.Pool, list *slab.List, hint int) {
	*w = Writer{pool: pool, list: list, next: min(max(hint, firstChunk), maxChunk)}
}

// Room makes sure that n bytes can be appended to buf.
func (w *Writer) Room(n int) {
	if cap(w.Buf)-len(w.Buf) >= n {
		return
	}
	w.Flush()
	w.cur = w.pool.Get(max(n, w.next))
	w.Buf = w.cur.Bytes()[:0]
	w.next = min(2*w.next, maxChunk)
}

// Flush gives the written bytes to the list.
func (w *Writer) Flush() {
	if w.cur == nil {
		return
	}
	if len(w.Buf) > 0 {
		w.list.AppendOwned(w.cur.View(0, len(w.Buf)))
	} else {
		w.cur.Release()
	}
	w.cur, w.Buf = nil, nil
}

// Text writes s as it stands.
func (w *Writer) Text(s string) {
	w.Room(len(s))
	w.Buf = append(w.Buf, s...)
}

// Quoted writes a string that is UTF-8 and not long, such as a name.
func (w *Writer) Quoted(s []byte) {
	w.Room(6*len(s) + 2)
	w.Buf = AppendString(w.Buf, s)
}

// A Reader yields the elements of a tensor whose data may lie in several views.
type Reader struct {
	list *slab.List
	view int
	rest []byte // of the view before view
	odd  [8]byte
}

// Start begins to read the data of a tensor.
func (r *Reader) Start(list *slab.List) { *r = Reader{list: list} }

// Some returns at least one byte and at most n, or nothing at the end.
func (r *Reader) Some(n int) []byte {
	for len(r.rest) == 0 {
		if r.view == r.list.Len() {
			return nil
		}
		r.rest = r.list.At(r.view).B
		r.view++
	}
	b := r.rest[:min(n, len(r.rest))]
	r.rest = r.rest[len(b):]
	return b
}

// Fixed returns the next n <= 8 bytes in one run, or nil if there are fewer.
func (r *Reader) Fixed(n int) []byte {
	if len(r.rest) >= n {
		b := r.rest[:n]
		r.rest = r.rest[n:]
		return b
	}
	for at := 0; at < n; {
		b := r.Some(n - at)
		if b == nil {
			return nil
		}
		at += copy(r.odd[at:], b)
	}
	return r.odd[:n]
}

// Skip passes over n bytes, or what is left of them.
func (r *Reader) Skip(n int) {
	for n > 0 {
		b := r.Some(n)
		if b == nil {
			return
		}
		n -= len(b)
	}
}

// Prefix reads the length of a BYTES element.
func (r *Reader) Prefix() (n int, ok bool) {
	b := r.Fixed(4)
	if b == nil {
		return 0, false
	}
	return int(binary.LittleEndian.Uint32(b)), true
}
