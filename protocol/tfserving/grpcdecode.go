package tfserving

import (
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// Source is a request as it came.
type Source struct {
	// Model is what the request must fit.
	Model *infer.Model
	// Body is the whole request. Decode reads it and leaves its references alone.
	Body *slab.List
	// MaxBytes bounds the bytes of all tensors that are not sliced from the body, in which they can take
	// less. 0: no bound.
	MaxBytes int64
}

// A MessageDecoder reads requests that came over gRPC as tensorflow.serving.PredictRequest. It keeps scratch memory
// between them and belongs to one goroutine at a time.
//
// It accepts what proto.Unmarshal accepts: fields in any order, the last of a scalar, fields that it does not know.
// What it then refuses does not fit the model.
type MessageDecoder struct {
	filler
	caller

	// Of the request being read.
	spec    spec
	inputs  entries
	filters [][]byte
	version [20]byte // as text, of a peek

	malformed bool
}

// NewMessageDecoder returns a decoder that takes the memory for tensors that are not sliced from pool.
func NewMessageDecoder(pool *slab.Pool) *MessageDecoder {
	return &MessageDecoder{filler: filler{pool: pool}}
}

// Peek is what a request says of the model before it is decoded. What it holds points into the message or into the
// decoder: it is good until the message is released or the decoder used again.
type Peek struct {
	// Name is the model's. Version is a number as text, Label a version's label; at most one is not empty.
	Name, Version, Label []byte
	// Signature is the signature's name, empty where the request names none.
	Signature []byte
	// Raw tells that all tensors are tensor_content or floats, so that they are sliced from the message. If not,
	// decoding takes time with its size.
	Raw bool
}

// The fields of PredictRequest.
const (
	keyModelSpec    = 1<<3 | message.Bytes
	keyInputs       = 2<<3 | message.Bytes
	keyOutputFilter = 3<<3 | message.Bytes
)

const (
	inRequest = "PredictRequest"
	inInputs  = "inputs"
)

// PeekModel reads what it takes to look up the model, without the tensors.
func (d *MessageDecoder) PeekModel(body *slab.List) (Peek, *infer.Error) {
	r := &d.r
	r.Reset(body)
	s, p := spec{}, Peek{Raw: true}
	for key, ok := r.Key(inRequest); ok; key, ok = r.Key(inRequest) {
		switch key {
		case keyModelSpec:
			s.read(r)
		case keyInputs:
			p.Raw = d.raw() && p.Raw
		default:
			r.Skip(inRequest, key)
		}
	}
	if d.malformed = r.Failed(); d.malformed {
		return Peek{}, r.Fault()
	}
	p.Name, p.Label, p.Signature = s.name, s.label, s.signature
	if s.hasVersion {
		p.Version = strconv.AppendInt(d.version[:0], s.version, 10)
	}
	return p, nil
}

// raw passes over an input and tells whether its data is such as can be sliced.
func (d *MessageDecoder) raw() bool {
	r, raw := &d.r, true
	outer := r.Enter(inInputs)
	for key, ok := r.Key(inInputs); ok; key, ok = r.Key(inInputs) {
		if key != keyEntryTensor {
			r.Skip(inInputs, key)
			continue
		}
		entry := r.Enter(inTensor)
		for key, ok := r.Key(inTensor); ok; key, ok = r.Key(inTensor) {
			switch field := key >> 3; {
			case field == floatList || field == doubleList:
				raw = raw && key&7 == message.Bytes
			case field < uint64(len(listFields)) && listFields[field].Name != "":
				raw = false
			}
			r.Skip(inTensor, key)
		}
		r.Leave(entry)
	}
	r.Leave(outer)
	return raw
}

// Malformed tells whether what was read last is no encoded message at all. If not, its error was one of content.
func (d *MessageDecoder) Malformed() bool { return d.malformed }

// Decode reads a request into req, which must be new. Data that lies in the message as it does in a tensor becomes
// views into the message's slabs; nothing of req points into the message otherwise. A message that is the request's
// own Body can be passed on: the request says so in its Encoding. After an error, req is in order and to be released
// as usual.
func (d *MessageDecoder) Decode(src Source, req *infer.Request) *infer.Error {
	d.caller = caller{}
	d.Begin(src.Model, req, src.MaxBytes)
	err := d.decode(&src)
	d.malformed = d.r.Failed()
	d.caller, d.spec, d.t.in.Name = caller{}, spec{}, nil
	clear(d.inputs)
	clear(d.filters)
	d.inputs, d.filters = d.inputs[:0], d.filters[:0]
	d.r.Reset(nil)
	return err
}

func (d *MessageDecoder) decode(src *Source) *infer.Error {
	if d.Model.Decoupled {
		return infer.Errorf(infer.Unsupported, "model %s may send any number of answers to a request, which Predict does not support", text.Quote(d.Model.Name))
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
	if err := d.choose(d.spec.signature); err != nil {
		return err
	}
	for i := range d.inputs {
		if err := d.input(&d.inputs[i], src.Body); err != nil {
			return err
		}
	}
	for _, name := range d.filters {
		if err := d.want(name); err != nil {
			return err
		}
	}
	if src.Body == &d.Req.Body {
		d.Req.Encoding = infer.TFServingGRPC
	}
	return d.whole()
}

// field reads a field of the request.
func (d *MessageDecoder) field(key uint64) *infer.Error {
	r := &d.r
	switch key {
	case keyModelSpec:
		d.spec.read(r)
	case keyInputs:
		d.inputs.read(r, &d.t, inInputs)
		if len(d.inputs) > len(d.Model.Inputs) && !r.Failed() {
			return infer.Errorf(infer.Invalid, "the request has more inputs than the %d of model %s", len(d.Model.Inputs), text.Quote(d.Model.Name))
		}
	case keyOutputFilter:
		d.filters = append(d.filters, r.String("output_filter"))
		if len(d.filters) > len(d.Model.Outputs) && !r.Failed() {
			return infer.Errorf(infer.Invalid, "the request asks for more outputs than the %d of model %s", len(d.Model.Outputs), text.Quote(d.Model.Name))
		}
	default:
		r.Skip(inRequest, key)
	}
	return nil
}

// input reads one input and takes its data.
func (d *MessageDecoder) input(e *entry, body *slab.List) *infer.Error {
	p := &d.t
	p.read(&d.r, e, inInputs)
	if d.r.Failed() {
		return d.r.Fault()
	}
	d.In = p.in
	if d.In.DType = DType(p.dtype); d.In.DType == tensor.Invalid {
		return infer.Errorf(infer.Invalid, "input %s of model %s has the data type %s, which is not supported", text.Quote(d.In.Name), text.Quote(d.Model.Name), typeName(p.dtype))
	}
	if d.In.Bad != "" {
		return d.BadShape(d.In.Bad)
	}
	if err := d.expected(); err != nil {
		return err
	}
	t, want, err := d.Bind()
	if err != nil {
		return err
	}
	if what := p.check(t.DType, want); what != "" {
		return d.BadInput(t, what)
	}
	if err := d.data(t, e, body, want); err != nil {
		return err
	}
	d.Req.Bytes += int64(t.Data.Size())
	return nil
}

// data gives an input its data.
func (d *MessageDecoder) data(t *infer.Input, e *entry, body *slab.List, want int64) *infer.Error {
	p := &d.t
	if p.content.n > 0 {
		if t.DType != tensor.Bytes {
			if err := d.CheckSize(t, int64(p.content.n)); err != nil {
				return err
			}
		} else if err := d.Charge(int64(p.content.n) + 4*want); err != nil {
			return err
		}
		if what := d.content(body, &t.Tensor, want); what != "" {
			return d.BadInput(t, what)
		}
		if t.DType == tensor.Bool {
			return d.CheckData(t, want)
		}
		return nil
	}
	if int64(p.lists.N) > want {
		return d.BadCount(strconv.Itoa(p.lists.N), want)
	}
	if at, ok := p.sliced(t.DType, want); ok {
		t.Data.AppendRange(body, at.off, at.n)
		return nil
	}
	size, ok := p.size(t.DType, want)
	if !ok {
		return d.BadInput(t, "takes more bytes than there can be")
	}
	if err := d.Charge(size); err != nil || size == 0 {
		return err
	}
	p.fill(&d.r, e, inInputs, t.DType, d.room(&t.Tensor, size))
	if p.lists.Bad {
		return d.BadElement(text.ValueRange, p.lists.BadAt)
	}
	return nil
}
