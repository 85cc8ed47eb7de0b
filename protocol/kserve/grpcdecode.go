package kserve

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
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
	r    message.Reader
	binder
	tc message.Lists

	// Of the request being read.
	name     []byte
	version  []byte
	id       []byte
	dtype    []byte // of the input being read
	params   []Param
	own      []Param // of the input or output being read
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
	keyModelName    = 1<<3 | message.Bytes
	keyModelVersion = 2<<3 | message.Bytes
	keyID           = 3<<3 | message.Bytes
	keyParameters   = 4<<3 | message.Bytes
	keyInputs       = 5<<3 | message.Bytes
	keyOutputs      = 6<<3 | message.Bytes
	keyRaw          = 7<<3 | message.Bytes
)

const inRequest = "ModelInferRequest"

// PeekModel reads what it takes to look up the model, without the tensors.
func (d *MessageDecoder) PeekModel(message *slab.List) (p Peek, err *infer.Error) {
	r := &d.r
	r.Reset(message)
	for key, ok := r.Key(inRequest); ok; key, ok = r.Key(inRequest) {
		switch key {
		case keyModelName:
			p.Name = r.String("model_name")
		case keyModelVersion:
			p.Version = r.String("model_version")
		case keyID:
			p.ID = r.String("id")
		default:
			p.Raw = p.Raw || key == keyRaw
			r.Skip(inRequest, key)
		}
	}
	d.malformed = r.Failed()
	if d.malformed {
		return Peek{}, r.Fault()
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
	d.Start(&src, req, head)
	d.grpc = true
	err := d.decode(&src)
	d.malformed = d.r.Failed()
	d.binder, d.name, d.version, d.id, d.dtype = Binder{}, nil, nil, nil, nil
	clear(d.params)
	clear(d.own)
	d.params, d.own, d.raws, d.contents = d.params[:0], d.own[:0], d.raws[:0], d.contents[:0]
	d.r.Reset(nil)
	return err
}

func (d *MessageDecoder) decode(src *Source) *infer.Error {
	m := d.Model
	if m.Decoupled && !src.Stream {
		return infer.Errorf(infer.Unsupported, "model %s may send any number of answers to a request, which ModelInfer does not support: use ModelStreamInfer", text.Quote(m.Name))
	}
	r := &d.r
	r.Reset(src.Body)
	for key, ok := r.Key(inRequest); ok; key, ok = r.Key(inRequest) {
		if err := d.field(key); err != nil {
			return err
		}
	}
	if r.Failed() {
		return r.Fault()
	}
	if err := d.SetID(d.id); err != nil {
		return err
	}
	for i := range d.params {
		if err := d.RequestParameter(&d.params[i]); err != nil {
			return err
		}
	}
	if err := d.slice(src.Body); err != nil {
		return err
	}
	if src.Body == &d.Req.Body {
		d.Req.Encoding = infer.KServeGRPC
		d.Req.BodyName, d.Req.BodyVersion = d.Req.Keep(d.name), d.Req.Keep(d.version)
	}
	return d.Signed()
}

// field reads a field of the request.
func (d *MessageDecoder) field(key uint64) *infer.Error {
	r := &d.r
	switch key {
	case keyModelName:
		d.name = r.String("model_name")
	case keyModelVersion:
		d.version = r.String("model_version")
	case keyID:
		d.id = r.String("id")
	case keyParameters:
		readParameter(r, "parameters", &d.params)
	case keyInputs:
		return d.input()
	case keyOutputs:
		return d.output()
	case keyRaw:
		n, ok := r.Length("raw_input_contents")
		if !ok {
			return nil
		}
		if len(d.raws) == len(d.Model.Inputs) {
			return infer.Errorf(infer.Invalid, "unexpected additional input data: more raw_input_contents than the %d inputs of model %s", len(d.Model.Inputs), text.Quote(d.Model.Name))
		}
		d.raws = append(d.raws, run{r.Pos(), n})
		r.Pass("raw_input_contents", n)
	default:
		r.Skip(inRequest, key)
	}
	return nil
}

// The fields of InferInputTensor.
const (
	keyInputName       = 1<<3 | message.Bytes
	keyInputType       = 2<<3 | message.Bytes
	keyInputShape      = 3<<3 | message.Bytes // packed
	keyInputDim        = 3<<3 | message.Varint
	keyInputParameters = 4<<3 | message.Bytes
	keyInputContents   = 5<<3 | message.Bytes
)

// input reads one input and, if it has contents, takes them.
func (d *MessageDecoder) input() *infer.Error {
	r, in := &d.r, &d.In
	*in, d.dtype, d.tc = fit.Field{}, nil, newContents(inContents)
	d.own = d.own[:0]
	seen := false
	outer := r.Enter("inputs")
	from, to := r.Pos(), r.End
	for key, ok := r.Key("inputs"); ok; key, ok = r.Key("inputs") {
		switch key {
		case keyInputName:
			in.Name = r.String("inputs.name")
			in.HasName = len(in.Name) > 0
		case keyInputType:
			d.dtype = r.String("inputs.datatype")
		case keyInputShape:
			readDims(r, "inputs.shape", in)
		case keyInputDim:
			readDim(r, "inputs.shape", in)
		case keyInputParameters:
			readParameter(r, "inputs.parameters", &d.own)
		case keyInputContents:
			seen = true
			readContents(&d.tc, r)
		default:
			r.Skip("inputs", key)
		}
	}
	if r.Failed() {
		return r.Fault()
	}
	err := d.finishInput(seen, from, to)
	for i := range d.own {
		if p := &d.own[i]; err == nil && !p.unset && !OfTensor(p.Key) {
			in := d.LastInput()
			in.Params = append(in.Params, d.InputParameter(p))
		}
	}
	r.Leave(outer)
	return err
}

// readDims reads packed dimensions of a tensor's shape.
func readDims(r *message.Reader, field string, to *fit.Field) {
	outer := r.Enter(field)
	for !r.Failed() && r.Some() {
		readDim(r, field, to)
	}
	r.Leave(outer)
}

func readDim(r *message.Reader, field string, to *fit.Field) {
	if v, ok := r.Varint(field); ok {
		to.AddDim(int64(v))
	}
}

// finishInput checks the input that was read, from one offset of the message to another.
func (d *MessageDecoder) finishInput(contents bool, from, to int) *infer.Error {
	switch {
	case !d.In.HasName:
		return d.Lacks("name")
	case len(d.dtype) == 0:
		return d.Lacks("datatype")
	}
	if err := d.SetType(d.dtype); err != nil {
		return err
	}
	if d.In.Bad != "" {
		return d.BadShape(d.In.Bad)
	}
	for i := range d.own {
		if err := d.RegionParameter(&d.own[i]); err != nil {
			return err
		}
	}
	if d.region.seen {
		return d.inputInRegion(contents)
	}
	t, want, err := d.Bind()
	if err != nil {
		return err
	}
	d.contents = append(d.contents, contents)
	if !contents {
		return nil
	}
	return d.takeContents(t, want, from, to)
}

// inputInRegion takes the input that was read, whose data is elsewhere.
func (d *MessageDecoder) inputInRegion(contents bool) *infer.Error {
	name := text.Quote(d.In.Name)
	r, err := d.TakeRegion("input " + name)
	switch {
	case err != nil:
		return err
	case contents:
		return infer.Errorf(infer.Invalid, "input %s of model %s lies in shared memory: it must not have contents as well", name, text.Quote(d.Model.Name))
	}
	d.contents = append(d.contents, false)
	return d.BindRegion(r)
}

// The fields of InferRequestedOutputTensor.
const (
	keyOutputName       = 1<<3 | message.Bytes
	keyOutputParameters = 2<<3 | message.Bytes
)

func (d *MessageDecoder) output() *infer.Error {
	r := &d.r
	d.own = d.own[:0]
	var name []byte
	outer := r.Enter("outputs")
	for key, ok := r.Key("outputs"); ok; key, ok = r.Key("outputs") {
		switch key {
		case keyOutputName:
			name = r.String("outputs.name")
		case keyOutputParameters:
			readParameter(r, "outputs.parameters", &d.own)
		default:
			r.Skip("outputs", key)
		}
	}
	r.Leave(outer)
	if r.Failed() {
		return r.Fault()
	}
	if len(name) == 0 {
		return d.Nameless(len(d.Head.Outputs))
	}
	index, err := d.OutputIndex(name)
	if err != nil {
		return err
	}
	d.Head.Outputs = append(d.Head.Outputs, OutputForm{})
	for i := range d.own {
		p := &d.own[i]
		if string(p.Key) == "classification" && p.Kind == infer.ParamInt && p.Int == 0 {
			// Over REST 0 asks for none. Triton takes it there only, so that no backend may see it here.
			return wrongParam(p, "must be a whole number of classes, above 0")
		}
		if err := d.OutputParameter(p); err != nil {
			return err
		}
	}
	return d.Want(index)
}

// slice takes the raw tensors, of which there is one for each input that lies in no region, in their order, or none.
func (d *MessageDecoder) slice(body *slab.List) *infer.Error {
	next := 0
	for i := range d.Req.Inputs {
		t := &d.Req.Inputs[i]
		switch {
		case t.Region != nil:
			continue
		case d.contents[i] && len(d.raws) == 0:
			continue
		case d.contents[i]:
			return infer.Errorf(infer.Invalid, "contents field must not be specified when using raw_input_contents for input %s of model %s", d.NameOf(t), text.Quote(d.Model.Name))
		case next >= len(d.raws):
			return infer.Errorf(infer.Invalid, "unable to find data for input tensor %s for model %s in the request", d.NameOf(t), text.Quote(d.Model.Name))
		}
		raw := d.raws[next]
		next++
		if err := d.CheckSize(t, int64(raw.n)); err != nil {
			return err
		}
		t.Data.AppendRange(body, raw.off, raw.n)
		d.Req.Bytes += int64(raw.n)
		n, _ := tensor.Elements(t.Shape) // bind has looked at it
		if err := d.CheckData(t, n); err != nil {
			return err
		}
	}
	if n := len(d.raws) - next; n > 0 && len(d.raws) > 0 {
		return infer.Errorf(infer.Invalid, "unexpected additional input data: %d raw_input_contents more than the request for model %s has inputs", n, text.Quote(d.Model.Name))
	}
	return nil
}
