package kserve

import (
	"encoding/binary"
	"math"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
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
	m      message.Merger
	c      message.Composer
}

// An inputField is an input that is to be written.
type inputField struct {
	message.Merged
	name string
	dims int // encoded length of the shape
	body int // encoded length of the InferInputTensor
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
	return len(members) == 1 && members[0].Call.Request.Encoding == infer.KServeGRPC && message.Span(&members[0]) == infer.AllRows
}

// pass appends the message as it came.
func (e *RequestEncoder) pass(model *infer.Model, req *infer.Request, name, version string, out *slab.List) *infer.Error {
	tail := message.OverrideSize(req.BodyName, name) + message.OverrideSize(req.BodyVersion, version)
	if size := req.Body.Size() + tail; size > math.MaxInt32 {
		return requestTooLarge(model, size)
	}
	out.AppendList(&req.Body)
	if tail > 0 {
		own := e.pool.Get(tail)
		b := message.AppendOverride(own.Bytes()[:0], keyModelName, req.BodyName, name)
		b = message.AppendOverride(b, keyModelVersion, req.BodyVersion, version)
		out.AppendOwned(own.View(0, len(b)))
	}
	return nil
}

func requestTooLarge(m *infer.Model, size int) *infer.Error {
	err := infer.Errorf(infer.TooLarge, "the request for model %s takes %d bytes, more than a gRPC message holds", text.Quote(m.Name), size)
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
	head := message.StringSize(len(name)) + message.StringSize(len(version)) + message.StringSize(len(id))
	for i := range first.Params {
		head += paramEntrySize(&first.Params[i])
	}
	asked, regions := outputsOf(model, members)
	for i, o := range asked {
		head += message.FieldSize(outputSize(model.Outputs[o].Name, regionAt(regions, i)))
	}
	data, copied := 0, 0
	for i := range first.Inputs {
		f, small := e.measure(model, members, &first.Inputs[i])
		head += message.FieldSize(f.body)
		if f.From.Region == nil {
			head += 1 + message.VarintSize(uint64(f.Size))
		}
		data += f.Size
		copied += small
		e.fields = append(e.fields, f)
	}
	if head+data > math.MaxInt32 {
		return requestTooLarge(model, head+data)
	}
	c := &e.c
	c.Start(e.pool, out, head+copied)
	c.B = message.AppendField(c.B, keyModelName, name)
	c.B = message.AppendField(c.B, keyModelVersion, version)
	c.B = message.AppendField(c.B, keyID, id)
	for i := range first.Params {
		c.B = appendParam(c.B, keyParameters, &first.Params[i])
	}
	for i := range e.fields {
		c.B = e.fields[i].append(c.B)
	}
	for i, o := range asked {
		name, region := model.Outputs[o].Name, regionAt(regions, i)
		c.B = binary.AppendUvarint(append(c.B, keyOutputs), uint64(outputSize(name, region)))
		c.B = message.AppendField(c.B, keyOutputName, name)
		if region != nil {
			c.B = appendRegion(c.B, region, keyOutputParameters)
		}
	}
	e.data(members)
	c.End()
	return nil
}

// outputsOf returns the outputs to ask for, nil for all, and the regions that they are to lie in.
func outputsOf(model *infer.Model, members []infer.Member) ([]int, []*infer.Region) {
	if first := members[0].Call.Request; len(first.OutputRegions) > 0 { // which has no other beside it
		return first.Outputs, first.OutputRegions
	}
	return message.Asked(model, members), nil
}

// regionAt returns the region of output i of those that are asked for.
func regionAt(regions []*infer.Region, i int) *infer.Region {
	if i < len(regions) {
		return regions[i]
	}
	return nil
}

// measure works out the lengths of an input.
func (e *RequestEncoder) measure(model *infer.Model, members []infer.Member, in *infer.Input) (f inputField, copied int) {
	m := e.m.Measure(members, in)
	f = inputField{Merged: m, name: model.Inputs[in.Index].Name}
	for axis, n := range in.Shape {
		if axis == 0 {
			n = f.Rows
		}
		f.dims += message.VarintSize(uint64(n))
	}
	f.body = message.StringSize(len(f.name)) + message.StringSize(len(in.DType.String())) + message.StringSize(f.dims) + regionSizeOf(in.Region, keyInputParameters)
	for i := range in.Params {
		f.body += paramEntrySize(&in.Params[i])
	}
	return f, m.Copied
}

// append appends all of the input but its data.
func (f *inputField) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, keyInputs), uint64(f.body))
	b = message.AppendField(b, keyInputName, f.name)
	b = message.AppendField(b, keyInputType, f.From.DType.String())
	if f.From.Region != nil {
		b = appendRegion(b, f.From.Region, keyInputParameters)
	}
	for i := range f.From.Params {
		b = appendParam(b, keyInputParameters, &f.From.Params[i])
	}
	if f.dims == 0 {
		return b
	}
	b = binary.AppendUvarint(append(b, keyInputShape), uint64(f.dims))
	for axis, n := range f.From.Shape {
		if axis == 0 {
			n = f.Rows
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
		if f.From.Region != nil {
			continue
		}
		c.Room(1 + message.VarintSize(uint64(f.Size)))
		c.B = binary.AppendUvarint(append(c.B, keyRaw), uint64(f.Size))
		e.m.Views(c, members, f.From.Index)
	}
}
