package message

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
)

// The wire types of protobuf.
const (
	Varint  = 0
	Fixed64 = 1
	Bytes   = 2
	Fixed32 = 5

	wireGroup = 3
	wireEnd   = 4 // of a group
)

const (
	maxField = 1<<29 - 1

	// maxGroups bounds how deep groups nest, which only unknown fields can hold.
	maxGroups = 100
)

// keepStraddled bounds the scratch memory that a reader keeps for its next message.
const keepStraddled = 16 << 10

// A Reader walks an encoded protobuf message that may lie in several views, and accepts what
// proto.Unmarshal accepts. The caller enters the messages that it knows and skips the rest; both ways check
// everything. The first fault sticks: Field, What and At hold it, and every later step fails.
type Reader struct {
	list *slab.List
	view int    // index of the view that holds the next byte
	base int    // offset of that view in the list
	b    []byte // its bytes
	i    int    // place of the next byte in b
	n    int    // where to stop in b: at its end, or at that of the message
	// End is the offset in the list where the message being read ends.
	End int

	// Field, What and At say what was wrong first, and at which offset.
	Field string
	What  string
	At    int

	scratch []byte // strings that straddle views
}

// Reset begins a message; nil only lets go of the one before.
func (r *Reader) Reset(list *slab.List) {
	scratch := r.scratch[:0]
	if cap(scratch) > keepStraddled {
		scratch = nil
	}
	*r = Reader{list: list, scratch: scratch}
	if list != nil && list.Len() > 0 {
		r.b = list.At(0).B
		r.limit(list.Size())
	}
}

// Fail records the first fault and returns false.
func (r *Reader) Fail(field, what string) bool {
	if r.What == "" {
		r.Field, r.What, r.At = field, what, r.Pos()
	}
	return false
}

// Failed tells whether there was a fault.
func (r *Reader) Failed() bool { return r.What != "" }

// Forget forgets the first fault, where the caller reads what may be anything.
func (r *Reader) Forget() { r.Field, r.What = "", "" }

// Fault words what was wrong with the message.
func (r *Reader) Fault() *infer.Error {
	return infer.Errorf(infer.Invalid, "the request cannot be parsed: %s: %s at byte %d", r.Field, r.What, r.At)
}

const (
	whatShort  = "the message is cut short"
	whatVarint = "a varint is longer than 64 bits"
	whatUTF8   = "invalid UTF-8 in a string"
)

// Pos returns the offset of the next byte in the list.
func (r *Reader) Pos() int { return r.base + r.i }

// limit sets where the message being read ends.
func (r *Reader) limit(end int) {
	r.End = end
	r.n = min(len(r.b), end-r.base)
}

// Seek moves to an offset within the message.
func (r *Reader) Seek(off int) {
	if off < r.base {
		r.view, r.base, r.b = 0, 0, r.list.At(0).B
	}
	for off-r.base >= len(r.b) && r.view+1 < r.list.Len() {
		r.base += len(r.b)
		r.view++
		r.b = r.list.At(r.view).B
	}
	r.i = off - r.base
	r.limit(r.End)
}

// Some tells whether there is a next byte, in b[i], and moves to the view that holds it.
func (r *Reader) Some() bool {
	if r.i < r.n {
		return true
	}
	if r.Pos() >= r.End {
		return false
	}
	r.Seek(r.Pos())
	return true
}

// Key reads the next field's number and wire type as they stand: number<<3 | type. It returns false at the
// end of the message and on a fault.
func (r *Reader) Key(message string) (key uint64, ok bool) {
	if r.What != "" || !r.Some() {
		return 0, false
	}
	key, ok = r.Varint(message)
	if n := key >> 3; ok && (n == 0 || n > maxField) {
		ok = r.Fail(message, "invalid field number")
	}
	return key, ok
}

// Varint reads a varint.
func (r *Reader) Varint(field string) (v uint64, ok bool) {
	if r.i < r.n && r.b[r.i] < 0x80 {
		v = uint64(r.b[r.i])
		r.i++
		return v, true
	}
	if v, n := binary.Uvarint(r.b[r.i:r.n]); n > 0 {
		r.i += n
		return v, true
	}
	for shift := uint(0); ; shift += 7 { // it straddles views, or is none
		if !r.Some() {
			return 0, r.Fail(field, whatShort)
		}
		c := r.b[r.i]
		if shift == 63 && c > 1 {
			return 0, r.Fail(field, whatVarint)
		}
		r.i++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, true
		}
	}
}

// Length reads the length of a field of bytes, all of which are there.
func (r *Reader) Length(field string) (n int, ok bool) {
	v, ok := r.Varint(field)
	if !ok {
		return 0, false
	}
	if v > uint64(r.End-r.Pos()) {
		return 0, r.Fail(field, whatShort)
	}
	return int(v), true
}

// Pass moves over n bytes.
func (r *Reader) Pass(field string, n int) bool {
	switch {
	case n <= r.n-r.i:
		r.i += n
	case n > r.End-r.Pos():
		return r.Fail(field, whatShort)
	default:
		r.Seek(r.Pos() + n)
	}
	return true
}

// Bytes returns the next n bytes, which are there, in one run.
func (r *Reader) Bytes(n int) []byte {
	if n <= r.n-r.i {
		b := r.b[r.i : r.i+n : r.i+n]
		r.i += n
		return b
	}
	at := len(r.scratch)
	for n > 0 && r.Some() {
		take := min(n, r.n-r.i)
		r.scratch = append(r.scratch, r.b[r.i:r.i+take]...)
		r.i, n = r.i+take, n-take
	}
	return r.scratch[at:len(r.scratch):len(r.scratch)]
}

// String reads a string, which stays good until the reader is reset or its list released.
func (r *Reader) String(field string) []byte {
	n, ok := r.Length(field)
	if !ok {
		return nil
	}
	b := r.Bytes(n)
	if !utf8.Valid(b) {
		r.Fail(field, whatUTF8)
		return nil
	}
	return b
}

// Enter begins a message within the one being read and returns where that ends, for leave.
func (r *Reader) Enter(field string) (outer int) {
	outer = r.End
	if n, ok := r.Length(field); ok {
		r.limit(r.Pos() + n)
	}
	return outer
}

// Leave goes back to the message around the one that was read.
func (r *Reader) Leave(outer int) { r.limit(outer) }

// Within moves to n bytes at an offset within the message, as enter does, and returns where it ends, for leave.
func (r *Reader) Within(off, n int) (outer int) {
	outer = r.End
	r.Seek(off)
	r.limit(off + n)
	return outer
}

// CopyTo copies the next len(dst) bytes, which are there.
func (r *Reader) CopyTo(dst []byte) {
	for len(dst) > 0 && r.Some() {
		n := copy(dst, r.b[r.i:r.n])
		r.i, dst = r.i+n, dst[n:]
	}
}

// Fixed reads size <= 8 bytes as a little-endian number.
func (r *Reader) Fixed(field string, size int) (v uint64) {
	if size > r.End-r.Pos() {
		r.Fail(field, whatShort)
		return 0
	}
	for i := 0; i < size && r.Some(); i++ {
		v |= uint64(r.b[r.i]) << (8 * i)
		r.i++
	}
	return v
}

// Skip passes over the value of a field that the caller does not know.
func (r *Reader) Skip(message string, key uint64) {
	if key&7 != wireGroup {
		r.skipValue(message, key)
		return
	}
	var open [maxGroups]uint64
	open[0] = key >> 3
	for depth := 1; depth > 0; {
		key, ok := r.Varint(message)
		if !ok {
			return
		}
		switch n := key >> 3; {
		case n == 0 || n > math.MaxInt32:
			r.Fail(message, "invalid field number")
			return
		case key&7 == wireGroup && depth == maxGroups:
			r.Fail(message, "groups nest deeper than 100 levels")
			return
		case key&7 == wireGroup:
			open[depth] = n
			depth++
		case key&7 == wireEnd && n != open[depth-1]:
			r.Fail(message, "a group ends that has not begun")
			return
		case key&7 == wireEnd:
			depth--
		case !r.skipValue(message, key):
			return
		}
	}
}

func (r *Reader) skipValue(message string, key uint64) bool {
	switch key & 7 {
	case Varint:
		_, ok := r.Varint(message)
		return ok
	case Fixed64:
		return r.Pass(message, 8)
	case Bytes:
		n, ok := r.Length(message)
		return ok && r.Pass(message, n)
	case Fixed32:
		return r.Pass(message, 4)
	case wireEnd:
		return r.Fail(message, "a group ends that has not begun")
	}
	return r.Fail(message, "invalid wire type")
}
