package kserve

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// A MessageDecoder reads requests that came over gRPC as inference.ModelInferRequest. It keeps scratch
// memory between them and belongs to one goroutine at a time.
//
// It accepts what proto.Unmarshal accepts: fields in any order, the last of a scalar, fields that it does not
// know. What it then refuses, it refuses as the REST decoder does.
type MessageDecoder struct {
	pool *slab.Pool
	r    messageReader
	binder
	tc typedContents

	// Of the request being read.
	name     []byte
	version  []byte
	id       []byte
	dtype    []byte // of the input being read
	params   []param
	own      []param // of the input or output being read
	raws     []run
	contents []bool // of each input: whether it has contents

	malformed bool
}

// A run is a run of bytes of the message.
type run struct{ off, n int }

// NewMessageDecoder returns a decoder that takes the memory for tensors that come as contents from pool.
func NewMessageDecoder(pool *slab.Pool) *MessageDecoder { return &MessageDecoder{pool: pool} }

// Peek is what a request says before it is decoded.
type Peek struct {
	// Name, Version and ID point into the message or into the decoder: they are good until the message is
	// released or the decoder used again.
	Name, Version, ID []byte
	// Raw tells that the tensors are sliced from the message. If not, decoding takes time with its size.
	Raw bool
}

// The fields of ModelInferRequest.
const (
	keyModelName    = 1<<3 | wireBytes
	keyModelVersion = 2<<3 | wireBytes
	keyID           = 3<<3 | wireBytes
	keyParameters   = 4<<3 | wireBytes
	keyInputs       = 5<<3 | wireBytes
	keyOutputs      = 6<<3 | wireBytes
	keyRaw          = 7<<3 | wireBytes
)

const inRequest = "ModelInferRequest"

// PeekModel reads what it takes to look up the model, without the tensors.
func (d *MessageDecoder) PeekModel(message *slab.List) (p Peek, err *infer.Error) {
	r := &d.r
	r.reset(message)
	for key, ok := r.key(inRequest); ok; key, ok = r.key(inRequest) {
		switch key {
		case keyModelName:
			p.Name = r.string("model_name")
		case keyModelVersion:
			p.Version = r.string("model_version")
		case keyID:
			p.ID = r.string("id")
		default:
			p.Raw = p.Raw || key == keyRaw
			r.skip(inRequest, key)
		}
	}
	d.malformed = r.failed()
	if d.malformed {
		return Peek{}, r.fault()
	}
	return p, nil
}

// Malformed tells whether what was read last is no encoded message at all. If not, its error was one of content.
func (d *MessageDecoder) Malformed() bool { return d.malformed }

// Decode reads a request into req, which must be new, and head. Raw tensors become views into the message's
// slabs; nothing of req or head points into the message otherwise. A message that is the request's own Body
// can be passed on: the request says so in its Encoding. After an error, req is in order and to be released as
// usual.
func (d *MessageDecoder) Decode(src Source, req *infer.Request, head *Head) *infer.Error {
	d.begin(&src, req, head)
	d.grpc = true
	err := d.decode(&src)
	d.malformed = d.r.failed()
	d.binder, d.name, d.version, d.id, d.dtype = binder{}, nil, nil, nil, nil
	clear(d.params)
	clear(d.own)
	d.params, d.own, d.raws, d.contents = d.params[:0], d.own[:0], d.raws[:0], d.contents[:0]
	d.r.reset(nil)
	return err
}

func (d *MessageDecoder) decode(src *Source) *infer.Error {
	m := d.model
	if m.Decoupled && !src.Stream {
		return infer.Errorf(infer.Unsupported, "model %s may send any number of answers to a request, which ModelInfer does not support: use ModelStreamInfer", quote(m.Name))
	}
	r := &d.r
	r.reset(src.Body)
	for key, ok := r.key(inRequest); ok; key, ok = r.key(inRequest) {
		if err := d.field(key); err != nil {
			return err
		}
	}
	if r.failed() {
		return r.fault()
	}
	if err := d.setID(d.id); err != nil {
		return err
	}
	for i := range d.params {
		if err := d.requestParameter(&d.params[i]); err != nil {
			return err
		}
	}
	if err := d.slice(src.Body); err != nil {
		return err
	}
	if src.Body == &d.req.Body {
		d.req.Encoding = infer.KServeGRPC
		d.req.BodyName, d.req.BodyVersion = d.req.Keep(d.name), d.req.Keep(d.version)
	}
	return d.complete()
}

// field reads a field of the request.
func (d *MessageDecoder) field(key uint64) *infer.Error {
	r := &d.r
	switch key {
	case keyModelName:
		d.name = r.string("model_name")
	case keyModelVersion:
		d.version = r.string("model_version")
	case keyID:
		d.id = r.string("id")
	case keyParameters:
		r.parameter("parameters", &d.params)
	case keyInputs:
		return d.input()
	case keyOutputs:
		return d.output()
	case keyRaw:
		n, ok := r.length("raw_input_contents")
		if !ok {
			return nil
		}
		if len(d.raws) == len(d.model.Inputs) {
			return infer.Errorf(infer.Invalid, "unexpected additional input data: more raw_input_contents than the %d inputs of model %s", len(d.model.Inputs), quote(d.model.Name))
		}
		d.raws = append(d.raws, run{r.pos(), n})
		r.pass("raw_input_contents", n)
	default:
		r.skip(inRequest, key)
	}
	return nil
}

// The fields of InferInputTensor.
const (
	keyInputName       = 1<<3 | wireBytes
	keyInputType       = 2<<3 | wireBytes
	keyInputShape      = 3<<3 | wireBytes // packed
	keyInputDim        = 3<<3 | wireVarint
	keyInputParameters = 4<<3 | wireBytes
	keyInputContents   = 5<<3 | wireBytes
)

// input reads one input and, if it has contents, takes them.
func (d *MessageDecoder) input() *infer.Error {
	r, in := &d.r, &d.in
	*in, d.dtype, d.tc = tensorField{}, nil, typedContents{in: inContents}
	d.own = d.own[:0]
	seen := false
	outer := r.enter("inputs")
	from, to := r.pos(), r.end
	for key, ok := r.key("inputs"); ok; key, ok = r.key("inputs") {
		switch key {
		case keyInputName:
			in.name = r.string("inputs.name")
			in.hasName = len(in.name) > 0
		case keyInputType:
			d.dtype = r.string("inputs.datatype")
		case keyInputShape:
			r.dims("inputs.shape", in)
		case keyInputDim:
			r.dim("inputs.shape", in)
		case keyInputParameters:
			r.parameter("inputs.parameters", &d.own)
		case keyInputContents:
			seen = true
			d.tc.read(r)
		default:
			r.skip("inputs", key)
		}
	}
	if r.failed() {
		return r.fault()
	}
	err := d.finishInput(seen, from, to)
	r.leave(outer)
	return err
}

// dims reads packed dimensions of a tensor's shape.
func (r *messageReader) dims(field string, to *tensorField) {
	outer := r.enter(field)
	for !r.failed() && r.some() {
		r.dim(field, to)
	}
	r.leave(outer)
}

func (r *messageReader) dim(field string, to *tensorField) {
	v, ok := r.varint(field)
	switch {
	case !ok:
	case int64(v) < 0:
		to.bad = "has a negative dimension"
	case to.rank == tensor.MaxRank:
		to.bad = "has more than 32 dimensions"
	default:
		to.dims[to.rank] = int64(v)
		to.rank++
	}
}

// finishInput checks the input that was read, from one offset of the message to another.
func (d *MessageDecoder) finishInput(contents bool, from, to int) *infer.Error {
	switch {
	case !d.in.hasName:
		return d.lacks("name")
	case len(d.dtype) == 0:
		return d.lacks("datatype")
	}
	if err := d.setType(d.dtype); err != nil {
		return err
	}
	if d.in.bad != "" {
		return d.badShape(d.in.bad)
	}
	for i := range d.own {
		if err := sharedMemory(d.own[i].Key); err != nil {
			return err
		}
	}
	t, want, err := d.bind()
	if err != nil {
		return err
	}
	d.contents = append(d.contents, contents)
	if !contents {
		return nil
	}
	return d.takeContents(t, want, from, to)
}

// The fields of InferRequestedOutputTensor.
const (
	keyOutputName       = 1<<3 | wireBytes
	keyOutputParameters = 2<<3 | wireBytes
)

func (d *MessageDecoder) output() *infer.Error {
	r := &d.r
	d.own = d.own[:0]
	var name []byte
	outer := r.enter("outputs")
	for key, ok := r.key("outputs"); ok; key, ok = r.key("outputs") {
		switch key {
		case keyOutputName:
			name = r.string("outputs.name")
		case keyOutputParameters:
			r.parameter("outputs.parameters", &d.own)
		default:
			r.skip("outputs", key)
		}
	}
	r.leave(outer)
	if r.failed() {
		return r.fault()
	}
	if len(name) == 0 {
		return d.nameless(len(d.head.Outputs))
	}
	index, err := d.outputIndex(name)
	if err != nil {
		return err
	}
	d.head.Outputs = append(d.head.Outputs, OutputForm{})
	for i := range d.own {
		if err := d.outputParameter(&d.own[i]); err != nil {
			return err
		}
	}
	return d.want(index)
}

// slice takes the raw tensors, of which there is one for each input, in their order, or none.
func (d *MessageDecoder) slice(body *slab.List) *infer.Error {
	for i := range d.req.Inputs {
		t := &d.req.Inputs[i]
		switch {
		case d.contents[i] && len(d.raws) == 0:
			continue
		case d.contents[i]:
			return infer.Errorf(infer.Invalid, "contents field must not be specified when using raw_input_contents for input %s of model %s", d.nameOf(t), quote(d.model.Name))
		case i >= len(d.raws):
			return infer.Errorf(infer.Invalid, "unable to find data for input tensor %s for model %s in the request", d.nameOf(t), quote(d.model.Name))
		}
		raw := d.raws[i]
		if err := d.checkSize(t, int64(raw.n)); err != nil {
			return err
		}
		t.Data.AppendRange(body, raw.off, raw.n)
		d.req.Bytes += int64(raw.n)
		n, _ := tensor.Elements(t.Shape) // bind has looked at it
		if err := d.checkData(t, n); err != nil {
			return err
		}
	}
	if n := len(d.raws) - len(d.req.Inputs); n > 0 {
		return infer.Errorf(infer.Invalid, "unexpected additional input data: %d raw_input_contents more than the request for model %s has inputs", n, quote(d.model.Name))
	}
	return nil
}
