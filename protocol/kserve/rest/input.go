package rest

import (
	"math"
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// An inputSeen is what the document has said of an input so far, beside the tensorField.
type inputSeen struct {
	size     int64 // binary_data_size
	data     int   // offset of the array, to be read when the rest is known
	hasDType bool
	hasShape bool
	hasSize  bool
	hasData  bool
	read     bool // the data has been read
}

func (d *Decoder) inputs() *infer.Error {
	s := &d.s
	s.Open('[')
	for s.More() {
		if err := d.input(); err != nil {
			return err
		}
	}
	if s.Failed() {
		return d.fault()
	}
	return nil
}

// input reads one input. If its data stands last, as all clients write it, the numbers go straight to
// their tensor; if not, the array is passed over and read when the object is.
func (d *Decoder) input() *infer.Error {
	s, in := &d.s, &d.In
	*in, d.seen, d.own = fit.Field{}, inputSeen{}, d.own[:0]
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		var err *infer.Error
		switch string(key) {
		case "name":
			in.Name, in.HasName = s.String()
		case "datatype":
			err = d.datatype()
		case "shape":
			err = d.shape()
		case "parameters":
			err = d.parameters(ofInput)
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
	if err := d.finishInput(); err != nil {
		return err
	}
	if len(d.own) > 0 {
		in := d.LastInput()
		in.Params = append(in.Params, d.own...)
	}
	return nil
}

func (d *Decoder) datatype() *infer.Error {
	name, ok := d.s.String()
	if !ok {
		return d.fault()
	}
	d.seen.hasDType = true
	return d.SetType(name)
}

func (d *Decoder) shape() *infer.Error {
	if what := scanShape(&d.s, &d.In); what != "" {
		return d.BadShape(what)
	}
	if d.s.Failed() {
		return d.fault()
	}
	d.seen.hasShape = true
	return nil
}

// scanShape reads a shape into f. It returns what is wrong with it, if anything is and the document is JSON.
func scanShape(s *text.Scanner, f *fit.Field) (what string) {
	s.Open('[')
	for s.More() {
		mag, neg, end, e := text.ScanInteger(s.Text, s.Pos)
		switch {
		case e == text.NumSyntax:
			if at := s.Pos; s.Skip() {
				s.Pos = at
				return "has a dimension that is not a whole number"
			}
			return ""
		case e == text.NumInteger:
			return "has a dimension that is not a whole number"
		case neg && mag != 0:
			return "has a negative dimension"
		case e == text.NumRange || mag > math.MaxInt64:
			return "has a dimension that does not fit 63 bits"
		case f.Rank == tensor.MaxRank:
			return "has more than 32 dimensions"
		}
		s.Pos = end
		f.Dims[f.Rank] = int64(mag)
		f.Rank++
	}
	return ""
}

func (d *Decoder) data() *infer.Error {
	s, seen := &d.s, &d.seen
	seen.hasData = true
	s.Peek()
	seen.data = s.Pos
	if d.In.HasName && seen.hasDType && seen.hasShape && !seen.hasSize {
		return d.readData()
	}
	s.Nonfinite = true
	ok := s.Skip()
	s.Nonfinite = false
	if !ok {
		return d.fault()
	}
	return nil
}

// finishInput checks that the input is whole, and takes its data if that has not been done.
func (d *Decoder) finishInput() *infer.Error {
	in, seen := &d.In, &d.seen
	switch {
	case !in.HasName:
		return d.Lacks("name")
	case !seen.hasDType:
		return d.Lacks("datatype")
	case !seen.hasShape:
		return d.Lacks("shape")
	case d.InRegion() && (seen.hasData || seen.hasSize):
		return infer.Errorf(infer.Invalid, "input %s of model %s lies in shared memory: it must not have data as well", text.Quote(in.Name), text.Quote(d.Model.Name))
	case seen.hasData && seen.hasSize:
		return infer.Errorf(infer.Invalid, "input %s of model %s has both \"data\" and a binary_data_size, it must have one of them", text.Quote(in.Name), text.Quote(d.Model.Name))
	case d.InRegion():
		r, err := d.TakeRegion("input " + text.Quote(in.Name))
		if err != nil {
			return err
		}
		return d.BindRegion(r)
	case seen.read:
		return nil
	case seen.hasSize:
		return d.sliceData()
	case !seen.hasData:
		return infer.Errorf(infer.Invalid, "input %s of model %s has neither \"data\" nor a binary_data_size, it must have one of them", text.Quote(in.Name), text.Quote(d.Model.Name))
	}
	s := &d.s
	end := s.Pos
	s.Pos = seen.data
	err := d.readData()
	s.Pos = end
	return err
}

// readData reads the array at s.i into a slab of the tensor's size.
func (d *Decoder) readData() *infer.Error {
	d.seen.read = true
	t, want, err := d.Bind()
	if err != nil {
		return err
	}
	size, err := d.ByteSize(t)
	if err != nil {
		return err
	}
	s := &d.s
	from := s.Pos
	if want > int64(len(s.Text)-s.Pos)/2 {
		// An element takes two bytes of text or more: do not take memory for what cannot be there.
		return d.BadCount("fewer", want)
	}
	var n int
	var bad text.BadValue
	s.Nonfinite = true
	if t.DType == tensor.Bytes {
		n, bad, err = d.readTexts(t, want)
	} else if err = d.Charge(size); err == nil {
		n, bad = scanNumbers(s, d.pool, &t.Tensor, int(size))
	}
	s.Nonfinite = false
	switch {
	case err != nil:
		return err
	case s.Failed():
		return d.fault()
	case bad == text.ValueExcess:
		return d.BadCount("more", want)
	case bad != text.ValueOK:
		return d.BadElement(bad, n)
	case int64(n) != want:
		return d.BadCount(strconv.Itoa(n), want)
	}
	d.Req.Bytes += int64(t.Data.Size())
	d.ours = d.ours || notJSON(t.DType, s.Text[from:s.Pos])
	return nil
}

// notJSON tells whether a tensor of type d whose data came as b is in a form that is not every server's.
func notJSON(d tensor.DType, b []byte) bool {
	switch d {
	case tensor.FP16, tensor.BF16:
		return true
	case tensor.FP32, tensor.FP64:
		return text.HasNonfinite(b)
	}
	return false
}

// scanNumbers reads an array of elements of fixed size, size bytes in all, into a slab of t.
func scanNumbers(s *text.Scanner, pool *slab.Pool, t *tensor.Tensor, size int) (n int, bad text.BadValue) {
	if size == 0 {
		return s.Elements(t.DType, nil)
	}
	v := pool.Get(size).View(0, size)
	t.Data.AppendOwned(v)
	return s.Elements(t.DType, v.B)
}

// readTexts reads strings twice: the first time to check them and to know what they take.
func (d *Decoder) readTexts(t *infer.Input, want int64) (n int, bad text.BadValue, err *infer.Error) {
	s := &d.s
	from := s.Pos
	n, size, bad := s.TextSize()
	if bad != text.ValueOK || s.Failed() || int64(n) != want || size == 0 {
		return n, bad, nil
	}
	if err := d.Charge(int64(size)); err != nil {
		return n, bad, err
	}
	placeTexts(d.pool, &t.Tensor, size, s.Text[from:s.Pos])
	return n, text.ValueOK, nil
}

// placeTexts writes strings that were read once, and take size bytes, to a slab of t.
func placeTexts(pool *slab.Pool, t *tensor.Tensor, size int, b []byte) {
	v := pool.Get(size).View(0, size)
	t.Data.AppendOwned(v)
	text.Texts(v.B[:0], b)
}

// sliceData takes the next binary tensor as views into the body.
func (d *Decoder) sliceData() *infer.Error {
	in, n := &d.In, d.seen.size
	t, want, err := d.Bind()
	if err != nil {
		return err
	}
	if err := d.CheckSize(t, n); err != nil {
		return err
	}
	if left := int64(d.src.Body.Size() - d.binary); n > left {
		return infer.Errorf(infer.Invalid, "input %s of model %s: expecting %d additional bytes of data, the request has %d left", text.Quote(in.Name), text.Quote(d.Model.Name), n, left)
	}
	t.Data.AppendRange(d.src.Body, d.binary, int(n))
	d.binary += int(n)
	d.Req.Bytes += n
	d.ours = d.ours || n == 0
	return d.CheckData(t, want)
}
