package rest

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
)

// NoHeader is the length to give for a request without Inference-Header-Content-Length: all of it is JSON.
const NoHeader = -1

// ParseHeaderLength reads the value of Inference-Header-Content-Length for a body of size bytes. An absent
// header (nil) is [NoHeader].
func ParseHeaderLength(value []byte, size int) (int, *infer.Error) {
	if value == nil {
		return NoHeader, nil
	}
	mag, neg, end, e := text.ScanInteger(value, 0)
	switch {
	case e != text.NumOK && e != text.NumRange || end != len(value):
		return 0, infer.Errorf(infer.Invalid, "Inference-Header-Content-Length is not a number")
	case neg:
		return 0, infer.Errorf(infer.Invalid, "Inference-Header-Content-Length is negative")
	case e == text.NumRange || mag > uint64(size):
		return 0, infer.Errorf(infer.Invalid, "Inference-Header-Content-Length is larger than the request's %d bytes", size)
	}
	return int(mag), nil
}

// binder keeps the field unexported in a Decoder.
type binder = kserve.Binder

// A Decoder reads requests that came over REST. It keeps scratch memory between them and belongs to one
// goroutine at a time.
type Decoder struct {
	pool *slab.Pool
	s    text.Scanner
	binder
	seen inputSeen
	own  []infer.Param // of the input being read, in the request's memory

	// Of the request being read.
	src    kserve.Source
	binary int // offset of the next binary tensor in the body
	// ours tells that the request is not passed on: floats of 16 bits, NaN or an infinity came as JSON, or null for
	// a member, which not every server takes, or a binary tensor of no bytes, with which a body may look as if it were JSON alone.
	ours bool
}

// NewDecoder returns a decoder that takes the memory for tensors that come as JSON from pool.
func NewDecoder(pool *slab.Pool) *Decoder { return &Decoder{pool: pool} }

// Decode reads a request into req, which must be new, and head. Binary tensors become views into the
// body's slabs; nothing of req or head points into the body otherwise. A body that is the request's own Body
// can be passed on: the request says so in its Encoding. After an error, req is in order and to be released as
// usual.
func (d *Decoder) Decode(src kserve.Source, req *infer.Request, head *kserve.Head) *infer.Error {
	d.src, d.ours = src, false
	d.Start(&src, req, head)
	err := d.decode()
	d.src, d.binder = kserve.Source{}, binder{}
	clear(d.own)
	d.own = d.own[:0]
	d.s.Reset(nil)
	return err
}

func (d *Decoder) decode() *infer.Error {
	if d.Model.Decoupled && !d.src.Stream {
		return infer.Errorf(infer.Unsupported, "model %s may send any number of answers to a request, which infer over HTTP does not support", text.Quote(d.Model.Name))
	}
	size := d.src.Body.Size()
	switch n := d.src.HeaderLen; {
	case n == NoHeader:
		d.binary = size
	case n == 0:
		return d.raw()
	case n < 0 || n > size:
		return infer.Errorf(infer.Invalid, "Inference-Header-Content-Length is not within the request")
	default:
		d.binary = n
	}
	head := d.binary
	text, spare := front(d.src.Body, head, d.pool)
	d.s.Reset(text)
	d.s.Of = d.Model.Name
	err := d.document()
	if spare != nil {
		spare.Release()
	}
	if err == nil && !d.ours && d.src.Body == &d.Req.Body {
		d.Req.Encoding, d.Req.BodyHead = infer.KServeREST, head
	}
	return err
}

// front returns the first n bytes of a body in one run. If they lie in several slabs it copies them into one that the
// caller releases.
func front(body *slab.List, n int, pool *slab.Pool) ([]byte, *slab.Slab) {
	if n == 0 {
		return nil, nil
	}
	if first := body.At(0).B; len(first) >= n {
		return first[:n:n], nil
	}
	spare := pool.Get(n)
	b := spare.Bytes()[:n]
	body.CopyTo(b)
	return b, spare
}

// null reads a null, if one is next: what some clients write for a member that they leave out.
func (d *Decoder) null() bool { return d.s.Peek() == 'n' && d.s.Literal("null") }

// document reads the JSON part and checks the request as a whole.
func (d *Decoder) document() *infer.Error {
	s := &d.s
	inputs := false
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		var err *infer.Error
		switch string(key) {
		case "id":
			err = d.id()
		case "inputs":
			inputs = true
			err = d.inputs()
		case "outputs":
			err = d.outputs()
		case "parameters":
			err = d.parameters(ofRequest)
		default:
			s.Skip()
		}
		if err != nil {
			return err
		}
	}
	if !s.End() {
		return d.fault()
	}
	if !inputs {
		return infer.Errorf(infer.Invalid, "the request for model %s has no \"inputs\"", text.Quote(d.Model.Name))
	}
	if left := d.src.Body.Size() - d.binary; left > 0 {
		return infer.Errorf(infer.Invalid, "unexpected additional input data: %d bytes more than the inputs of model %s take", left, text.Quote(d.Model.Name))
	}
	return d.Signed()
}

func (d *Decoder) fault() *infer.Error { return d.s.Fault() }

func (d *Decoder) id() *infer.Error {
	if d.null() {
		d.ours = true
		return nil
	}
	id, ok := d.s.String()
	if !ok {
		return d.fault()
	}
	d.ours = d.ours || len(id) == 0 // a member that is there, and no id
	return d.SetID(id)
}

// outputs reads the list of requested outputs.
func (d *Decoder) outputs() *infer.Error {
	s := &d.s
	if d.null() {
		d.ours = true
		return nil
	}
	s.Open('[')
	for s.More() {
		if err := d.output(); err != nil {
			return err
		}
	}
	if s.Failed() {
		return d.fault()
	}
	return nil
}

func (d *Decoder) output() *infer.Error {
	s := &d.s
	at := len(d.Head.Outputs)
	d.Head.Outputs = append(d.Head.Outputs, kserve.OutputForm{})
	index, named := -1, false
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		var err *infer.Error
		switch string(key) {
		case "name":
			if name, ok := s.String(); ok {
				named = true
				index, err = d.OutputIndex(name)
			}
		case "parameters":
			err = d.parameters(ofOutput)
		default:
			s.Skip()
		}
		if err != nil {
			return err
		}
	}
	if s.Failed() {
		return d.fault()
	}
	if !named {
		return d.Nameless(at)
	}
	return d.Want(index)
}
