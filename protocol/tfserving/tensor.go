package tfserving

import (
	"encoding/binary"
	"math"

	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// The fields of the entries of a map of tensors, of TensorProto, TensorShapeProto and Dim.
const (
	keyEntryName   = 1<<3 | message.Bytes
	keyEntryTensor = 2<<3 | message.Bytes

	keyTensorType    = 1<<3 | message.Varint
	keyTensorShape   = 2<<3 | message.Bytes
	keyTensorContent = 4<<3 | message.Bytes

	keyShapeDim     = 2<<3 | message.Bytes
	keyShapeUnknown = 3<<3 | message.Varint

	keyDimSize = 1<<3 | message.Varint
	keyDimName = 2<<3 | message.Bytes
)

const (
	inTensor = "tensor"
	inShape  = "tensor_shape"
)

// A run is a run of bytes of a message.
type run struct{ off, n int }

// An entry is one of a map of tensors: its name, and where it stands.
type entry struct {
	name []byte
	at   run
}

// entries are those of a map of tensors as they come.
type entries []entry

// read reads the name of an entry and passes over its tensor. Of a name that comes twice the last entry stands. It
// leaves a fault with the reader.
func (e *entries) read(r *message.Reader, t *tensorProto, field string) {
	var one entry
	outer := r.Enter(field)
	one.at = run{r.Pos(), r.End - r.Pos()}
	for key, ok := r.Key(field); ok; key, ok = r.Key(field) {
		switch key {
		case keyEntryName:
			one.name = r.String(field)
		case keyEntryTensor:
			if n, ok := r.Length(field); ok {
				r.Pass(field, n)
			}
		default:
			r.Skip(field, key)
		}
	}
	r.Leave(outer)
	for i := range *e {
		if old := &(*e)[i]; string(old.name) == string(one.name) && !r.Failed() {
			// It must be whole, though nobody wants it.
			to := one.at.off + one.at.n
			t.read(r, old, field)
			*old = one
			if !r.Failed() {
				r.Seek(to)
			}
			return
		}
	}
	*e = append(*e, one)
}

// A tensorProto is a TensorProto as it was read: all but the data, and where that lies.
type tensorProto struct {
	in      fit.Field
	dtype   pb.DataType
	content run
	lists   message.Lists
}

// read reads the tensor of an entry. It leaves a fault with the reader.
func (t *tensorProto) read(r *message.Reader, e *entry, field string) {
	t.in = fit.Field{Name: e.name, HasName: true}
	t.dtype, t.content = 0, run{}
	t.lists = message.Lists{In: inTensor, Fields: listFields[:]}
	t.walk(r, e, field, false)
}

// walk walks the entry; only its lists, if lists is set.
func (t *tensorProto) walk(r *message.Reader, e *entry, field string, lists bool) {
	outer := r.Within(e.at.off, e.at.n)
	for key, ok := r.Key(field); ok; key, ok = r.Key(field) {
		if key != keyEntryTensor {
			r.Skip(field, key)
			continue
		}
		entry := r.Enter(inTensor)
		for key, ok := r.Key(inTensor); ok; key, ok = r.Key(inTensor) {
			switch {
			case t.lists.Take(r, key):
			case lists || !t.field(r, key):
				r.Skip(inTensor, key)
			}
		}
		r.Leave(entry)
	}
	r.Leave(outer)
}

// field reads a field that is no list, and tells whether it knows it.
func (t *tensorProto) field(r *message.Reader, key uint64) bool {
	switch key {
	case keyTensorType:
		v, _ := r.Varint(inTensor)
		t.dtype = pb.DataType(v)
	case keyTensorShape:
		t.shape(r)
	case keyTensorContent:
		if n, ok := r.Length("tensor_content"); ok {
			t.content = run{r.Pos(), n}
			r.Pass("tensor_content", n)
		}
	default:
		return false
	}
	return true
}

func (t *tensorProto) shape(r *message.Reader) {
	outer := r.Enter(inShape)
	for key, ok := r.Key(inShape); ok; key, ok = r.Key(inShape) {
		switch key {
		case keyShapeDim:
			t.in.AddDim(dim(r))
		case keyShapeUnknown:
			if v, _ := r.Varint(inShape); v != 0 {
				t.in.Bad = "is not known"
			}
		default:
			r.Skip(inShape, key)
		}
	}
	r.Leave(outer)
}

func dim(r *message.Reader) (n int64) {
	const in = "tensor_shape.dim"
	outer := r.Enter(in)
	for key, ok := r.Key(in); ok; key, ok = r.Key(in) {
		switch key {
		case keyDimSize:
			v, _ := r.Varint(in)
			n = int64(v)
		case keyDimName:
			r.String(in)
		default:
			r.Skip(in, key)
		}
	}
	r.Leave(outer)
	return n
}

// check looks at what there is for a tensor of type d with want elements, and says what is wrong with it.
func (t *tensorProto) check(d tensor.DType, want int64) (what string) {
	c := &t.lists
	switch {
	case t.content.n > 0 && c.N > 0:
		return "came both as tensor_content and as " + listFields[c.Field].Name
	case t.content.n > 0:
		return ""
	case c.Several:
		return "came in several lists"
	case c.N > 0 && c.Field != listOf(d):
		return "came as " + listFields[c.Field].Name + ", which data type " + typeName(t.dtype) + " does not take"
	}
	return ""
}

// sliced tells whether the list of a tensor of type d with want elements lies in the message as it does in a tensor.
func (t *tensorProto) sliced(d tensor.DType, want int64) (run, bool) {
	c := &t.lists
	if d != tensor.FP32 && d != tensor.FP64 || c.Pieces != 1 || int64(c.N) != want {
		return run{}, false
	}
	return run{c.At, c.N * d.Size()}, true
}

// size returns the bytes of a tensor of type d with want elements that is made from a list of no more than those. ok
// is false if they do not fit an int.
func (t *tensorProto) size(d tensor.DType, want int64) (size int64, ok bool) {
	each, n := int64(d.Size()), want
	if d == tensor.Bytes {
		each, n = int64(4+t.lists.Last), want-int64(t.lists.N)
	}
	if n > (math.MaxInt-int64(t.lists.Size))/each {
		return 0, false
	}
	return int64(t.lists.Size) + n*each, true
}

// fill reads the list of a tensor of type d once more, to dst. The last element stands for those that are not there,
// zero if there are none.
func (t *tensorProto) fill(r *message.Reader, e *entry, field string, d tensor.DType, dst []byte) {
	n, last := t.lists.N, d.Size()
	if d == tensor.Bytes {
		last = 4 + t.lists.Last
	}
	t.lists.Again(d, dst)
	t.walk(r, e, field, true)
	c := &t.lists
	if r.Failed() || c.N != n {
		panic("BUG: tfserving: a list read differently the second time")
	}
	if n == 0 {
		clear(dst)
		return
	}
	// Each copy doubles what is there, as whole elements.
	for at := c.Filled; at < len(dst); {
		at += copy(dst[at:], dst[c.Filled-last:at])
	}
}

// strings reads tensor_content that holds strings: the lengths of all, then all of them. It returns the bytes that they
// take each behind its length, or what is wrong with them.
func (t *tensorProto) strings(r *message.Reader, want int64) (size int64, what string) {
	const broken = "has strings whose lengths do not agree with its tensor_content"
	if want > int64(t.content.n) {
		return 0, broken
	}
	outer := r.Within(t.content.off, t.content.n)
	defer r.Leave(outer)
	sum := uint64(0)
	for range want {
		v, ok := length(r)
		if !ok || v > uint64(t.content.n) {
			return 0, broken
		}
		sum += v
	}
	if sum != uint64(r.End-r.Pos()) {
		return 0, broken
	}
	return int64(sum) + 4*want, ""
}

// length reads a length that stands in data, which may be anything.
func length(r *message.Reader) (v uint64, ok bool) {
	if v, ok = r.Varint(inTensor); !ok {
		r.Forget()
	}
	return v, ok
}

// fillStrings reads what strings has read once more, to dst.
func (t *tensorProto) fillStrings(r *message.Reader, want int64, dst []byte) {
	outer := r.Within(t.content.off, t.content.n)
	at := 0
	for range want {
		v, _ := length(r)
		binary.LittleEndian.PutUint32(dst[at:], uint32(v))
		at += 4 + int(v)
	}
	for at := 0; at < len(dst); {
		n := int(binary.LittleEndian.Uint32(dst[at:]))
		at += 4
		r.CopyTo(dst[at : at+n])
		at += n
	}
	r.Leave(outer)
}

// A filler gives tensors their data. Requests and answers differ in how they refuse.
type filler struct {
	pool *slab.Pool
	r    message.Reader
	t    tensorProto
}

// content takes tensor_content as it stands, or as strings.
func (f *filler) content(body *slab.List, to *tensor.Tensor, want int64) (what string) {
	c := f.t.content
	if to.DType != tensor.Bytes {
		to.Data.AppendRange(body, c.off, c.n)
		return ""
	}
	size, what := f.t.strings(&f.r, want)
	if what != "" || size == 0 {
		return what
	}
	f.t.fillStrings(&f.r, want, f.room(to, size))
	return ""
}

// room gives a tensor the memory for size bytes of data.
func (f *filler) room(to *tensor.Tensor, size int64) []byte {
	v := f.pool.Get(int(size)).View(0, int(size))
	to.Data.AppendOwned(v)
	return v.B
}
