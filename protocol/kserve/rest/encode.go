package rest

import (
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// portion keeps the field unexported in an Encoder.
type portion = kserve.Portion

// An Encoder writes answers over REST. It keeps scratch memory between them and belongs to one goroutine at a time.
type Encoder struct {
	portion
	r    text.Reader
	w    text.Writer
	tail slab.List // binary data, to follow the JSON part
}

// NewEncoder returns an encoder that takes the memory for text from pool.
func NewEncoder(pool *slab.Pool) *Encoder { return &Encoder{portion: portion{Pool: pool}} }

// Encode writes the body of an answer to out, which must be empty: the JSON part in slabs of its own, then
// views of the binary tensors. headerLen is the value for Inference-Header-Content-Length, 0 where the
// answer must not have that header because it is JSON and nothing else. After an error, out is empty.
func (e *Encoder) Encode(a kserve.Answer, out *slab.List) (headerLen int, err *infer.Error) {
	e.w.Start(e.Pool, out, e.hint(&a))
	err = e.document(&a)
	e.w.Flush()
	if err == nil && e.tail.Size() > 0 {
		headerLen = out.Size()
		out.AppendList(&e.tail)
	}
	e.Part.Release()
	e.tail.Release()
	if err != nil {
		out.Release()
	}
	return headerLen, err
}

// hint estimates the length of the JSON part.
func (e *Encoder) hint(a *kserve.Answer) int {
	n := 256
	for i := range a.Count() {
		n += 128
		o := a.Output(i)
		if o == nil || a.Head.WantsBinary(i) {
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

func (e *Encoder) document(a *kserve.Answer) *infer.Error {
	w := &e.w
	w.Text("{")
	if len(a.Request.ID) > 0 {
		w.Text(`"id":`)
		w.Quoted(a.Request.ID)
		w.Text(",")
	}
	w.Text(`"model_name":`)
	w.Quoted(text.BytesOf(a.Model.Name))
	w.Text(`,"model_version":`)
	w.Quoted(text.BytesOf(a.Model.Version))
	e.parameters(a.Response.Params, -1)
	w.Text(`,"outputs":[`)
	for i := range a.Count() {
		o := a.Output(i)
		if o == nil {
			return fit.BadBackend(a.Model, a.Request.Outputs[i], fit.Missing)
		}
		if err := e.output(a, i, o); err != nil {
			return err
		}
	}
	w.Text("]}")
	return nil
}

// parameters writes what the backend said beside its outputs, or beside one, whose binary data takes size bytes, -1: it has
// none.
func (e *Encoder) parameters(params []infer.Param, size int) {
	if len(params) == 0 && size < 0 {
		return
	}
	w := &e.w
	w.Text(`,"parameters":{`)
	if size >= 0 {
		w.Text(`"binary_data_size":`)
		w.Room(20)
		w.Buf = strconv.AppendInt(w.Buf, int64(size), 10)
	}
	for i := range params {
		if i > 0 || size >= 0 {
			w.Text(",")
		}
		writeParam(w, &params[i])
	}
	w.Text("}")
}

// output writes one output, whose form stands at place i of the head.
func (e *Encoder) output(a *kserve.Answer, i int, o *infer.Output) *infer.Error {
	dtype, shape, err := e.Take(a, i, o)
	if err != nil {
		return err
	}
	spec := &a.Model.Outputs[o.Index]
	w := &e.w
	if i > 0 {
		w.Text(",")
	}
	w.Text(`{"name":`)
	w.Quoted(text.BytesOf(spec.Name))
	w.Text(`,"datatype":"`)
	w.Text(dtype.String())
	w.Text(`","shape":`)
	w.Room(21*len(shape) + 2)
	w.Buf = tensor.AppendShape(w.Buf, shape)
	if o.Region != nil { // as a Triton does, which says no more of it
		w.Text("}")
		return nil
	}
	params := o.Params
	if dtype != o.DType {
		params = nil // they are not of its classes
	}
	if a.Head.WantsBinary(i) {
		e.parameters(params, e.Part.Size())
		w.Text("}")
		e.tail.AppendList(&e.Part)
		return nil
	}
	e.parameters(params, -1)
	w.Text(`,"data":[`)
	switch what := e.data(dtype, shape); what {
	case "":
	case text.NotText:
		return infer.Errorf(infer.Invalid, "output %s of model %s %s", text.Quote(spec.Name), text.Quote(a.Model.Name), what)
	default:
		return fit.BadBackend(a.Model, o.Index, what)
	}
	w.Text("]}")
	return nil
}

// data writes the elements of e.part. It returns what is wrong with them, if anything is.
func (e *Encoder) data(d tensor.DType, shape []int64) string {
	elements, _ := tensor.Elements(shape)
	e.r.Start(&e.Part)
	if what := e.w.Elements(&e.r, d, elements); what != "" {
		return what
	}
	if e.r.Some(1) != nil {
		return text.Broken
	}
	return ""
}
