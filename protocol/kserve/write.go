package kserve

import (
	"encoding/binary"

	"github.com/sluice-serving/sluice/slab"
)

const (
	firstChunk = 1 << 10
	maxChunk   = 1 << 20
)

// A writer appends bytes to a list, a slab at a time: each is twice as large as the one before it, so that
// long answers cost few slabs and nothing is copied when one is full.
type writer struct {
	pool *slab.Pool
	list *slab.List
	cur  *slab.Slab
	buf  []byte // of cur: what has been written
	next int    // size of the next slab
}

// start begins to write to list. hint is how much there will be, as far as anybody knows.
func (w *writer) start(pool *slab.Pool, list *slab.List, hint int) {
	*w = writer{pool: pool, list: list, next: min(max(hint, firstChunk), maxChunk)}
}

// room makes sure that n bytes can be appended to buf.
func (w *writer) room(n int) {
	if cap(w.buf)-len(w.buf) >= n {
		return
	}
	w.flush()
	w.cur = w.pool.Get(max(n, w.next))
	w.buf = w.cur.Bytes()[:0]
	w.next = min(2*w.next, maxChunk)
}

// flush gives the written bytes to the list.
func (w *writer) flush() {
	if w.cur == nil {
		return
	}
	if len(w.buf) > 0 {
		w.list.AppendOwned(w.cur.View(0, len(w.buf)))
	} else {
		w.cur.Release()
	}
	w.cur, w.buf = nil, nil
}

func (w *writer) text(s string) {
	w.room(len(s))
	w.buf = append(w.buf, s...)
}

// quoted writes a string that is UTF-8 and not long, such as a name.
func (w *writer) quoted(s []byte) {
	w.room(6*len(s) + 2)
	w.buf = appendString(w.buf, s)
}

// A reader yields the elements of a tensor whose data may lie in several views.
type reader struct {
	list *slab.List
	view int
	rest []byte // of the view before view
	odd  [8]byte
}

func (r *reader) start(list *slab.List) { *r = reader{list: list} }

// some returns at least one byte and at most n, or nothing at the end.
func (r *reader) some(n int) []byte {
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

// fixed returns the next n <= 8 bytes in one run, or nil if there are fewer.
func (r *reader) fixed(n int) []byte {
	if len(r.rest) >= n {
		b := r.rest[:n]
		r.rest = r.rest[n:]
		return b
	}
	for at := 0; at < n; {
		b := r.some(n - at)
		if b == nil {
			return nil
		}
		at += copy(r.odd[at:], b)
	}
	return r.odd[:n]
}

// prefix reads the length of a BYTES element.
func (r *reader) prefix() (n int, ok bool) {
	b := r.fixed(4)
	if b == nil {
		return 0, false
	}
	return int(binary.LittleEndian.Uint32(b)), true
}
