package kserve

import (
	"encoding/binary"
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// contentsFields names the fields of InferTensorContents by their numbers, and the wire type of an element.
var contentsFields = [...]struct {
	name string
	wire uint64
}{
	1: {"bool_contents", wireVarint},
	2: {"int_contents", wireVarint},
	3: {"int64_contents", wireVarint},
	4: {"uint_contents", wireVarint},
	5: {"uint64_contents", wireVarint},
	6: {"fp32_contents", wireFixed32},
	7: {"fp64_contents", wireFixed64},
	8: {"bytes_contents", wireBytes},
}

// contentsOf returns the field that holds elements of type d, 0 if none does.
func contentsOf(d tensor.DType) int {
	switch d {
	case tensor.Bool:
		return 1
	case tensor.Int8, tensor.Int16, tensor.Int32:
		return 2
	case tensor.Int64:
		return 3
	case tensor.Uint8, tensor.Uint16, tensor.Uint32:
		return 4
	case tensor.Uint64:
		return 5
	case tensor.FP32:
		return 6
	case tensor.FP64:
		return 7
	case tensor.Bytes:
		return 8
	}
	return 0
}

const inContents = "inputs.contents"

// typedContents reads the InferTensorContents of one input, which may be in several pieces. It is read twice:
// without dst to know what there is, then to write it there.
type typedContents struct {
	in    string // what they belong to
	dst   []byte
	dtype tensor.DType

	field   int  // the field that has elements
	several bool // more than one has
	n       int  // elements
	size    int  // bytes of the elements of bytes_contents, each behind its length

	bad    badValue
	badAt  int // the first element that is out of range
	filled int // bytes of dst
}

// read reads one InferTensorContents. It leaves a fault with the reader.
func (c *typedContents) read(r *messageReader) {
	outer := r.enter(c.in)
	for key, ok := r.key(c.in); ok; key, ok = r.key(c.in) {
		field, wire := int(key>>3), key&7
		if field >= len(contentsFields) {
			r.skip(c.in, key)
			continue
		}
		before := c.n
		switch {
		case wire == contentsFields[field].wire:
			c.element(r, field)
		case wire == wireBytes:
			c.packed(r, field)
		default:
			r.skip(c.in, key)
		}
		if c.n != before {
			c.several = c.several || c.field != 0 && c.field != field
			c.field = field
		}
	}
	r.leave(outer)
}

// element reads one element that stands by itself.
func (c *typedContents) element(r *messageReader, field int) {
	switch contentsFields[field].wire {
	case wireVarint:
		if v, ok := r.varint(c.in); ok {
			c.varint(field, v)
		}
	case wireFixed32:
		c.copyFixed(r, 4, 4)
	case wireFixed64:
		c.copyFixed(r, 8, 8)
	default:
		n, ok := r.length(c.in)
		if !ok {
			return
		}
		c.n++
		c.size += 4 + n
		if c.dst == nil {
			r.pass(c.in, n)
			return
		}
		binary.LittleEndian.PutUint32(c.dst[c.filled:], uint32(n))
		c.filled += 4
		c.copy(r, n)
	}
}

// packed reads elements that stand in one field without gaps.
func (c *typedContents) packed(r *messageReader, field int) {
	outer := r.enter(c.in)
	switch wire := contentsFields[field].wire; {
	case r.failed():
	case wire == wireVarint:
		for !r.failed() && r.some() {
			if v, ok := r.varint(c.in); ok {
				c.varint(field, v)
			}
		}
	case wire == wireFixed32:
		c.copyFixed(r, 4, r.end-r.pos())
	default:
		c.copyFixed(r, 8, r.end-r.pos())
	}
	r.leave(outer)
}

// varint takes an element, cut to the bits of its field's type as protobuf has it.
func (c *typedContents) varint(field int, v uint64) {
	at := c.n
	c.n++
	if c.dst == nil {
		return
	}
	size := c.dtype.Size()
	fits := true
	switch field {
	case 1:
		if v != 0 {
			v = 1
		}
	case 2:
		n, shift := int32(v), 64-8*size
		v = uint64(int64(n))
		fits = int64(v)<<shift>>shift == int64(n)
	case 4:
		v = uint64(uint32(v))
		fits = v>>(8*size) == 0
	}
	if !fits && c.bad == valueOK {
		c.bad, c.badAt = valueRange, at
	}
	putInteger(c.dst[c.filled:], size, v)
	c.filled += size
}

// copyFixed takes n bytes of elements of the given size, which lie as they do in a tensor.
func (c *typedContents) copyFixed(r *messageReader, size, n int) {
	if n%size != 0 {
		r.fail(c.in, whatShort)
		return
	}
	c.n += n / size
	if c.dst == nil {
		r.pass(c.in, n)
		return
	}
	c.copy(r, n)
}

func (c *typedContents) copy(r *messageReader, n int) {
	for n > 0 && r.some() {
		took := copy(c.dst[c.filled:c.filled+n], r.b[r.i:r.n])
		r.i += took
		c.filled, n = c.filled+took, n-took
	}
}

// takeContents writes the contents of the input that was read, from one offset of the message to another,
// to a slab of the tensor's size.
func (d *MessageDecoder) takeContents(t *infer.Input, want int64, from, to int) *infer.Error {
	c := &d.tc
	field := contentsOf(t.DType)
	switch {
	case c.several:
		return d.badContents(t, "binary data was already supplied by another field of contents")
	case c.n > 0 && field == 0:
		return d.badContents(t, "datatype "+t.DType.String()+" must be sent as raw_input_contents")
	case c.n > 0 && c.field != field:
		return d.badContents(t, contentsFields[c.field].name+" does not fit the expected datatype "+t.DType.String())
	case int64(c.n) != want:
		return d.badCount(strconv.Itoa(c.n), want)
	}
	size, err := d.byteSize(t)
	if err != nil {
		return err
	}
	if t.DType == tensor.Bytes {
		size = int64(c.size)
	}
	if err := d.charge(size); err != nil || size == 0 {
		return err
	}
	v := d.pool.Get(int(size)).View(0, int(size))
	t.Data.AppendOwned(v)
	c.rewrite(&d.r, t.DType, v.B, from, to)
	if c.bad != valueOK {
		return d.badElement(c.bad, c.badAt)
	}
	d.req.Bytes += size
	return nil
}

// rewrite reads the tensor that lies from one offset of the message to another once more and writes its contents
// to dst, which has their size.
func (c *typedContents) rewrite(r *messageReader, dt tensor.DType, dst []byte, from, to int) {
	*c = typedContents{in: c.in, dst: dst, dtype: dt}
	r.seek(from)
	for key, ok := r.key(c.in); ok; key, ok = r.key(c.in) {
		if key == keyInputContents {
			c.read(r)
		} else {
			r.skip(c.in, key)
		}
	}
	if r.failed() || r.pos() != to || c.filled != len(dst) {
		panic("BUG: kserve: contents read differently the second time")
	}
}

func (d *MessageDecoder) badContents(t *infer.Input, what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "unexpected explicit tensor data for input tensor %s for model %s: %s", d.nameOf(t), quote(d.model.Name), what)
}
