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

// A ResponseDecoder reads the answers of a backend that speaks the protocol over REST. It keeps scratch memory
// between them and belongs to one goroutine at a time.
//
// It is lenient about what servers leave null that they have no value for, takes null among numbers for NaN, and about parameters, which may be anything,
// and strict about outputs: nothing that a backend may send can make trouble later.
type ResponseDecoder struct {
	pool *slab.Pool
	s    text.Scanner

	// Of the answer being read.
	model      *infer.Model
	resp       *infer.Response
	body       *slab.List
	binary     int   // offset of the next binary tensor in the body
	classified []int // outputs that the backend may have classified
	in         fit.Field
	dtype      []byte // as the backend says it
	seen       inputSeen
	own        []infer.Param // of the output being read
}

// NewResponseDecoder returns a decoder that takes the memory for tensors that come as JSON from pool.
func NewResponseDecoder(pool *slab.Pool) *ResponseDecoder {
	return &ResponseDecoder{pool: pool}
}

// Decode reads the answer to a batch into r, which must be new; head is the value of Inference-Header-Content-Length,
// nil if there is none. Binary tensors become views of body, whose references
// stay the caller's. After an error, r is in order and to be released as usual.
func (d *ResponseDecoder) Decode(b *infer.Batch, head []byte, body *slab.List, r *infer.Response) *infer.Error {
	d.model, d.resp, d.body = b.Model, r, body
	if passesREST(b.Members, true) {
		d.classified = b.Members[0].Call.Request.Classified
	}
	err := d.decode(head)
	for i := 0; i < len(b.Members) && err == nil; i++ {
		err = fit.Answers(b.Model, b.Members[i].Call.Request, r)
	}
	d.model, d.resp, d.body, d.classified = nil, nil, nil, nil
	d.in, d.dtype = fit.Field{}, nil
	clear(d.own)
	d.own = d.own[:0]
	d.s.Reset(nil)
	return err
}

func (d *ResponseDecoder) decode(head []byte) *infer.Error {
	size := d.body.Size()
	n, err := ParseHeaderLength(head, size)
	switch {
	case err != nil || n == 0:
		return fit.Nonsense(d.model, "has an Inference-Header-Content-Length that is not within its "+strconv.Itoa(size)+" bytes")
	case n == NoHeader:
		n = size
	}
	d.binary = n
	b, spare := front(d.body, n, d.pool)
	d.s.Reset(b)
	err = d.document()
	if spare != nil {
		spare.Release()
	}
	return err
}

// fault words what was wrong with the document.
func (d *ResponseDecoder) fault() *infer.Error {
	return fit.Nonsense(d.model, "cannot be parsed: "+d.s.Wrong())
}

func (d *ResponseDecoder) document() *infer.Error {
	s := &d.s
	outputs := false
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		var err *infer.Error
		switch string(key) {
		case "parameters":
			d.parameters(true)
		case "outputs":
			outputs = true
			err = d.outputs()
		default:
			s.Skip()
		}
		if err != nil {
			return err
		}
	}
	switch {
	case !s.End():
		return d.fault()
	case !outputs:
		return fit.Nonsense(d.model, `has no "outputs"`)
	}
	if left := d.body.Size() - d.binary; left > 0 {
		return fit.Nonsense(d.model, "has "+strconv.Itoa(left)+" bytes more than its outputs take")
	}
	d.resp.Encoding = infer.KServeREST
	return nil
}

// null reads a null, if one is next.
func (d *ResponseDecoder) null() bool { return d.s.Peek() == 'n' && d.s.Literal("null") }

// parameters reads the parameters of the answer, or of an output, of which binary_data_size says something. Values that are
// none for the rest of the protocol are passed over.
func (d *ResponseDecoder) parameters(ofAnswer bool) {
	s := &d.s
	if d.null() {
		return
	}
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		p := kserve.Param{Param: infer.Param{Key: key}}
		if c := s.Peek(); c != '"' && c != 't' && c != 'f' && c != '-' && !text.IsDigit(c) || kserve.ScanParam(s, &p) != nil {
			s.Skip()
			continue
		}
		switch {
		case ofAnswer:
			d.resp.Params = append(d.resp.Params, kserve.KeepParam(d.resp, &p))
		case string(key) == "binary_data_size" && p.Kind == infer.ParamInt && !p.Big && p.Int >= 0:
			d.seen.size, d.seen.hasSize = p.Int, true
		case !kserve.OfTensor(key):
			d.own = append(d.own, kserve.KeepParam(d.resp, &p))
		}
	}
}

func (d *ResponseDecoder) outputs() *infer.Error {
	s := &d.s
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

// output reads one output. Its data, if it comes before what describes it, is passed over and read at the end.
func (d *ResponseDecoder) output() *infer.Error {
	s := &d.s
	d.in, d.dtype, d.seen, d.own = fit.Field{}, nil, inputSeen{}, d.own[:0]
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		var err *infer.Error
		switch string(key) {
		case "name":
			d.in.Name, d.in.HasName = s.String()
		case "datatype":
			d.dtype, d.seen.hasDType = s.String()
			d.in.DType = kserve.ParseDType(d.dtype)
		case "shape":
			d.seen.hasShape = true
			d.in.Bad = scanShape(s, &d.in)
			if d.in.Bad != "" {
				return d.incomplete() // where the shape ends is not known
			}
		case "parameters":
			d.parameters(false)
		case "data":
			err = d.data()
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
	if err := d.incomplete(); err != nil {
		return err
	}
	if err := d.finishOutput(); err != nil {
		return err
	}
	o := &d.resp.Outputs[len(d.resp.Outputs)-1]
	o.Params = append(o.Params, d.own...)
	return nil
}

// data takes the place of the array, and reads it if all is known that it takes.
func (d *ResponseDecoder) data() *infer.Error {
	if d.null() {
		return nil
	}
	s, seen := &d.s, &d.seen
	s.Peek()
	seen.hasData, seen.data = true, s.Pos
	if d.in.HasName && seen.hasDType && seen.hasShape && !seen.hasSize {
		return d.readData()
	}
	s.Nonfinite = true
	s.Skip()
	s.Nonfinite = false
	return nil
}

// incomplete says what an output lacks, or has wrong, nil if nothing.
func (d *ResponseDecoder) incomplete() *infer.Error {
	seen, lacks := &d.seen, ""
	switch {
	case !d.in.HasName:
		lacks = `"name"`
	case d.in.Bad != "":
		return fit.Nonsense(d.model, "has an output "+text.Quote(d.in.Name)+" with a shape that "+d.in.Bad)
	case !seen.hasDType:
		lacks = `"datatype"`
	case !seen.hasShape:
		lacks = `"shape"`
	default:
		return nil
	}
	return fit.Nonsense(d.model, "has an output without "+lacks)
}

// finishOutput takes the data of an output if that has not been done.
func (d *ResponseDecoder) finishOutput() *infer.Error {
	s, seen := &d.s, &d.seen
	switch {
	case seen.read && !seen.hasSize:
		return nil
	case seen.hasSize && !seen.hasData:
		return d.sliceData()
	case seen.hasSize:
		return fit.Nonsense(d.model, "has an output "+text.Quote(d.in.Name)+" with both data and a binary_data_size")
	case !seen.hasData:
		return d.noData()
	}
	end := s.Pos
	s.Pos = seen.data
	err := d.readData()
	s.Pos = end
	return err
}

func (d *ResponseDecoder) bind() (*infer.Output, *infer.Error) {
	return fit.BindOutput(d.model, d.resp, &d.in, d.dtype, d.classified)
}

// noData takes an output that has none, which only one without elements may have.
func (d *ResponseDecoder) noData() *infer.Error {
	o, err := d.bind()
	if err == nil {
		err = fit.CheckCount(d.model, o, 0)
	}
	return err
}

// sliceData takes the next binary tensor as views of the body.
func (d *ResponseDecoder) sliceData() *infer.Error {
	o, err := d.bind()
	if err != nil {
		return err
	}
	n := d.seen.size
	if left := int64(d.body.Size() - d.binary); n > left {
		return fit.BadBackend(d.model, o.Index, "came with a binary_data_size of "+strconv.FormatInt(n, 10)+", and "+strconv.FormatInt(left, 10)+" bytes")
	}
	o.Data.AppendRange(d.body, d.binary, int(n))
	d.binary += int(n)
	return fit.CheckOutput(d.model, o)
}

// readData reads the array at the scanner's place into a slab of the tensor's size.
func (d *ResponseDecoder) readData() *infer.Error {
	s := &d.s
	d.seen.read = true
	o, err := d.bind()
	if err != nil {
		return err
	}
	want, _ := tensor.Elements(o.Shape) // bind has looked at it
	if want > int64(len(s.Text)-s.Pos)/2 {
		// An element takes two bytes of text or more: do not take memory for what cannot be there.
		return fit.BadBackend(d.model, o.Index, "came with shape "+tensor.ShapeString(o.Shape)+" and fewer elements")
	}
	var n int
	var bad text.BadValue
	s.Nonfinite, s.NullNaN = true, true
	if o.DType == tensor.Bytes {
		from, size := s.Pos, 0
		if n, size, bad = s.TextSize(); bad == text.ValueOK && !s.Failed() && size > 0 {
			placeTexts(d.pool, &o.Tensor, size, s.Text[from:s.Pos])
		}
	} else {
		n, bad = scanNumbers(s, d.pool, &o.Tensor, int(want)*o.DType.Size())
	}
	s.Nonfinite, s.NullNaN = false, false
	switch {
	case s.Failed():
		return d.fault()
	case bad == text.ValueExcess:
		return fit.BadBackend(d.model, o.Index, "came with shape "+tensor.ShapeString(o.Shape)+" and more elements")
	case bad != text.ValueOK:
		return fit.BadBackend(d.model, o.Index, "came with an element "+strconv.Itoa(n)+" that is not one of data type "+o.DType.String())
	}
	return fit.CheckCount(d.model, o, int64(n))
}
