package message

import (
	"encoding/binary"

	"github.com/sluice-serving/sluice/tensor"
)

// A ListField is a repeated field of elements; the zero ListField is none.
type ListField struct {
	Name string
	Wire uint64 // the wire type of an element that stands by itself
	Cut  Cutting
}

// A Cutting says what of a varint is the element's value, and how it is narrowed to the tensor's type.
type Cutting uint8

// The cuttings.
const (
	CutNothing Cutting = iota // all 64 bits count
	CutBool                   // whether any bit is set
	CutSigned                 // 32 bits, a signed number
	CutBits                   // 32 bits, as they stand
)

// Lists reads the repeated fields in which a message holds a tensor's elements, which may be packed or not and in
// several pieces. The message is read twice: without dst to know what there is, then to write it there.
type Lists struct {
	In     string      // what they belong to
	Fields []ListField // by their numbers
	dst    []byte
	dtype  tensor.DType

	Field   int  // the field that has elements
	Several bool // more than one has
	N       int  // elements
	Size    int  // bytes of elements that are strings, each behind its length
	Last    int  // length of the last of them

	At     int // offset of packed elements
	Pieces int // 1 where all of them stand there

	Bad    bool
	BadAt  int // the first element that is out of range
	Filled int // bytes of dst
}

// Again prepares for the second reading.
func (c *Lists) Again(d tensor.DType, dst []byte) {
	*c = Lists{In: c.In, Fields: c.Fields, dst: dst, dtype: d}
}

// Take reads a field if it is a list, and tells whether it is. It leaves a fault with the reader.
func (c *Lists) Take(r *Reader, key uint64) bool {
	field, wire := key>>3, key&7
	if field >= uint64(len(c.Fields)) || c.Fields[field].Name == "" {
		return false
	}
	f, before := &c.Fields[field], c.N
	switch {
	case wire == f.Wire:
		c.Pieces += 2
		c.element(r, f)
	case wire == Bytes:
		c.Pieces++
		c.packed(r, f)
	default:
		return false
	}
	if c.N != before {
		c.Several = c.Several || c.Field != 0 && c.Field != int(field)
		c.Field = int(field)
	}
	return true
}

// element reads one element that stands by itself.
func (c *Lists) element(r *Reader, f *ListField) {
	switch f.Wire {
	case Varint:
		if v, ok := r.Varint(c.In); ok {
			c.varint(f, v)
		}
	case Fixed32:
		c.copyFixed(r, 4, 4)
	case Fixed64:
		c.copyFixed(r, 8, 8)
	default:
		n, ok := r.Length(c.In)
		if !ok {
			return
		}
		c.N++
		c.Size += 4 + n
		c.Last = n
		if c.dst == nil {
			r.Pass(c.In, n)
			return
		}
		binary.LittleEndian.PutUint32(c.dst[c.Filled:], uint32(n))
		c.Filled += 4
		c.copy(r, n)
	}
}

// packed reads elements that stand in one field without gaps.
func (c *Lists) packed(r *Reader, f *ListField) {
	outer := r.Enter(c.In)
	c.At = r.Pos()
	switch {
	case r.Failed():
	case f.Wire == Varint:
		for !r.Failed() && r.Some() {
			if v, ok := r.Varint(c.In); ok {
				c.varint(f, v)
			}
		}
	case f.Wire == Fixed32:
		c.copyFixed(r, 4, r.End-r.Pos())
	default:
		c.copyFixed(r, 8, r.End-r.Pos())
	}
	r.Leave(outer)
}

// varint takes an element, cut to the bits of its field's type as protobuf has it.
func (c *Lists) varint(f *ListField, v uint64) {
	at := c.N
	c.N++
	if c.dst == nil {
		return
	}
	size := c.dtype.Size()
	fits := true
	switch f.Cut {
	case CutBool:
		if v != 0 {
			v = 1
		}
	case CutSigned:
		n, shift := int32(v), 64-8*size
		v = uint64(int64(n))
		if c.dtype == tensor.Uint8 || c.dtype == tensor.Uint16 {
			fits = v>>(8*size) == 0
		} else {
			fits = int64(v)<<shift>>shift == int64(n)
		}
	case CutBits:
		v = uint64(uint32(v))
		fits = v>>(8*size) == 0
	}
	if !fits && !c.Bad {
		c.Bad, c.BadAt = true, at
	}
	tensor.PutInteger(c.dst[c.Filled:], size, v)
	c.Filled += size
}

// copyFixed takes n bytes of elements of the given size, which lie as they do in a tensor.
func (c *Lists) copyFixed(r *Reader, size, n int) {
	if n%size != 0 {
		r.Fail(c.In, whatShort)
		return
	}
	c.N += n / size
	if c.dst == nil {
		r.Pass(c.In, n)
		return
	}
	c.copy(r, n)
}

func (c *Lists) copy(r *Reader, n int) {
	r.CopyTo(c.dst[c.Filled : c.Filled+n])
	c.Filled += n
}
