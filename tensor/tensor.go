package tensor

import (
	"encoding/binary"
	"errors"

	"github.com/sluice-serving/sluice/slab"
)

// Tensor is a typed, shaped run of bytes. It holds references to the slabs of its data; Shape is borrowed
// from whoever made the tensor and lives as long as he does. It must not be copied.
type Tensor struct {
	DType DType
	Shape []int64
	Data  slab.List
}

// Rows returns the length of the first axis, 1 for rank 0.
func (t *Tensor) Rows() int64 {
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[0]
}

// Release drops the references to the data and empties the tensor.
func (t *Tensor) Release() {
	t.Data.Release()
	t.DType, t.Shape = Invalid, nil
}

// AppendRows appends rows first to first+n of t, along its first axis, to dst. t has a rank of at least 1
// and data that agrees with its shape. Rows of Bytes are found by walking the elements' lengths.
func (t *Tensor) AppendRows(dst *slab.List, first, n int64) {
	if first < 0 || n < 0 || first+n > t.Rows() {
		panic("BUG: tensor: rows outside of tensor")
	}
	if n == t.Rows() {
		dst.AppendList(&t.Data)
		return
	}
	if t.DType != Bytes {
		row := int64(t.Data.Size()) / t.Rows()
		dst.AppendRange(&t.Data, int(first*row), int(n*row))
		return
	}
	perRow := int64(1)
	for _, d := range t.Shape[1:] {
		perRow *= d
	}
	w := walker{list: &t.Data}
	from := w.skip(first * perRow)
	to := w.skip(n * perRow)
	dst.AppendRange(&t.Data, from, to-from)
}

// ErrBytes says that the data of a Bytes tensor is not a run of length-prefixed elements.
var ErrBytes = errors.New("element lengths do not agree with the data")

// CountBytes returns the number of length-prefixed elements in data, or ErrBytes.
func CountBytes(data *slab.List) (int64, error) {
	w := walker{list: data}
	n := int64(0)
	for w.off < data.Size() {
		if !w.next() {
			return 0, ErrBytes
		}
		n++
	}
	return n, nil
}

// walker steps over the elements of a Bytes tensor, whose prefixes may straddle views.
type walker struct {
	list *slab.List
	view int // index of the view that holds off
	base int // offset of that view in the list
	off  int // offset of the next element in the list
}

// skip steps over n elements of data known to be well formed and returns the offset reached.
func (w *walker) skip(n int64) int {
	for range n {
		if !w.next() {
			panic("BUG: tensor: malformed BYTES data")
		}
	}
	return w.off
}

// next steps over one element and tells whether it was whole.
func (w *walker) next() bool {
	size := w.list.Size()
	if size-w.off < 4 {
		return false
	}
	n := int64(w.prefix())
	if n > int64(size-w.off-4) {
		return false
	}
	w.off += 4 + int(n)
	return true
}

func (w *walker) prefix() uint32 {
	v := w.seek(w.off)
	if i := w.off - w.base; len(v)-i >= 4 {
		return binary.LittleEndian.Uint32(v[i:])
	}
	var b [4]byte
	for i := range b {
		v = w.seek(w.off + i)
		b[i] = v[w.off+i-w.base]
	}
	return binary.LittleEndian.Uint32(b[:])
}

// seek moves to the view that holds off and returns its bytes. Offsets only grow, but for the bytes of a
// prefix that straddled, which lie in views already passed to: the next prefix is never before them.
func (w *walker) seek(off int) []byte {
	v := w.list.At(w.view).B
	for off-w.base >= len(v) {
		w.base += len(v)
		w.view++
		v = w.list.At(w.view).B
	}
	return v
}
