package kserve

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// An Encoder writes answers over REST. It keeps scratch memory between them and belongs to one goroutine at a time.
type Encoder struct {
	portion
	w    writer
	tail slab.List // binary data, to follow the JSON part
}

// NewEncoder returns an encoder that takes the memory for text from pool.
func NewEncoder(pool *slab.Pool) *Encoder { return &Encoder{portion: portion{pool: pool}} }

// Encode writes the body of an answer to out, which must be empty: the JSON part in slabs of its own, then
// views of the binary tensors. headerLen is the value for Inference-Header-Content-Length, 0 where the
// answer must not have that header because it is JSON and nothing else. After an error, out is empty.
func (e *Encoder) Encode(a Answer, out *slab.List) (headerLen int, err *infer.Error) {
	e.w.start(e.pool, out, e.hint(&a))
	err = e.document(&a)
	e.w.flush()
	if err == nil && e.tail.Size() > 0 {
		headerLen = out.Size()
		out.AppendList(&e.tail)
	}
	e.part.Release()
	e.tail.Release()
	if err != nil {
		out.Release()
	}
	return headerLen, err
}

// hint estimates the length of the JSON part.
func (e *Encoder) hint(a *Answer) int {
	n := 256
	for i := range a.count() {
		n += 128
		o := a.output(i)
		if o == nil || a.Head.binary(i) {
			continue
		}
		size := o.Data.Size()
		if rows := o.Rows(); a.Rows.N >= 0 && rows > 0 {
			size = int(int64(size) / rows * a.Rows.N)
		}
		if o.DType != tensor.Bytes {
			size *= 3 // an FP32 takes about twelve characters
		}
		n += size
	}
	return n
}

func (e *Encoder) document(a *Answer) *infer.Error {
	w := &e.w
	w.text("{")
	if len(a.Request.ID) > 0 {
		w.text(`"id":`)
		w.quoted(a.Request.ID)
		w.text(",")
	}
	w.text(`"model_name":`)
	w.quoted(bytesOf(a.Model.Name))
	w.text(`,"model_version":`)
	w.quoted(bytesOf(a.Model.Version))
	e.parameters(a.Response.Params)
	w.text(`,"outputs":[`)
	for i := range a.count() {
		o := a.output(i)
		if o == nil {
			return badBackend(a.Model, a.Request.Outputs[i], missing)
		}
		if err := e.output(a, i, o); err != nil {
			return err
		}
	}
	w.text("]}")
	return nil
}

// parameters writes what the backend said beside its outputs.
func (e *Encoder) parameters(params []infer.Param) {
	if len(params) == 0 {
		return
	}
	w := &e.w
	w.text(`,"parameters":{`)
	for i := range params {
		p := &params[i]
		if i > 0 {
			w.text(",")
		}
		w.quoted(p.Key)
		w.text(":")
		w.room(maxNumber)
		switch p.Kind {
		case infer.ParamBool:
			w.buf = strconv.AppendBool(w.buf, p.Int != 0)
		case infer.ParamInt:
			w.buf = strconv.AppendInt(w.buf, p.Int, 10)
		case infer.ParamUint:
			w.buf = strconv.AppendUint(w.buf, uint64(p.Int), 10)
		case infer.ParamFloat:
			w.buf = appendFloat(w.buf, p.Float, 64)
		default:
			w.quoted(p.String)
		}
	}
	w.text("}")
}

// output writes one output, whose form stands at place i of the head.
func (e *Encoder) output(a *Answer, i int, o *infer.Output) *infer.Error {
	dtype, shape, err := e.take(a, i, o)
	if err != nil {
		return err
	}
	spec := &a.Model.Outputs[o.Index]
	w := &e.w
	if i > 0 {
		w.text(",")
	}
	w.text(`{"name":`)
	w.quoted(bytesOf(spec.Name))
	w.text(`,"datatype":"`)
	w.text(dtype.String())
	w.text(`","shape":`)
	w.room(21*len(shape) + 2)
	w.buf = tensor.AppendShape(w.buf, shape)
	if a.Head.binary(i) {
		w.text(`,"parameters":{"binary_data_size":`)
		w.room(20)
		w.buf = strconv.AppendInt(w.buf, int64(e.part.Size()), 10)
		w.text("}}")
		e.tail.AppendList(&e.part)
		return nil
	}
	w.text(`,"data":[`)
	switch what := e.data(dtype, shape); what {
	case "":
	case notText:
		return infer.Errorf(infer.Invalid, "output %s of model %s %s", quote(spec.Name), quote(a.Model.Name), what)
	default:
		return badBackend(a.Model, o.Index, what)
	}
	w.text("]}")
	return nil
}

const notText = "holds bytes that are not UTF-8: request it as binary data"

// data writes the elements of e.part. It returns what is wrong with them, if anything is.
func (e *Encoder) data(d tensor.DType, shape []int64) string {
	elements, _ := tensor.Elements(shape)
	r := &e.r
	r.start(&e.part)
	if d == tensor.Bytes {
		return e.texts(elements)
	}
	w := &e.w
	size := d.Size()
	for n := range elements {
		b := r.fixed(size)
		if b == nil {
			return broken
		}
		w.room(maxNumber + 1)
		if n > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = appendElement(w.buf, d, b)
	}
	return ""
}

// maxNumber is the length of the longest number that appendElement writes.
const maxNumber = 32

// appendElement writes the element of type d that b holds.
func appendElement(dst []byte, d tensor.DType, b []byte) []byte {
	le := binary.LittleEndian
	switch d {
	case tensor.FP32:
		return appendFloat(dst, float64(math.Float32frombits(le.Uint32(b))), 32)
	case tensor.FP64:
		return appendFloat(dst, math.Float64frombits(le.Uint64(b)), 64)
	case tensor.FP16:
		return appendFloat(dst, float64(halfToFloat(le.Uint16(b))), 32)
	case tensor.BF16:
		return appendFloat(dst, float64(brainToFloat(le.Uint16(b))), 32)
	case tensor.Bool:
		return strconv.AppendBool(dst, b[0] != 0)
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		return strconv.AppendInt(dst, getSigned(b), 10)
	}
	return strconv.AppendUint(dst, getUnsigned(b), 10)
}

func getUnsigned(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

func getSigned(b []byte) int64 {
	shift := 64 - 8*len(b)
	return int64(getUnsigned(b)) << shift >> shift
}

// texts writes BYTES elements as strings.
func (e *Encoder) texts(elements int64) string {
	r, w := &e.r, &e.w
	for n := range elements {
		size, ok := r.prefix()
		if !ok {
			return broken
		}
		w.room(2)
		if n > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(w.buf, '"')
		if what := e.runes(size); what != "" {
			return what
		}
		w.room(1)
		w.buf = append(w.buf, '"')
	}
	if r.some(1) != nil {
		return broken
	}
	return ""
}

// textChunk is how much of a string is written at a time: an escape takes up to six times its byte.
const textChunk = 4 << 10

// runes writes the text of one BYTES element of size bytes. A rune may straddle two views, so its first
// bytes wait in held for the others.
func (e *Encoder) runes(size int) string {
	r, w := &e.r, &e.w
	var held [utf8.UTFMax]byte
	kept := 0
	for size > 0 {
		if kept > 0 {
			b := r.some(1)
			if b == nil {
				return broken
			}
			held[kept] = b[0]
			kept, size = kept+1, size-1
			if utf8.FullRune(held[:kept]) {
				if !utf8.Valid(held[:kept]) {
					return notText
				}
				w.room(kept)
				w.buf = append(w.buf, held[:kept]...)
				kept = 0
			}
			continue
		}
		b := r.some(min(size, textChunk))
		if b == nil {
			return broken
		}
		size -= len(b)
		whole := len(b) - partialRune(b)
		if !utf8.Valid(b[:whole]) {
			return notText
		}
		w.room(6*whole + 2)
		w.buf = appendEscaped(w.buf, b[:whole])
		kept = copy(held[:], b[whole:])
	}
	if kept > 0 {
		return notText
	}
	return ""
}

// partialRune returns how many bytes at the end of b begin a rune that is not whole.
func partialRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if utf8.FullRune(b[len(b)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}

// bytesOf returns the bytes of a string, not to be written to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
