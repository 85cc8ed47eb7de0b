package tfserving

import (
	"encoding/binary"
	"math"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// Answer is a response and what it takes to write it.
type Answer struct {
	Request *infer.Request
	// Model is the version that answered.
	Model    *infer.Model
	Response *infer.Response
	// Rows are the ones of the response that answer this request.
	Rows infer.Rows
}

// count returns how many outputs the answer has.
func (a *Answer) count() int {
	if n := len(a.Request.Outputs); n > 0 {
		return n
	}
	return len(a.Response.Outputs)
}

// output returns output i: in the order asked for, or else as the backend gave them.
func (a *Answer) output(i int) (*infer.Output, *infer.Error) {
	asked := a.Request.Outputs
	if len(asked) == 0 {
		return &a.Response.Outputs[i], nil
	}
	if o := fit.OutputAt(a.Response, asked[i]); o != nil {
		return o, nil
	}
	return nil, fit.BadBackend(a.Model, asked[i], fit.Missing)
}

// passes tells whether the backend's answer is the client's as it stands. One that has more than was asked for is not.
func (a *Answer) passes() bool {
	return a.Request.Encoding == infer.TFServingGRPC && a.Response.Encoding == infer.TFServingGRPC && a.Rows.N < 0 &&
		a.count() == len(a.Response.Outputs)
}

// A MessageEncoder writes answers over gRPC, as tensorflow.serving.PredictResponse with the lists that belong to the
// types of the outputs. It keeps scratch memory between them and belongs to one goroutine at a time.
type MessageEncoder struct {
	pool   *slab.Pool
	c      message.Composer
	fields []outputField
	shape  [tensor.MaxRank]int64
	r      text.Reader
	spec   []byte
}

// An outputField is an output that is to be written.
type outputField struct {
	from   *infer.Output
	name   string
	data   slab.List // the answer's rows of it
	rows   int64
	shape  int // encoded length of the TensorShapeProto
	list   int // of the list's content; strings have none
	body   int // of the TensorProto
	entry  int // of the map's entry
	viewed int // of that: what becomes views
}

// NewMessageEncoder returns an encoder that takes the memory for messages from pool.
func NewMessageEncoder(pool *slab.Pool) *MessageEncoder { return &MessageEncoder{pool: pool} }

// Encode appends an answer to out, behind gRPC's prefix for an uncompressed message if prefix is set: what describes it
// in a slab, and views of the tensors that lie in a message as they are. After an error, out is as it was.
func (e *MessageEncoder) Encode(a Answer, prefix bool, out *slab.List) *infer.Error {
	if a.passes() {
		return e.pass(&a, prefix, out)
	}
	err := e.measure(&a)
	if err == nil {
		err = e.write(&a, prefix, out)
	}
	for i := range e.fields {
		e.fields[i].data.Release()
	}
	clear(e.fields)
	e.fields = e.fields[:0]
	return err
}

// pass appends the backend's message as it came, and behind it the name and the version that the client knows.
func (e *MessageEncoder) pass(a *Answer, prefix bool, out *slab.List) *infer.Error {
	name, version := a.Model.Name, a.Model.Version
	if string(a.Response.BodyName) == name {
		name = ""
	}
	if string(a.Response.BodyVersion) == version {
		version = ""
	}
	e.spec = e.spec[:0]
	if specSize(name, version, nil) > 0 {
		e.spec = appendSpec(e.spec, keyResponseSpec, name, version, nil)
	}
	size, around := a.Response.Body.Size()+len(e.spec), len(e.spec)
	if size > math.MaxInt32 {
		return answerTooLarge(a.Model, size)
	}
	if prefix {
		around += message.PrefixSize
	}
	if around == 0 {
		out.AppendList(&a.Response.Body)
		return nil
	}
	c := &e.c
	c.Start(e.pool, out, around)
	if prefix {
		c.B = message.AppendPrefix(c.B, size)
	}
	c.Cut()
	out.AppendList(&a.Response.Body)
	c.B = append(c.B, e.spec...)
	c.End()
	return nil
}

// measure works out what is to be written, and its lengths.
func (e *MessageEncoder) measure(a *Answer) *infer.Error {
	n := a.count()
	if cap(e.fields) < n {
		e.fields = make([]outputField, 0, n)
	}
	for i := range n {
		o, err := a.output(i)
		if err != nil {
			return err
		}
		shape, err := fit.Cut(a.Model, o, a.Rows, &e.shape)
		if err != nil {
			return err
		}
		e.fields = e.fields[:i+1]
		f := &e.fields[i]
		f.from, f.name = o, a.Model.Outputs[o.Index].Name
		a.Rows.Append(&f.data, &o.Tensor)
		if len(shape) > 0 {
			f.rows = shape[0]
		}
		for _, n := range shape {
			f.shape += message.FieldSize(dimSize(n))
		}
		list := 0
		if o.DType == tensor.Bytes {
			list, f.viewed = stringsSize(&f.data)
		} else if f.list = e.listSize(o.DType, &f.data); f.list > 0 {
			list = message.VarintSize(listKey(o.DType)) + message.VarintSize(uint64(f.list)) + f.list
			if asIs(o.DType) && f.list >= message.JoinBelow {
				f.viewed = f.list
			}
		}
		f.body = 2 + message.FieldSize(f.shape) + list
		f.entry = message.StringSize(len(f.name)) + message.FieldSize(f.body)
	}
	return nil
}

// listKey returns the key of the list of type d, packed where it can be.
func listKey(d tensor.DType) uint64 { return uint64(listOf(d))<<3 | message.Bytes }

// asIs tells whether elements of type d lie in a list as they do in a tensor.
func asIs(d tensor.DType) bool { return d == tensor.FP32 || d == tensor.FP64 }

// listSize returns the encoded length of the elements of an output that are no strings.
func (e *MessageEncoder) listSize(d tensor.DType, data *slab.List) (size int) {
	if asIs(d) || d == tensor.Bool {
		return data.Size()
	}
	e.r.Start(data)
	for {
		b := e.r.Fixed(d.Size())
		if b == nil {
			return size
		}
		size += message.VarintSize(varint(d, b))
	}
}

// varint returns an element as the list of its type holds it.
func varint(d tensor.DType, b []byte) uint64 {
	switch d {
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		return uint64(text.GetSigned(b))
	case tensor.Bool:
		return uint64(min(b[0], 1))
	}
	return text.GetUnsigned(b)
}

// write writes what was measured.
func (e *MessageEncoder) write(a *Answer, prefix bool, out *slab.List) *infer.Error {
	signature := signatureOf(a.Request)
	if len(signature) == 0 {
		signature = defaultSignature
	}
	e.spec = appendSpec(e.spec[:0], keyResponseSpec, a.Model.Name, a.Model.Version, signature)
	size, own := len(e.spec), len(e.spec)
	for i := range e.fields {
		f := &e.fields[i]
		n := message.FieldSize(f.entry)
		size, own = size+n, own+n-f.viewed
	}
	if size > math.MaxInt32 {
		return answerTooLarge(a.Model, size)
	}
	c := &e.c
	c.Start(e.pool, out, own+message.PrefixSize)
	if prefix {
		c.B = message.AppendPrefix(c.B, size)
	}
	for i := range e.fields {
		e.output(&e.fields[i])
	}
	c.Room(len(e.spec))
	c.B = append(c.B, e.spec...)
	c.End()
	return nil
}

// output writes one output.
func (e *MessageEncoder) output(f *outputField) {
	c, d := &e.c, f.from.DType
	c.Room(headSize(f.name, f.shape))
	c.B = binary.AppendUvarint(append(c.B, keyOutputs), uint64(f.entry))
	c.B = message.AppendField(c.B, keyEntryName, f.name)
	c.B = appendTensor(c.B, f.body, d, f.from.Shape, f.rows, f.shape)
	if d == tensor.Bytes {
		writeStrings(c, &f.data)
		return
	}
	if f.list == 0 {
		return
	}
	c.Room(2 + 5)
	c.B = binary.AppendUvarint(c.B, listKey(d))
	c.B = binary.AppendUvarint(c.B, uint64(f.list))
	if asIs(d) {
		c.Views(&f.data)
		return
	}
	c.Room(f.list)
	e.r.Start(&f.data)
	for {
		b := e.r.Fixed(d.Size())
		if b == nil {
			return
		}
		c.B = binary.AppendUvarint(c.B, varint(d, b))
	}
}

// answerTooLarge says that an answer does not fit a message.
func answerTooLarge(m *infer.Model, size int) *infer.Error {
	err := infer.Errorf(infer.BadBackend, "the answer of model %s takes %d bytes, more than a gRPC message holds", text.Quote(m.Name), size)
	err.Origin = infer.FromBackend
	return err
}
