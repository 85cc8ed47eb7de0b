package tfserving

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// A RequestEncoder writes requests to a backend, as tensorflow.serving.PredictRequest. It keeps scratch memory between
// them and belongs to one goroutine at a time.
//
// What came as PredictRequest and travels alone goes on as it came, with everything that the decoder did not understand,
// behind a model_spec of its own. Everything else is written anew around views of the members' tensors, as
// tensor_content; strings as string_val.
type RequestEncoder struct {
	pool   *slab.Pool
	fields []inputField
	m      message.Merger
	c      message.Composer
	texts  slab.List // the strings of an input of all members
	spec   []byte
	r      message.Reader
}

// An inputField is an input that is to be written.
type inputField struct {
	message.Merged
	name   string
	shape  int // encoded length of the TensorShapeProto
	body   int // of the TensorProto
	entry  int // of the map's entry
	viewed int // of that: what becomes views
}

// NewRequestEncoder returns an encoder that takes the memory for messages from pool.
func NewRequestEncoder(pool *slab.Pool) *RequestEncoder { return &RequestEncoder{pool: pool} }

// Encode appends the request of a batch to out, for the model that the backend calls name and version; an empty
// version leaves the choice to the backend. After an error, out is as it was.
func (e *RequestEncoder) Encode(b *infer.Batch, name, version string, out *slab.List) *infer.Error {
	first := b.Members[0].Call.Request
	e.spec = appendSpec(e.spec[:0], keyModelSpec, name, version, signatureOf(first))
	if len(b.Members) == 1 && first.Encoding == infer.TFServingGRPC && message.Span(&b.Members[0]) == infer.AllRows {
		return e.pass(b.Model, first, out)
	}
	err := e.write(b, out)
	clear(e.fields)
	e.fields = e.fields[:0]
	return err
}

func requestTooLarge(m *infer.Model, size int) *infer.Error {
	err := infer.Errorf(infer.TooLarge, "the request for model %s takes %d bytes, more than a gRPC message holds", text.Quote(m.Name), size)
	err.Origin = infer.FromGateway
	return err
}

// pass appends the message as it came but for model_spec: whole where that is what it is to be, else all around it.
func (e *RequestEncoder) pass(m *infer.Model, req *infer.Request, out *slab.List) *infer.Error {
	if size := req.Body.Size() + len(e.spec); size > math.MaxInt32 {
		return requestTooLarge(m, size)
	}
	r := &e.r
	r.Reset(&req.Body)
	defer r.Reset(nil)
	same, cuts := false, 0
	var cut run
	for {
		at := r.Pos()
		key, ok := r.Key(inRequest)
		if !ok {
			break
		}
		if key != keyModelSpec {
			r.Skip(inRequest, key)
			continue
		}
		r.Skip(inRequest, key)
		cuts++
		if cut = (run{at, r.Pos() - at}); cuts == 1 && cut.n == len(e.spec) {
			r.Seek(at)
			same = bytes.Equal(r.Bytes(cut.n), e.spec)
		}
	}
	switch {
	case r.Failed():
		panic("BUG: tfserving: a request that was read cannot be read again")
	case cuts == 1 && same:
		out.AppendList(&req.Body)
		return nil
	}
	own := e.pool.Get(len(e.spec))
	copy(own.Bytes(), e.spec)
	out.AppendOwned(own.View(0, len(e.spec)))
	if cuts <= 1 {
		out.AppendRange(&req.Body, 0, cut.off)
		out.AppendRange(&req.Body, cut.off+cut.n, req.Body.Size()-cut.off-cut.n)
		return nil
	}
	e.passPieces(req, out)
	return nil
}

// passPieces appends the fields of a message that has several model_specs, all but those.
func (e *RequestEncoder) passPieces(req *infer.Request, out *slab.List) {
	r := &e.r
	r.Reset(&req.Body)
	for at := 0; ; at = r.Pos() {
		key, ok := r.Key(inRequest)
		if !ok {
			return
		}
		r.Skip(inRequest, key)
		if key != keyModelSpec {
			out.AppendRange(&req.Body, at, r.Pos()-at)
		}
	}
}

// write writes the request of the members anew.
func (e *RequestEncoder) write(b *infer.Batch, out *slab.List) *infer.Error {
	first := b.Members[0].Call.Request
	size, copied := len(e.spec), len(e.spec)
	for i := range first.Inputs {
		f := e.measure(b, &first.Inputs[i])
		size += message.FieldSize(f.entry)
		copied += message.FieldSize(f.entry) - f.viewed
		e.fields = append(e.fields, f)
	}
	asked := message.Asked(b.Model, b.Members)
	for _, o := range asked {
		n := message.FieldSize(len(b.Model.Outputs[o].Name))
		size, copied = size+n, copied+n
	}
	if size > math.MaxInt32 {
		return requestTooLarge(b.Model, size)
	}
	c := &e.c
	c.Start(e.pool, out, copied)
	c.B = append(c.B, e.spec...)
	for i := range e.fields {
		e.input(b, &e.fields[i])
	}
	for _, o := range asked {
		name := b.Model.Outputs[o].Name
		c.Room(message.FieldSize(len(name)))
		c.B = binary.AppendUvarint(append(c.B, keyOutputFilter), uint64(len(name)))
		c.B = append(c.B, name...)
	}
	c.End()
	return nil
}

// measure works out the lengths of an input.
func (e *RequestEncoder) measure(b *infer.Batch, in *infer.Input) inputField {
	f := inputField{Merged: e.m.Measure(b.Members, in), name: b.Model.Inputs[in.Index].Name}
	for axis, n := range in.Shape {
		if axis == 0 {
			n = f.Rows
		}
		f.shape += message.FieldSize(dimSize(n))
	}
	data := 0
	if in.DType == tensor.Bytes {
		e.m.Append(&e.texts, b.Members, in.Index)
		data, f.viewed = stringsSize(&e.texts)
		e.texts.Release()
	} else if f.Size > 0 {
		data, f.viewed = message.FieldSize(f.Size), f.Size-f.Copied
	}
	f.body = 2 + message.FieldSize(f.shape) + data
	f.entry = message.StringSize(len(f.name)) + message.FieldSize(f.body)
	return f
}

// dimSize returns the encoded length of a Dim.
func dimSize(n int64) int {
	if n == 0 {
		return 0
	}
	return 1 + message.VarintSize(uint64(n))
}

// appendTensor appends a TensorProto of body bytes as field key of a message, up to its data.
func appendTensor(b []byte, body int, d tensor.DType, shape []int64, rows int64, size int) []byte {
	b = binary.AppendUvarint(append(b, keyEntryTensor), uint64(body))
	b = append(b, keyTensorType, byte(DataType(d)))
	b = binary.AppendUvarint(append(b, keyTensorShape), uint64(size))
	for axis, n := range shape {
		if axis == 0 {
			n = rows
		}
		b = append(b, keyShapeDim, byte(dimSize(n)))
		if n != 0 {
			b = binary.AppendUvarint(append(b, keyDimSize), uint64(n))
		}
	}
	return b
}

// headSize returns the room that an entry takes up to its data: no more than this.
func headSize(name string, shape int) int {
	const lengths = 4 * (2 + 5) // each behind its key
	return lengths + len(name) + 2 + shape
}

// input writes an input, whose data is the rows of all members, one after the other.
func (e *RequestEncoder) input(b *infer.Batch, f *inputField) {
	c := &e.c
	c.Room(headSize(f.name, f.shape))
	c.B = binary.AppendUvarint(append(c.B, keyInputs), uint64(f.entry))
	c.B = message.AppendField(c.B, keyEntryName, f.name)
	c.B = appendTensor(c.B, f.body, f.From.DType, f.From.Shape, f.Rows, f.shape)
	switch {
	case f.From.DType == tensor.Bytes:
		e.m.Append(&e.texts, b.Members, f.From.Index)
		writeStrings(c, &e.texts)
		e.texts.Release()
	case f.Size > 0:
		c.B = binary.AppendUvarint(append(c.B, keyTensorContent), uint64(f.Size))
		e.m.Views(c, b.Members, f.From.Index)
	}
}
