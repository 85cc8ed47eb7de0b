package puppet

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// Ask returns a call of an [Echo] model whose rows nobody else sends: rows rows of width numbers made from
// tag. It has the caller's reference and a route of its own kind; only its edge is left to be set.
func Ask(mem *infer.Memory, route *infer.Route, rows, width int64, tag uint32) *infer.Call {
	r := mem.NewRequest()
	r.Route, r.Rows = route, rows
	Fill(r, mem.Slabs, rows, width, tag)
	c := mem.NewCall(r)
	r.Release()
	return c
}

// Fill adds the input x of an [Echo] model to r: rows rows of width numbers made from tag.
func Fill(r *infer.Request, slabs *slab.Pool, rows, width int64, tag uint32) {
	in := r.AddInput()
	in.DType = tensor.FP32
	in.Shape = r.Dims(2)
	in.Shape[0], in.Shape[1] = rows, width
	n := int(rows * width)
	s := slabs.Get(4 * n)
	v := s.View(0, 4*n)
	for i := range n {
		binary.LittleEndian.PutUint32(v.B[4*i:], number(tag, i))
	}
	in.Data.AppendOwned(v)
	r.Bytes += int64(4 * n)
}

// number is number i of the rows of tag, as the bits of a float: ordinary floats, all different.
func number(tag uint32, i int) uint32 {
	return math.Float32bits(float32(tag&0xffffff)) + uint32(i)<<1
}

// Answered returns an error unless c succeeded with the rows that Ask sent for tag. Continuations may ask it.
func Answered(c *infer.Call, rows, width int64, tag uint32) error {
	if c.Error != nil {
		return fmt.Errorf("failed: %w", c.Error)
	}
	if len(c.Response.Outputs) != 1 {
		return fmt.Errorf("%d outputs, want 1", len(c.Response.Outputs))
	}
	out := &c.Response.Outputs[0].Tensor
	first := int64(0)
	if c.Rows.N >= 0 {
		first = c.Rows.First
	}
	if got := c.Rows.Of(out); got != rows {
		return fmt.Errorf("%d rows, want %d", got, rows)
	}
	if len(out.Shape) != 2 || out.Shape[1] != width || first+rows > out.Shape[0] {
		return fmt.Errorf("rows %d to %d of shape %v, want rows of %d numbers",
			first, first+rows, out.Shape, width)
	}
	return sameNumbers(out, int(first*width), int(rows*width), tag)
}

// sameNumbers compares n numbers of t from off on with those of tag, view by view, without a copy.
func sameNumbers(t *tensor.Tensor, off, n int, tag uint32) error {
	at, end := 0, off+n
	for v := range t.Data.Len() {
		b := t.Data.At(v).B
		if len(b)%4 != 0 {
			return fmt.Errorf("a view of %d bytes splits a number", len(b))
		}
		for len(b) > 0 && at < end {
			if at >= off {
				if got, want := binary.LittleEndian.Uint32(b), number(tag, at-off); got != want {
					return fmt.Errorf("number %d is %#x, want %#x: somebody else's", at-off, got, want)
				}
			}
			b = b[4:]
			at++
		}
	}
	if at < end {
		return fmt.Errorf("%d numbers, want %d", at-off, n)
	}
	return nil
}
