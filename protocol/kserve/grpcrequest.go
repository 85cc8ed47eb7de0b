package kserve

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// A RequestEncoder writes requests to a backend that speaks the protocol over gRPC, as
// inference.ModelInferRequest. It keeps scratch memory between them and belongs to one goroutine at a time.
//
// What came over gRPC and travels alone goes on as it came, with everything that the decoder did not understand;
// only the model's name and version are put right, behind the rest, because the last value of a field stands.
// Everything else is written anew around views of the members' tensors.
type RequestEncoder struct {
	pool   *slab.Pool
	fields []inputField
	one    [1]infer.Member
	part   slab.List
	c      composer
}

// An inputField is an input that is to be written.
type inputField struct {
	from *infer.Input // the first member's
	name string
	rows int64 // the length of the first axis
	dims int   // encoded length of the shape
	body int   // encoded length of the InferInputTensor
	size int   // of the data
}

// NewRequestEncoder returns an encoder that takes the memory for messages from pool.
func NewRequestEncoder(pool *slab.Pool) *RequestEncoder { return &RequestEncoder{pool: pool} }

// Encode appends the request of a batch to out, for the model that the backend calls name and version; an empty
// version leaves the choice to the backend. After an error, out is as it was.
func (e *RequestEncoder) Encode(b *infer.Batch, name, version string, out *slab.List) *infer.Error {
	return e.encode(b.Model, b.Members, name, version, out)
}

// EncodeCall is Encode for a call that no batch holds: one that is answered by a stream.
func (e *RequestEncoder) EncodeCall(model *infer.Model, c *infer.Call, name, version string, out *slab.List) *infer.Error {
	e.one[0] = infer.Member{Call: c, Rows: infer.AllRows}
	err := e.encode(model, e.one[:], name, version, out)
	e.one[0] = infer.Member{}
	return err
}

func (e *RequestEncoder) encode(model *infer.Model, members []infer.Member, name, version string, out *slab.List) *infer.Error {
	if goesAsItCame(members) {
		return e.pass(model, members[0].Call.Request, name, version, out)
	}
	err := e.write(model, members, name, version, out)
	clear(e.fields)
	e.fields = e.fields[:0]
	return err
}

// goesAsItCame tells whether a run's request is one that came as ModelInferRequest, whole: its answer is then
// what the client is to get.
func goesAsItCame(members []infer.Member) bool {
	return len(members) == 1 && members[0].Call.Request.Encoding == infer.KServeGRPC && span(&members[0]) == infer.AllRows
}

// span returns the rows of a member, as all of them where they are.
func span(m *infer.Member) infer.Rows {
	if m.Rows.N == m.Call.Request.Rows {
		return infer.AllRows
	}
	return m.Rows
}

// pass appends the message as it came.
func (e *RequestEncoder) pass(model *infer.Model, req *infer.Request, name, version string, out *slab.List) *infer.Error {
	tail := renameSize(req.BodyName, name) + renameSize(req.BodyVersion, version)
	if size := req.Body.Size() + tail; size > math.MaxInt32 {
		return requestTooLarge(model, size)
	}
	out.AppendList(&req.Body)
	if tail > 0 {
		own := e.pool.Get(tail)
		b := appendRename(own.Bytes()[:0], keyModelName, req.BodyName, name)
		b = appendRename(b, keyModelVersion, req.BodyVersion, version)
		out.AppendOwned(own.View(0, len(b)))
	}
	return nil
}

// renameSize returns what appendRename appends.
func renameSize[T []byte | string](said []byte, want T) int {
	if string(said) == string(want) {
		return 0
	}
	return fieldSize(len(want))
}

// appendRename appends a field that overrides what the message said, if that is not what is wanted. Here an empty
// value must be written too.
func appendRename[T []byte | string](b []byte, key byte, said []byte, want T) []byte {
	if string(said) == string(want) {
		return b
	}
	b = binary.AppendUvarint(append(b, key), uint64(len(want)))
	return append(b, want...)
}

func requestTooLarge(m *infer.Model, size int) *infer.Error {
	err := infer.Errorf(infer.TooLarge, "the request for model %s takes %d bytes, more than a gRPC message holds", quote(m.Name), size)
	err.Origin = infer.FromGateway
	return err
}

// write writes the request of the members anew.
func (e *RequestEncoder) write(model *infer.Model, members []infer.Member, name, version string, out *slab.List) *infer.Error {
	first := members[0].Call.Request
	var id []byte
	if len(members) == 1 {
		id = first.ID
	}
	head := stringSize(len(name)) + stringSize(len(version)) + stringSize(len(id))
	for i := range first.Params {
		head += paramEntrySize(&first.Params[i])
	}
	asked := asked(model, members)
	for _, o := range asked {
		head += fieldSize(stringSize(len(model.Outputs[o].Name)))
	}
	data, copied := 0, 0
	for i := range first.Inputs {
		f, small := e.measure(model, members, &first.Inputs[i])
		head += fieldSize(f.body) + 1 + varintSize(uint64(f.size))
		data += f.size
		copied += small
		e.fields = append(e.fields, f)
	}
	if head+data > math.MaxInt32 {
		return requestTooLarge(model, head+data)
	}
	c := &e.c
	c.start(e.pool, out, head+copied)
	c.b = appendField(c.b, keyModelName, name)
	c.b = appendField(c.b, keyModelVersion, version)
	c.b = appendField(c.b, keyID, id)
	for i := range first.Params {
		c.b = appendParam(c.b, keyParameters, &first.Params[i])
	}
	for i := range e.fields {
		c.b = e.fields[i].append(c.b)
	}
	for _, o := range asked {
		name := model.Outputs[o].Name
		c.b = binary.AppendUvarint(append(c.b, keyOutputs), uint64(stringSize(len(name))))
		c.b = appendField(c.b, keyOutputName, name)
	}
	e.data(members)
	c.end()
	return nil
}

// asked returns the outputs to ask for, nil for all: what one member asked for, if the others want the same. The
// edge leaves out of an answer what its client did not ask for.
func asked(model *infer.Model, members []infer.Member) []int {
	outputs := members[0].Call.Request.Outputs
	if len(outputs) == len(model.Outputs) {
		return nil
	}
	for i := range members[1:] {
		if !slices.Equal(members[1+i].Call.Request.Outputs, outputs) {
			return nil
		}
	}
	return outputs
}

// measure works out the lengths of an input, and how much of its data is going to be copied.
func (e *RequestEncoder) measure(model *infer.Model, members []infer.Member, in *infer.Input) (f inputField, copied int) {
	f = inputField{from: in, name: model.Inputs[in.Index].Name}
	for i := range members {
		t := inputAt(&members[i], in.Index)
		rows := span(&members[i])
		size := e.sizeOf(rows, t)
		f.rows += rows.Of(t)
		f.size += size
		if size < joinBelow*t.Data.Len() {
			copied += size
		}
	}
	for axis, n := range in.Shape {
		if axis == 0 {
			n = f.rows
		}
		f.dims += varintSize(uint64(n))
	}
	f.body = stringSize(len(f.name)) + stringSize(len(in.DType.String())) + stringSize(f.dims)
	return f, copied
}

// sizeOf returns the bytes of rows of t.
func (e *RequestEncoder) sizeOf(rows infer.Rows, t *tensor.Tensor) int {
	switch {
	case rows.N < 0:
		return t.Data.Size()
	case rows.N == 0:
		return 0
	case t.DType != tensor.Bytes:
		return int(int64(t.Data.Size()) / t.Rows() * rows.N)
	}
	rows.Append(&e.part, t)
	size := e.part.Size()
	e.part.Release()
	return size
}

// inputAt returns an input of a member. Members of one run have the same ones.
func inputAt(m *infer.Member, index int) *tensor.Tensor {
	inputs := m.Call.Request.Inputs
	for i := range inputs {
		if inputs[i].Index == index {
			return &inputs[i].Tensor
		}
	}
	panic("BUG: kserve: members of one run have different inputs")
}

// append appends all of the input but its data.
func (f *inputField) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, keyInputs), uint64(f.body))
	b = appendField(b, keyInputName, f.name)
	b = appendField(b, keyInputType, f.from.DType.String())
	if f.dims == 0 {
		return b
	}
	b = binary.AppendUvarint(append(b, keyInputShape), uint64(f.dims))
	for axis, n := range f.from.Shape {
		if axis == 0 {
			n = f.rows
		}
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

// data appends the data of all inputs, each behind its length: the rows of all members, one after the other.
func (e *RequestEncoder) data(members []infer.Member) {
	c := &e.c
	for i := range e.fields {
		f := &e.fields[i]
		c.room(1 + varintSize(uint64(f.size)))
		c.b = binary.AppendUvarint(append(c.b, keyRaw), uint64(f.size))
		for j := range members {
			t := inputAt(&members[j], f.from.Index)
			rows := span(&members[j])
			if rows.N < 0 {
				c.views(&t.Data)
				continue
			}
			rows.Append(&e.part, t)
			c.views(&e.part)
			e.part.Release()
		}
	}
}
