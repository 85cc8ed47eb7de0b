package kserve

import (
	"slices"
	"strconv"

	"github.com/sluice-serving/sluice/infer"
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
	r    messageReader
	tc   typedContents

	// Of the answer being read.
	model             *infer.Model
	resp              *infer.Response
	classified        []int // outputs that the backend may have classified
	in                tensorField
	dtype             []byte
	name, version, id []byte
	params, own       []param
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
	err := d.decode(model, r)
	for i := 0; i < len(b.Members) && err == nil; i++ {
		err = answers(model, b.Members[i].Call.Request, r)
	}
	return err
}

// answers checks that r has what a request asked for.
func answers(m *infer.Model, req *infer.Request, r *infer.Response) *infer.Error {
	for _, index := range req.Outputs {
		if outputAt(r, index) == nil {
			return badBackend(m, index, missing)
		}
	}
	return nil
}

const inResponse = "ModelInferResponse"

func nonsense(m *infer.Model, what string) *infer.Error {
	err := infer.Errorf(infer.BadBackend, "the backend's answer for model %s %s", quote(m.Name), what)
	err.Origin = infer.FromBackend
	return err
}

// fault words what was wrong with the message.
func (d *ResponseDecoder) fault(m *infer.Model) *infer.Error {
	return nonsense(m, "cannot be parsed: "+d.r.field+": "+d.r.what+" at byte "+strconv.Itoa(d.r.at))
}

// decode reads r.Body, a ModelInferResponse, and forgets it.
func (d *ResponseDecoder) decode(model *infer.Model, r *infer.Response) *infer.Error {
	d.model, d.resp = model, r
	err := d.message()
	d.model, d.resp, d.classified = nil, nil, nil
	d.in, d.dtype, d.name, d.version, d.id = tensorField{}, nil, nil, nil, nil
	clear(d.params)
	clear(d.own)
	d.params, d.own, d.raws, d.typed = d.params[:0], d.own[:0], d.raws[:0], d.typed[:0]
	d.r.reset(nil)
	return err
}

func (d *ResponseDecoder) message() *infer.Error {
	r, resp := &d.r, d.resp
	r.reset(&resp.Body)
	for key, ok := r.key(inResponse); ok; key, ok = r.key(inResponse) {
		if err := d.field(key); err != nil {
			return err
		}
	}
	if r.failed() {
		return d.fault(d.model)
	}
	if err := d.slice(); err != nil {
		return err
	}
	resp.Encoding = infer.KServeGRPC
	resp.BodyName, resp.BodyVersion, resp.BodyID = resp.Keep(d.name), resp.Keep(d.version), resp.Keep(d.id)
	for i := range d.params {
		p := &d.params[i]
		if p.unset {
			continue
		}
		if p.big {
			p.Kind = infer.ParamUint
		}
		p.Key, p.String = resp.Keep(p.Key), resp.Keep(p.String)
		resp.Params = append(resp.Params, p.Param)
	}
	resp.Final = FinalOf(resp) == FinalYes
	return nil
}

// field reads a field of the answer.
func (d *ResponseDecoder) field(key uint64) *infer.Error {
	r := &d.r
	switch key {
	case keyResponseModel:
		d.name = r.string("model_name")
	case keyResponseVersion:
		d.version = r.string("model_version")
	case keyResponseID:
		d.id = r.string("id")
	case keyResponseParameters:
		r.parameter("parameters", &d.params)
	case keyResponseOutputs:
		return d.output()
	case keyResponseRaw:
		n, ok := r.length("raw_output_contents")
		if !ok {
			return nil
		}
		if len(d.raws) == len(d.model.Outputs) {
			return nonsense(d.model, "has more raw_output_contents than the model has outputs, "+strconv.Itoa(len(d.raws)))
		}
		d.raws = append(d.raws, run{r.pos(), n})
		r.pass("raw_output_contents", n)
	default:
		r.skip(inResponse, key)
	}
	return nil
}

const inOutputContents = "outputs.contents"

// output reads one output and, if it has contents, takes them.
func (d *ResponseDecoder) output() *infer.Error {
	r, in := &d.r, &d.in
	*in, d.dtype, d.tc = tensorField{}, nil, typedContents{in: inOutputContents}
	d.own = d.own[:0]
	seen := false
	outer := r.enter("outputs")
	from, to := r.pos(), r.end
	for key, ok := r.key("outputs"); ok; key, ok = r.key("outputs") {
		switch key {
		case keyTensorName:
			in.name = r.string("outputs.name")
		case keyTensorType:
			d.dtype = r.string("outputs.datatype")
		case keyTensorShape:
			r.dims("outputs.shape", in)
		case keyTensorDim:
			r.dim("outputs.shape", in)
		case keyTensorParameters:
			r.parameter("outputs.parameters", &d.own)
		case keyTensorContents:
			seen = true
			d.tc.read(r)
		default:
			r.skip("outputs", key)
		}
	}
	if r.failed() {
		return d.fault(d.model)
	}
	o, err := d.bind()
	if err != nil {
		return err
	}
	if !seen {
		d.typed = append(d.typed, -1)
	} else if err := d.takeContents(o, from, to); err != nil {
		return err
	}
	r.leave(outer)
	return nil
}

// bind finds the model's output and checks what was said of it, and adds it to the response.
func (d *ResponseDecoder) bind() (*infer.Output, *infer.Error) {
	in, m := &d.in, d.model
	index := m.Output(in.name)
	if index < 0 {
		return nil, nonsense(m, "has the unexpected output "+quote(in.name)+", its outputs are "+specNames(m.Outputs))
	}
	if outputAt(d.resp, index) != nil {
		return nil, badBackend(m, index, "is in the backend's answer twice")
	}
	spec := &m.Outputs[index]
	dtype := tensor.ParseDType(d.dtype)
	classified := dtype == tensor.Bytes && spec.DType != tensor.Bytes && slices.Contains(d.classified, index)
	if dtype != spec.DType && !classified {
		return nil, badBackend(m, index, "came as data type "+quote(d.dtype)+", the model says "+spec.DType.String())
	}
	if in.bad != "" {
		return nil, badBackend(m, index, "came with a shape that "+in.bad)
	}
	shape := in.dims[:in.rank]
	if !classified && !fits(shape, spec.Dims, m.MaxBatch > 0) {
		return nil, badBackend(m, index, "came with shape "+tensor.ShapeString(shape)+", the model says "+tensor.ShapeString(spec.Dims))
	}
	if _, err := tensor.ByteSize(dtype, shape); err != nil {
		return nil, badBackend(m, index, "came with a shape of more elements than fit 63 bits")
	}
	o := d.resp.AddOutput()
	o.Index, o.DType = index, dtype
	o.Shape = d.resp.Dims(len(shape))
	copy(o.Shape, shape)
	return o, nil
}

// takeContents writes the contents of the output that was read, from one offset of the message to another, to a
// slab of the tensor's size.
func (d *ResponseDecoder) takeContents(o *infer.Output, from, to int) *infer.Error {
	c := &d.tc
	d.typed = append(d.typed, c.n)
	if c.n == 0 {
		return nil
	}
	field := contentsOf(o.DType)
	switch {
	case c.several:
		return d.bad(o, "came in several fields of contents")
	case c.field != field:
		return d.bad(o, "came as "+contentsFields[c.field].name+", which data type "+o.DType.String()+" does not take")
	}
	if err := d.count(o, int64(c.n)); err != nil {
		return err
	}
	size := c.size
	if o.DType != tensor.Bytes {
		size = c.n * o.DType.Size()
	}
	v := d.pool.Get(size).View(0, size)
	o.Data.AppendOwned(v)
	c.rewrite(&d.r, o.DType, v.B, from, to)
	if c.bad != valueOK {
		return d.bad(o, "has an element out of the range of data type "+o.DType.String())
	}
	return nil
}

// slice takes the raw tensors, of which there is one for each output, in their order, or none.
func (d *ResponseDecoder) slice() *infer.Error {
	outputs := d.resp.Outputs
	if n := len(d.raws); n > 0 && n != len(outputs) {
		return nonsense(d.model, "has "+strconv.Itoa(len(outputs))+" outputs and "+strconv.Itoa(n)+" raw_output_contents")
	}
	for i := range outputs {
		o := &outputs[i]
		switch {
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
	if o.DType == tensor.Bytes {
		n, err := tensor.CountBytes(&o.Data)
		if err != nil {
			return d.bad(o, "came with strings whose lengths do not agree with its data")
		}
		return d.count(o, n)
	}
	if size, _ := tensor.ByteSize(o.DType, o.Shape); int64(raw.n) != size { // bind has looked at it
		return d.bad(o, "came with shape "+tensor.ShapeString(o.Shape)+" of data type "+o.DType.String()+
			", which takes "+strconv.FormatInt(size, 10)+" bytes, and "+strconv.Itoa(raw.n)+" bytes")
	}
	return nil
}

// count checks the number of elements.
func (d *ResponseDecoder) count(o *infer.Output, n int64) *infer.Error {
	if want, _ := tensor.Elements(o.Shape); n != want { // bind has looked at it
		return d.bad(o, "came with shape "+tensor.ShapeString(o.Shape)+" and "+strconv.FormatInt(n, 10)+" elements")
	}
	return nil
}

func (d *ResponseDecoder) bad(o *infer.Output, what string) *infer.Error {
	return badBackend(d.model, o.Index, what)
}
