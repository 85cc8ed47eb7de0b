package tfserving

import (
	"encoding/base64"
	"strings"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// An Encoder writes answers over REST. It keeps scratch memory between them and belongs to one goroutine at a time.
type Encoder struct {
	pool *slab.Pool
	valueWriter
}

// A valueWriter writes the values of several tensors, side by side.
type valueWriter struct {
	w      text.Writer
	values []values
	binary [3 << 10]byte
}

// values are a tensor that is to be written.
type values struct {
	name  string
	index int
	dtype tensor.DType
	b64   bool // strings are bytes, which go in base 64
	shape []int64
	dims  [tensor.MaxRank]int64
	data  slab.List
	r     text.Reader
}

// NewEncoder returns an encoder that takes the memory for text from pool.
func NewEncoder(pool *slab.Pool) *Encoder { return &Encoder{pool: pool} }

// bytesSuffix ends the names of outputs whose strings are bytes, not text: so TensorFlow Serving has it.
const bytesSuffix = "_bytes"

// maxEmpty bounds the lists that an output without elements may be.
const maxEmpty = 1 << 16

// Encode writes the body of an answer to out, which must be empty. After an error, out is empty.
func (e *Encoder) Encode(a Answer, form Form, out *slab.List) *infer.Error {
	hint, err := e.prepare(&a)
	if err == nil {
		e.w.Start(e.pool, out, hint)
		if form == Rows {
			err = e.rows(&a)
		} else {
			err = e.columns(&a)
		}
		e.w.Flush()
	}
	e.drop()
	if err != nil {
		out.Release()
	}
	return err
}

// drop lets go of the tensors.
func (e *valueWriter) drop() {
	for i := range e.values {
		e.values[i].data.Release()
	}
	clear(e.values)
	e.values = e.values[:0]
}

// prepare takes the outputs, and estimates how much text they make.
func (e *Encoder) prepare(a *Answer) (hint int, err *infer.Error) {
	n := a.count()
	if cap(e.values) < n {
		e.values = make([]values, 0, n)
	}
	for i := range n {
		o, err := a.output(i)
		if err != nil {
			return 0, err
		}
		e.values = e.values[:i+1]
		v := &e.values[i]
		v.name, v.index, v.dtype = a.Model.Outputs[o.Index].Name, o.Index, o.DType
		v.b64 = v.dtype == tensor.Bytes && strings.HasSuffix(v.name, bytesSuffix)
		if v.shape, err = fit.Cut(a.Model, o, a.Rows, &v.dims); err != nil {
			return 0, err
		}
		if lists(v.shape) > maxEmpty && o.Data.Size() == 0 {
			return 0, fit.BadBackend(a.Model, o.Index, "has a shape that is too large for an output without elements")
		}
		a.Rows.Append(&v.data, &o.Tensor)
		v.r.Start(&v.data)
		hint += 64 + 3*v.data.Size() // an FP32 takes about twelve characters
	}
	return hint, nil
}

// lists returns how many lists a shape without elements is at most.
func lists(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		if d == 0 || n > maxEmpty {
			return n
		}
		n *= min(d, maxEmpty+1)
	}
	return n
}

// rows writes one value for each row: that of the only output, or an object of all of them.
func (e *Encoder) rows(a *Answer) *infer.Error {
	rows := int64(0)
	for i := range e.values {
		v := &e.values[i]
		switch {
		case len(v.shape) == 0:
			return infer.Errorf(infer.Invalid, "output %s of model %s is a scalar and has no rows: send \"inputs\" for an answer by columns", text.Quote(v.name), text.Quote(a.Model.Name))
		case i == 0:
			rows = v.shape[0]
		case v.shape[0] != rows:
			return infer.Errorf(infer.Invalid, "output %s of model %s has %d rows, others have %d: send \"inputs\" for an answer by columns", text.Quote(v.name), text.Quote(a.Model.Name), v.shape[0], rows)
		}
	}
	w := &e.w
	w.Text(`{"predictions":[`)
	for row := range rows {
		if row > 0 {
			w.Text(",")
		}
		if err := e.write(a, 1); err != nil {
			return err
		}
	}
	w.Text("]}")
	return nil
}

// columns writes one value for each output.
func (e *Encoder) columns(a *Answer) *infer.Error {
	e.w.Text(`{"outputs":`)
	if err := e.write(a, 0); err != nil {
		return err
	}
	e.w.Text("}")
	return nil
}

// write writes the next value of every output. A single one has no name.
func (e *Encoder) write(a *Answer, axis int) *infer.Error {
	switch v, what := e.all(len(e.values) != 1, axis); what {
	case "":
		return nil
	case text.NotText:
		return infer.Errorf(infer.Invalid, "output %s of model %s holds bytes that are not UTF-8, which only outputs whose names end in %s may: request it over gRPC", text.Quote(v.name), text.Quote(a.Model.Name), bytesSuffix)
	default:
		return fit.BadBackend(a.Model, v.index, what)
	}
}

// all writes the next value of every tensor, whose axes begin at one of the shape's, behind its name or without. It
// returns what is wrong with one of them, if anything is.
func (e *valueWriter) all(named bool, axis int) (v *values, what string) {
	w := &e.w
	if named {
		w.Text("{")
	}
	for i := range e.values {
		v = &e.values[i]
		if i > 0 {
			w.Text(",")
		}
		if named {
			w.Quoted(text.BytesOf(v.name))
			w.Text(":")
		}
		if what = e.nested(v, v.shape[axis:]); what != "" {
			return v, what
		}
	}
	if named {
		w.Text("}")
	}
	return nil, ""
}

// nested writes a value of the given axes. It returns what is wrong with it, if anything is.
func (e *valueWriter) nested(v *values, shape []int64) (what string) {
	w := &e.w
	if len(shape) == 0 {
		return e.elements(v, 1)
	}
	w.Text("[")
	if len(shape) == 1 {
		what = e.elements(v, shape[0])
	} else {
		for i := int64(0); i < shape[0] && what == ""; i++ {
			if i > 0 {
				w.Text(",")
			}
			what = e.nested(v, shape[1:])
		}
	}
	w.Text("]")
	return what
}

// elements writes the next n elements, with commas between.
func (e *valueWriter) elements(v *values, n int64) (what string) {
	if !v.b64 {
		return e.w.Elements(&v.r, v.dtype, n)
	}
	w := &e.w
	for i := range n {
		if i > 0 {
			w.Text(",")
		}
		w.Text(`{"b64":"`)
		size, ok := v.r.Prefix()
		if !ok {
			return text.Broken
		}
		for size > 0 {
			got := 0
			for want := min(size, len(e.binary)); got < want; {
				b := v.r.Some(want - got)
				if b == nil {
					return text.Broken
				}
				got += copy(e.binary[got:], b)
			}
			w.Room(base64.StdEncoding.EncodedLen(got))
			w.Buf = base64.StdEncoding.AppendEncode(w.Buf, e.binary[:got])
			size -= got
		}
		w.Text(`"}`)
	}
	return ""
}
