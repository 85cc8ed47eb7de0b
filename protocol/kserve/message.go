package kserve

import (
	"math"
	"unicode/utf8"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
)

// The wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireGroup   = 3
	wireEnd     = 4 // of a group
	wireFixed32 = 5
)

const (
	maxField = 1<<29 - 1

	// maxGroups bounds how deep groups nest, which only unknown fields can hold.
	maxGroups = 100
)

// A messageReader walks an encoded protobuf message that may lie in several views, and accepts what
// proto.Unmarshal accepts. The caller enters the messages that it knows and skips the rest; both ways check
// everything. The first fault sticks: field, what and at hold it, and every later step fails.
type messageReader struct {
	list *slab.List
	view int    // index of the view that holds the next byte
	base int    // offset of that view in the list
	b    []byte // its bytes
	i    int    // place of the next byte in b
	n    int    // where to stop in b: at its end, or at that of the message
	end  int    // offset in the list where the message being read ends

	field string
	what  string
	at    int

	scratch []byte // strings that straddle views
}

func (r *messageReader) reset(list *slab.List) {
	scratch := r.scratch[:0]
	if cap(scratch) > keepScratch {
		scratch = nil
	}
	*r = messageReader{list: list, scratch: scratch}
	if list != nil && list.Len() > 0 {
		r.b = list.At(0).B
		r.limit(list.Size())
	}
}

// fail records the first fault and returns false.
func (r *messageReader) fail(field, what string) bool {
	if r.what == "" {
		r.field, r.what, r.at = field, what, r.pos()
	}
	return false
}

func (r *messageReader) failed() bool { return r.what != "" }

// fault words what was wrong with the message.
func (r *messageReader) fault() *infer.Error {
	return infer.Errorf(infer.Invalid, "the request cannot be parsed: %s: %s at byte %d", r.field, r.what, r.at)
}

const (
	whatShort  = "the message is cut short"
	whatVarint = "a varint is longer than 64 bits"
	whatUTF8   = "invalid UTF-8 in a string"
)

func (r *messageReader) pos() int { return r.base + r.i }

// limit sets where the message being read ends.
func (r *messageReader) limit(end int) {
	r.end = end
	r.n = min(len(r.b), end-r.base)
}

// seek moves to an offset within the message.
func (r *messageReader) seek(off int) {
	if off < r.base {
		r.view, r.base, r.b = 0, 0, r.list.At(0).B
	}
	for off-r.base >= len(r.b) && r.view+1 < r.list.Len() {
		r.base += len(r.b)
		r.view++
		r.b = r.list.At(r.view).B
	}
	r.i = off - r.base
	r.limit(r.end)
}

// some tells whether there is a next byte, in b[i], and moves to the view that holds it.
func (r *messageReader) some() bool {
	if r.i < r.n {
		return true
	}
	if r.pos() >= r.end {
		return false
	}
	r.seek(r.pos())
	return true
}

// key reads the next field's number and wire type as they stand: number<<3 | type. It returns false at the
// end of the message and on a fault.
func (r *messageReader) key(message string) (key uint64, ok bool) {
	if r.what != "" || !r.some() {
		return 0, false
	}
	key, ok = r.varint(message)
	if n := key >> 3; ok && (n == 0 || n > maxField) {
		ok = r.fail(message, "invalid field number")
	}
	return key, ok
}

func (r *messageReader) varint(field string) (v uint64, ok bool) {
	if r.i < r.n && r.b[r.i] < 0x80 {
		v = uint64(r.b[r.i])
		r.i++
		return v, true
	}
	for shift := uint(0); ; shift += 7 {
		if !r.some() {
			return 0, r.fail(field, whatShort)
		}
		c := r.b[r.i]
		if shift == 63 && c > 1 {
			return 0, r.fail(field, whatVarint)
		}
		r.i++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, true
		}
	}
}

// length reads the length of a field of bytes, all of which are there.
func (r *messageReader) length(field string) (n int, ok bool) {
	v, ok := r.varint(field)
	if !ok {
		return 0, false
	}
	if v > uint64(r.end-r.pos()) {
		return 0, r.fail(field, whatShort)
	}
	return int(v), true
}

// pass moves over n bytes.
func (r *messageReader) pass(field string, n int) bool {
	switch {
	case n <= r.n-r.i:
		r.i += n
	case n > r.end-r.pos():
		return r.fail(field, whatShort)
	default:
		r.seek(r.pos() + n)
	}
	return true
}

// bytes returns the next n bytes, which are there, in one run.
func (r *messageReader) bytes(n int) []byte {
	if n <= r.n-r.i {
		b := r.b[r.i : r.i+n : r.i+n]
		r.i += n
		return b
	}
	at := len(r.scratch)
	for n > 0 && r.some() {
		take := min(n, r.n-r.i)
		r.scratch = append(r.scratch, r.b[r.i:r.i+take]...)
		r.i, n = r.i+take, n-take
	}
	return r.scratch[at:len(r.scratch):len(r.scratch)]
}

// string reads a string, which stays good until the reader is reset or its list released.
func (r *messageReader) string(field string) []byte {
	n, ok := r.length(field)
	if !ok {
		return nil
	}
	b := r.bytes(n)
	if !utf8.Valid(b) {
		r.fail(field, whatUTF8)
		return nil
	}
	return b
}

// enter begins a message within the one being read and returns where that ends, for leave.
func (r *messageReader) enter(field string) (outer int) {
	outer = r.end
	if n, ok := r.length(field); ok {
		r.limit(r.pos() + n)
	}
	return outer
}

// leave goes back to the message around the one that was read.
func (r *messageReader) leave(outer int) { r.limit(outer) }

// fixed reads size <= 8 bytes as a little-endian number.
func (r *messageReader) fixed(field string, size int) (v uint64) {
	if size > r.end-r.pos() {
		r.fail(field, whatShort)
		return 0
	}
	for i := 0; i < size && r.some(); i++ {
		v |= uint64(r.b[r.i]) << (8 * i)
		r.i++
	}
	return v
}

// skip passes over the value of a field that the caller does not know.
func (r *messageReader) skip(message string, key uint64) {
	if key&7 != wireGroup {
		r.skipValue(message, key)
		return
	}
	var open [maxGroups]uint64
	open[0] = key >> 3
	for depth := 1; depth > 0; {
		key, ok := r.varint(message)
		if !ok {
			return
		}
		switch n := key >> 3; {
		case n == 0 || n > math.MaxInt32:
			r.fail(message, "invalid field number")
			return
		case key&7 == wireGroup && depth == maxGroups:
			r.fail(message, "groups nest deeper than 100 levels")
			return
		case key&7 == wireGroup:
			open[depth] = n
			depth++
		case key&7 == wireEnd && n != open[depth-1]:
			r.fail(message, "a group ends that has not begun")
			return
		case key&7 == wireEnd:
			depth--
		case !r.skipValue(message, key):
			return
		}
	}
}

func (r *messageReader) skipValue(message string, key uint64) bool {
	switch key & 7 {
	case wireVarint:
		_, ok := r.varint(message)
		return ok
	case wireFixed64:
		return r.pass(message, 8)
	case wireBytes:
		n, ok := r.length(message)
		return ok && r.pass(message, n)
	case wireFixed32:
		return r.pass(message, 4)
	case wireEnd:
		return r.fail(message, "a group ends that has not begun")
	}
	return r.fail(message, "invalid wire type")
}
