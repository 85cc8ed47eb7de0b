package kserve

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// PrefixSize is the length of what gRPC puts before a message: a flag and the message's length.
const PrefixSize = 5

// Frame says what goes around a ModelInferResponse.
type Frame struct {
	// Prefix puts gRPC's five bytes for an uncompressed message before it.
	Prefix bool
	// Stream wraps it in a ModelStreamInferResponse.
	Stream bool
	// Final is the answer's parameter triton_final_response.
	Final Final
}

// Final tells clients of a stream whether more answers to the same request follow.
type Final uint8

// The ways to say it.
const (
	FinalUnsaid Final = iota
	FinalNo
	FinalYes
)

// keepFields bounds what an encoder keeps for its next answer.
const keepFields = 256

// copyBelow is the size from which the data of an output becomes views. Below, copying it behind the message's
// own bytes costs less than the view does, though the bytes be copied once more to be sent (82 against 97 ns at
// 1 KiB, 141 against 104 at 4).
const copyBelow = 2 << 10

// A MessageEncoder writes answers over gRPC, as inference.ModelInferResponse with raw_output_contents. It keeps
// scratch memory between them and belongs to one goroutine at a time.
type MessageEncoder struct {
	portion
	tail   slab.List // the data of outputs whose taken is set
	c      composer
	fields []outputField
	dims   []int64
}

// An outputField is an output that is to be written.
type outputField struct {
	from  *infer.Output
	name  string
	dtype tensor.DType
	shape []int64
	dims  int // encoded length of shape
	body  int // encoded length of the InferOutputTensor
	size  int // of the data
	taken bool
}

// NewMessageEncoder returns an encoder that takes the memory for messages from pool.
func NewMessageEncoder(pool *slab.Pool) *MessageEncoder {
	return &MessageEncoder{portion: portion{pool: pool}}
}

// Encode appends an answer to out: what describes it in one slab, and views of the tensors between. The
// response may be nil, for an answer without outputs. After an error, out is as it was.
func (e *MessageEncoder) Encode(a Answer, f Frame, out *slab.List) *infer.Error {
	if a.passes() {
		return e.pass(&a, f, out)
	}
	err := e.prepare(&a)
	if err == nil {
		err = e.write(&a, f, out)
	}
	e.part.Release()
	e.tail.Release()
	clear(e.fields)
	if cap(e.fields) > keepFields || cap(e.dims) > 8*keepFields {
		e.fields, e.dims = nil, nil
	}
	e.fields, e.dims = e.fields[:0], e.dims[:0]
	return err
}

// prepare works out what is to be written, and its lengths.
func (e *MessageEncoder) prepare(a *Answer) *infer.Error {
	if a.Response == nil {
		return nil
	}
	for i := range a.count() {
		o := a.output(i)
		if o == nil {
			return badBackend(a.Model, a.Request.Outputs[i], missing)
		}
		f := outputField{from: o, name: a.Model.Outputs[o.Index].Name, dtype: o.DType}
		if err := e.data(a, i, &f); err != nil {
			return err
		}
		for _, d := range f.shape {
			f.dims += varintSize(uint64(d))
		}
		f.body = stringSize(len(f.name)) + stringSize(len(f.dtype.String())) + stringSize(f.dims)
		e.fields = append(e.fields, f)
	}
	return nil
}

// data works out the shape and the size of an output. Only where they do not follow from each other is the
// data taken at once.
func (e *MessageEncoder) data(a *Answer, i int, f *outputField) *infer.Error {
	o := f.from
	if a.classes(i, o) == 0 && (o.DType != tensor.Bytes || a.Rows.N < 0) {
		shape, err := e.cut(a, o)
		if err != nil {
			return err
		}
		if a.Rows.N < 0 {
			f.shape, f.size = shape, o.Data.Size()
			return nil
		}
		size, _ := tensor.ByteSize(o.DType, shape) // a part of one that was checked
		f.shape, f.size = e.keep(shape), int(size)
		return nil
	}
	dtype, shape, err := e.take(a, i, o)
	if err != nil {
		return err
	}
	f.dtype, f.shape, f.size, f.taken = dtype, e.keep(shape), e.part.Size(), true
	e.tail.AppendList(&e.part)
	return nil
}

// keep copies a shape that the next output would overwrite.
func (e *MessageEncoder) keep(shape []int64) []int64 {
	at := len(e.dims)
	e.dims = append(e.dims, shape...)
	return e.dims[at:len(e.dims):len(e.dims)]
}

// write writes what was prepared.
func (e *MessageEncoder) write(a *Answer, f Frame, out *slab.List) *infer.Error {
	head := stringSize(len(a.Model.Name)) + stringSize(len(a.Model.Version)) + stringSize(len(a.Request.ID))
	params, final := a.params(f)
	head += finalSize(final)
	for i := range params {
		head += paramEntrySize(&params[i])
	}
	data, viewed := 0, 0
	for i := range e.fields {
		o := &e.fields[i]
		head += fieldSize(o.body) + 1 + varintSize(uint64(o.size))
		data += o.size
		if o.size >= copyBelow {
			viewed += o.size
		}
	}
	size := head + data
	around := 0
	if f.Stream {
		around += 1 + varintSize(uint64(size))
	}
	if size+around > math.MaxInt32 {
		return answerTooLarge(a.Model, size)
	}
	if f.Prefix {
		around += PrefixSize
	}
	own := e.pool.Get(around + size - viewed)
	b := own.Bytes()[:0]
	b = f.open(b, size)
	b = e.describe(b, a, params, final)
	e.interleave(own, b, a, out)
	return nil
}

// params returns the parameters of the answer, and whether it says beside them that it is the last one.
func (a *Answer) params(f Frame) ([]infer.Param, Final) {
	if a.Response == nil {
		return nil, f.Final
	}
	if FinalOf(a.Response) != FinalUnsaid {
		return a.Response.Params, FinalUnsaid
	}
	return a.Response.Params, f.Final
}

func answerTooLarge(m *infer.Model, size int) *infer.Error {
	err := infer.Errorf(infer.BadBackend, "the answer of model %s takes %d bytes, more than a gRPC message holds", quote(m.Name), size)
	err.Origin = infer.FromBackend
	return err
}

// The fields of ModelInferResponse, InferOutputTensor and ModelStreamInferResponse.
const (
	keyResponseModel      = 1<<3 | wireBytes
	keyResponseVersion    = 2<<3 | wireBytes
	keyResponseID         = 3<<3 | wireBytes
	keyResponseParameters = 4<<3 | wireBytes
	keyResponseOutputs    = 5<<3 | wireBytes
	keyResponseRaw        = 6<<3 | wireBytes

	keyTensorName  = 1<<3 | wireBytes
	keyTensorType  = 2<<3 | wireBytes
	keyTensorShape = 3<<3 | wireBytes // packed
	keyTensorDim   = 3<<3 | wireVarint

	keyTensorParameters = 4<<3 | wireBytes
	keyTensorContents   = 5<<3 | wireBytes

	keyStreamError    = 1<<3 | wireBytes
	keyStreamResponse = 2<<3 | wireBytes
)

// describe appends all but the data.
func (e *MessageEncoder) describe(b []byte, a *Answer, params []infer.Param, final Final) []byte {
	b = appendField(b, keyResponseModel, a.Model.Name)
	b = appendField(b, keyResponseVersion, a.Model.Version)
	b = appendField(b, keyResponseID, a.Request.ID)
	for i := range params {
		b = appendParam(b, keyResponseParameters, &params[i])
	}
	b = appendFinal(b, final)
	for i := range e.fields {
		o := &e.fields[i]
		b = binary.AppendUvarint(append(b, keyResponseOutputs), uint64(o.body))
		b = appendField(b, keyTensorName, o.name)
		b = appendField(b, keyTensorType, o.dtype.String())
		if o.dims == 0 {
			continue
		}
		b = binary.AppendUvarint(append(b, keyTensorShape), uint64(o.dims))
		for _, d := range o.shape {
			b = binary.AppendUvarint(b, uint64(d))
		}
	}
	return b
}

// interleave appends the data to out, behind what b holds: small pieces copied to b, large ones as views. b
// lies in own, whose reference it gives away.
func (e *MessageEncoder) interleave(own *slab.Slab, b []byte, a *Answer, out *slab.List) {
	from, tail := 0, 0
	for i := range e.fields {
		o := &e.fields[i]
		b = binary.AppendUvarint(append(b, keyResponseRaw), uint64(o.size))
		to := out
		if o.size < copyBelow {
			to = &e.part
			to.Release()
		} else {
			out.Append(own.View(from, len(b)-from))
			from = len(b)
		}
		switch {
		case o.taken:
			to.AppendRange(&e.tail, tail, o.size)
			tail += o.size
		case to != out && a.Rows.N < 0:
			to = &o.from.Data
		default:
			a.Rows.Append(to, &o.from.Tensor)
		}
		if to != out {
			n := len(b)
			b = b[:n+o.size]
			to.CopyTo(b[n:])
		}
	}
	if len(b) > from {
		out.AppendOwned(own.View(from, len(b)-from))
		return
	}
	own.Release()
}

// AppendStreamError appends the ModelStreamInferResponse of a request that failed, with gRPC's prefix before it
// if prefix is set. id is the request's, so that the client can tell which one it was; final tells whether more
// follows.
func AppendStreamError(dst []byte, text string, id []byte, final Final, prefix bool) []byte {
	text = validUTF8(text)
	inner := stringSize(len(id)) + finalSize(final)
	size := stringSize(len(text)) + stringSize(inner)
	if prefix {
		dst = appendPrefix(dst, size)
	}
	dst = appendField(dst, keyStreamError, text)
	if inner > 0 {
		dst = append(dst, keyStreamResponse)
		dst = binary.AppendUvarint(dst, uint64(inner))
		dst = appendField(dst, keyResponseID, id)
		dst = appendFinal(dst, final)
	}
	return dst
}

// appendPrefix appends gRPC's prefix of an uncompressed message of n bytes.
func appendPrefix(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(n))
}

// appendField appends a field of bytes, unless it is empty.
func appendField[T []byte | string](dst []byte, key byte, s T) []byte {
	if len(s) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(append(dst, key), uint64(len(s)))
	return append(dst, s...)
}

// fieldSize returns the encoded length of a field of n bytes whose number is below 16, and stringSize that of
// one that is left out when empty.
func fieldSize(n int) int { return 1 + varintSize(uint64(n)) + n }

func stringSize(n int) int {
	if n == 0 {
		return 0
	}
	return fieldSize(n)
}

func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }
