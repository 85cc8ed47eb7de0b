package tfserving

import (
	"slices"
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// A ResponseDecoder reads the answers of a backend, tensorflow.serving.PredictResponse. It keeps scratch memory
// between them and belongs to one goroutine at a time.
//
// It accepts what proto.Unmarshal accepts, and then what fits the model: nothing that a backend may send can make
// trouble later.
type ResponseDecoder struct {
	filler
	spec    spec
	outputs entries
	version [20]byte
}

// NewResponseDecoder returns a decoder that takes the memory for tensors that are not sliced from pool.
func NewResponseDecoder(pool *slab.Pool) *ResponseDecoder {
	return &ResponseDecoder{filler: filler{pool: pool}}
}

// The fields of PredictResponse.
const (
	keyOutputs      = 1<<3 | message.Bytes
	keyResponseSpec = 2<<3 | message.Bytes
)

const (
	inResponse = "PredictResponse"
	inOutputs  = "outputs"
)

// maxFilled bounds the bytes that the elements of one output may stand for beyond what the backend sent.
const maxFilled = 1 << 30

// Decode reads the PredictResponse to a batch into r, which must be new, and moves the message to r.Body. Data that
// lies in the message as it does in a tensor becomes views of it. After an error, r is in order and to be released as
// usual.
func (d *ResponseDecoder) Decode(model *infer.Model, b *infer.Batch, body *slab.List, r *infer.Response) *infer.Error {
	r.Body.Take(body)
	err := d.decode(model, r)
	for i := 0; i < len(b.Members) && err == nil; i++ {
		err = answers(model, b.Members[i].Call.Request, r)
	}
	d.spec, d.t.in.Name = spec{}, nil
	clear(d.outputs)
	d.outputs = d.outputs[:0]
	d.r.Reset(nil)
	return err
}

// answers checks that r has what a request asked for: for nothing in particular is for all that the signature gives.
func answers(m *infer.Model, req *infer.Request, r *infer.Response) *infer.Error {
	if len(req.Outputs) > 0 {
		return fit.Answers(m, req, r)
	}
	s := fit.Signature(m, req)
	for index := range m.Outputs {
		if (s == nil || slices.Contains(s.Outputs, index)) && fit.OutputAt(r, index) == nil {
			return fit.BadBackend(m, index, fit.Missing)
		}
	}
	return nil
}

func (d *ResponseDecoder) decode(m *infer.Model, resp *infer.Response) *infer.Error {
	r := &d.r
	r.Reset(&resp.Body)
	for key, ok := r.Key(inResponse); ok; key, ok = r.Key(inResponse) {
		switch key {
		case keyResponseSpec:
			d.spec.read(r)
		case keyOutputs:
			d.outputs.read(r, &d.t, inOutputs)
			if len(d.outputs) > len(m.Outputs) && !r.Failed() {
				return fit.Nonsense(m, "has more outputs than the model, "+strconv.Itoa(len(m.Outputs)))
			}
		default:
			r.Skip(inResponse, key)
		}
	}
	if r.Failed() {
		return d.fault(m)
	}
	for i := range d.outputs {
		if err := d.output(m, resp, &d.outputs[i]); err != nil {
			return err
		}
	}
	resp.Encoding = infer.TFServingGRPC
	resp.BodyName = resp.Keep(d.spec.name)
	if d.spec.hasVersion {
		resp.BodyVersion = resp.Keep(strconv.AppendInt(d.version[:0], d.spec.version, 10))
	}
	return nil
}

// fault words what was wrong with the message.
func (d *ResponseDecoder) fault(m *infer.Model) *infer.Error {
	return fit.Nonsense(m, "cannot be parsed: "+d.r.Field+": "+d.r.What+" at byte "+strconv.Itoa(d.r.At))
}

// output reads one output and takes its data.
func (d *ResponseDecoder) output(m *infer.Model, resp *infer.Response, e *entry) *infer.Error {
	p := &d.t
	p.read(&d.r, e, inOutputs)
	if d.r.Failed() {
		return d.fault(m)
	}
	p.in.DType = DType(p.dtype)
	o, err := fit.BindOutput(m, resp, &p.in, typeName(p.dtype), nil)
	if err != nil {
		return err
	}
	want, _ := tensor.Elements(o.Shape) // BindOutput has looked at it
	what := p.check(o.DType, want)
	switch {
	case what != "":
	case p.content.n > 0:
		if o.DType != tensor.Bytes {
			if err := fit.CheckSize(m, o, p.content.n); err != nil {
				return err
			}
		}
		what = d.content(&resp.Body, &o.Tensor, want)
	case int64(p.lists.N) > want:
		return fit.CheckCount(m, o, int64(p.lists.N))
	default:
		what = d.list(resp, o, e, want)
	}
	if what != "" {
		return fit.BadBackend(m, o.Index, what)
	}
	return nil
}

// list gives an output the data of its list.
func (d *ResponseDecoder) list(resp *infer.Response, o *infer.Output, e *entry, want int64) (what string) {
	p := &d.t
	if at, ok := p.sliced(o.DType, want); ok {
		o.Data.AppendRange(&resp.Body, at.off, at.n)
		return ""
	}
	size, ok := p.size(o.DType, want)
	if !ok || size > maxFilled && int64(p.lists.N) < want {
		return "came with a shape that is too large for its data"
	}
	if size == 0 {
		return ""
	}
	p.fill(&d.r, e, inOutputs, o.DType, d.room(&o.Tensor, size))
	if p.lists.Bad {
		return "has an element out of the range of data type " + o.DType.String()
	}
	return ""
}
