package kserve

import (
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// A ResponseDecoder reads the answers of a backend that speaks the protocol over gRPC. It keeps scratch memory
// between them and belongs to one goroutine at a time.
//
// It accepts what proto.Unmarshal accepts, and then what fits the model: nothing that a backend may send can make
// trouble later.
type ResponseDecoder struct {
	pool *slab.Pool
	r    message.Reader
	tc   message.Lists

	// Of the answer being read.
	model             *infer.Model
	resp              *infer.Response
	classified        []int          // outputs that the backend may have classified
	request           *infer.Request // whose outputs may lie in regions of shared memory; else nil
	in                fit.Field
	dtype             []byte
	name, version, id []byte
	params, own       []Param
	raws              []run
	typed             []int // of each output: elements of contents, -1 where there are none
}

// NewResponseDecoder returns a decoder that takes the memory for tensors that come as contents from pool.
func NewResponseDecoder(pool *slab.Pool) *ResponseDecoder { return &ResponseDecoder{pool: pool} }

// Decode reads the ModelInferResponse to a batch into r, which must be new, and moves the message to r.Body.
// Raw tensors become views of it. After an error, r is in order and to be released as usual.
func (d *ResponseDecoder) Decode(model *infer.Model, b *infer.Batch, body *slab.List, r *infer.Response) *infer.Error {
	r.Body.Take(body)
	if goesAsItCame(b.Members) {
		d.classified = b.Members[0].Call.Request.Classified
	}
	d.request = ofRegions(b.Members[0].Call.Request)
	err := d.decode(model, r)
	for i := 0; i < len(b.Members) && err == nil; i++ {
		err = fit.Answers(model, b.Members[i].Call.Request, r)
	}
	return err
}

const inResponse = "ModelInferResponse"

// fault words what was wrong with the message.
func (d *ResponseDecoder) fault(m *infer.Model) *infer.Error {
	return fit.Nonsense(m, "cannot be parsed: "+d.r.Field+": "+d.r.What+" at byte "+strconv.Itoa(d.r.At))
}

// decode reads r.Body, a ModelInferResponse, and forgets it.
func (d *ResponseDecoder) decode(model *infer.Model, r *infer.Response) *infer.Error {
	d.model, d.resp = model, r
	err := d.message()
	d.model, d.resp, d.classified, d.request = nil, nil, nil, nil
	d.in, d.dtype, d.name, d.version, d.id = fit.Field{}, nil, nil, nil, nil
	clear(d.params)
	clear(d.own)
	d.params, d.own, d.raws, d.typed = d.params[:0], d.own[:0], d.raws[:0], d.typed[:0]
	d.r.Reset(nil)
	return err
}

func (d *ResponseDecoder) message() *infer.Error {
	r, resp := &d.r, d.resp
	r.Reset(&resp.Body)
	for key, ok := r.Key(inResponse); ok; key, ok = r.Key(inResponse) {
		if err := d.field(key); err != nil {
			return err
		}
	}
	if r.Failed() {
		return d.fault(d.model)
	}
	if err := d.slice(); err != nil {
		return err
	}
	resp.Encoding = infer.KServeGRPC
	if len(resp.Outputs) > 0 && len(d.raws) == 0 { // as contents, which are left out where there are no elements
		resp.Encoding = infer.KServeContents
	}
	resp.BodyName, resp.BodyVersion, resp.BodyID = resp.Keep(d.name), resp.Keep(d.version), resp.Keep(d.id)
	for i := range d.params {
		p := &d.params[i]
		if !p.unset {
			resp.Params = append(resp.Params, KeepParam(resp, p))
		}
	}
	resp.Final = FinalOf(resp) == FinalYes
	return nil
}

// field reads a field of the answer.
func (d *ResponseDecoder) field(key uint64) *infer.Error {
	r := &d.r
	switch key {
	case keyResponseModel:
		d.name = r.String("model_name")
	case keyResponseVersion:
		d.version = r.String("model_version")
	case keyResponseID:
		d.id = r.String("id")
	case keyResponseParameters:
		readParameter(r, "parameters", &d.params)
	case keyResponseOutputs:
		return d.output()
	case keyResponseRaw:
		n, ok := r.Length("raw_output_contents")
		if !ok {
			return nil
		}
		if len(d.raws) == len(d.model.Outputs) {
			return fit.Nonsense(d.model, "has more raw_output_contents than the model has outputs, "+strconv.Itoa(len(d.raws)))
		}
		d.raws = append(d.raws, run{r.Pos(), n})
		r.Pass("raw_output_contents", n)
	default:
		r.Skip(inResponse, key)
	}
	return nil
}

const inOutputContents = "outputs.contents"

// output reads one output and, if it has contents, takes them.
func (d *ResponseDecoder) output() *infer.Error {
	r, in := &d.r, &d.in
	*in, d.dtype, d.tc = fit.Field{}, nil, newContents(inOutputContents)
	d.own = d.own[:0]
	seen := false
	outer := r.Enter("outputs")
	from, to := r.Pos(), r.End
	for key, ok := r.Key("outputs"); ok; key, ok = r.Key("outputs") {
		switch key {
		case keyTensorName:
			in.Name = r.String("outputs.name")
		case keyTensorType:
			d.dtype = r.String("outputs.datatype")
		case keyTensorShape:
			readDims(r, "outputs.shape", in)
		case keyTensorDim:
			readDim(r, "outputs.shape", in)
		case keyTensorParameters:
			readParameter(r, "outputs.parameters", &d.own)
		case keyTensorContents:
			seen = true
			readContents(&d.tc, r)
		default:
			r.Skip("outputs", key)
		}
	}
	if r.Failed() {
		return d.fault(d.model)
	}
	in.DType = tensor.ParseDType(d.dtype)
	o, err := fit.BindOutput(d.model, d.resp, in, d.dtype, d.classified)
	if err != nil {
		return err
	}
	for i := range d.own {
		if p := &d.own[i]; !p.unset && !OfTensor(p.Key) {
			o.Params = append(o.Params, KeepParam(d.resp, p))
		}
	}
	if d.request != nil {
		o.Region = outputRegion(d.request, o.Index)
	}
	if !seen {
		d.typed = append(d.typed, -1)
	} else if err := d.takeContents(o, from, to); err != nil {
		return err
	}
	r.Leave(outer)
	return nil
}

// takeContents writes the contents of the output that was read, from one offset of the message to another, to a
// slab of the tensor's size.
func (d *ResponseDecoder) takeContents(o *infer.Output, from, to int) *infer.Error {
	c := &d.tc
	d.typed = append(d.typed, c.N)
	if c.N == 0 {
		return nil
	}
	field := contentsOf(o.DType)
	switch {
	case c.Several:
		return d.bad(o, "came in several fields of contents")
	case c.Field != field:
		return d.bad(o, "came as "+contentsFields[c.Field].Name+", which data type "+o.DType.String()+" does not take")
	}
	if err := d.count(o, int64(c.N)); err != nil {
		return err
	}
	size := c.Size
	if o.DType != tensor.Bytes {
		size = c.N * o.DType.Size()
	}
	v := d.pool.Get(size).View(0, size)
	o.Data.AppendOwned(v)
	rewrite(c, &d.r, o.DType, v.B, from, to)
	if c.Bad {
		return d.bad(o, "has an element out of the range of data type "+o.DType.String())
	}
	return nil
}

// slice takes the raw tensors, of which there is one for each output, in their order, or none.
func (d *ResponseDecoder) slice() *infer.Error {
	outputs := d.resp.Outputs
	if n := len(d.raws); n > 0 && n != len(outputs) {
		return fit.Nonsense(d.model, "has "+strconv.Itoa(len(outputs))+" outputs and "+strconv.Itoa(n)+" raw_output_contents")
	}
	for i := range outputs {
		o := &outputs[i]
		switch {
		case o.Region != nil:
			if d.typed[i] > 0 || len(d.raws) > 0 && d.raws[i].n > 0 {
				return d.bad(o, "came both in shared memory and in the answer")
			}
		case len(d.raws) > 0 && d.typed[i] > 0:
			return d.bad(o, "came both as contents and as raw_output_contents")
		case len(d.raws) > 0:
			if err := d.sliceOne(o, d.raws[i]); err != nil {
				return err
			}
		case d.typed[i] <= 0:
			if err := d.count(o, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// sliceOne takes one raw tensor and checks its bytes.
func (d *ResponseDecoder) sliceOne(o *infer.Output, raw run) *infer.Error {
	o.Data.AppendRange(&d.resp.Body, raw.off, raw.n)
	return fit.CheckOutput(d.model, o)
}

// count checks the number of elements.
func (d *ResponseDecoder) count(o *infer.Output, n int64) *infer.Error {
	return fit.CheckCount(d.model, o, n)
}

func (d *ResponseDecoder) bad(o *infer.Output, what string) *infer.Error {
	return fit.BadBackend(d.model, o.Index, what)
}
