package kserve

import (
	"math"
	"strconv"

	"github.com/sluice-serving/sluice/infer"
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
	s.open('[')
	for s.more() {
		if err := d.input(); err != nil {
			return err
		}
	}
	if s.failed() {
		return d.fault()
	}
	return nil
}

// input reads one input. If its data stands last, as all clients write it, the numbers go straight to
// their tensor; if not, the array is passed over and read when the object is.
func (d *Decoder) input() *infer.Error {
	s, in := &d.s, &d.in
	*in, d.seen = tensorField{}, inputSeen{}
	s.open('{')
	for key, ok := s.key(); ok; key, ok = s.key() {
		var err *infer.Error
		switch string(key) {
		case "name":
			in.name, in.hasName = s.string()
		case "datatype":
			err = d.datatype()
		case "shape":
			err = d.shape()
		case "parameters":
			err = d.parameters(ofInput)
		case "data":
			err = d.data()
		default:
			s.skip()
		}
		if err != nil {
			return err
		}
	}
	if s.failed() {
		return d.fault()
	}
	return d.finishInput()
}

func (d *Decoder) datatype() *infer.Error {
	name, ok := d.s.string()
	if !ok {
		return d.fault()
	}
	d.seen.hasDType = true
	return d.setType(name)
}

func (d *Decoder) shape() *infer.Error {
	s, in := &d.s, &d.in
	s.open('[')
	for s.more() {
		mag, neg, end, e := scanInteger(s.b, s.i)
		switch {
		case e == numSyntax:
			if at := s.i; s.skip() {
				s.i = at
				return d.badShape("has a dimension that is not a whole number")
			}
			return d.fault()
		case e == numInteger:
			return d.badShape("has a dimension that is not a whole number")
		case neg && mag != 0:
			return d.badShape("has a negative dimension")
		case e == numRange || mag > math.MaxInt64:
			return d.badShape("has a dimension that does not fit 63 bits")
		case in.rank == tensor.MaxRank:
			return d.badShape("has more than 32 dimensions")
		}
		s.i = end
		in.dims[in.rank] = int64(mag)
		in.rank++
	}
	if s.failed() {
		return d.fault()
	}
	d.seen.hasShape = true
	return nil
}

func (d *Decoder) data() *infer.Error {
	s, seen := &d.s, &d.seen
	seen.hasData = true
	s.peek()
	seen.data = s.i
	if d.in.hasName && seen.hasDType && seen.hasShape && !seen.hasSize {
		return d.readData()
	}
	s.nonfinite = true
	ok := s.skip()
	s.nonfinite = false
	if !ok {
		return d.fault()
	}
	return nil
}

// finishInput checks that the input is whole, and takes its data if that has not been done.
func (d *Decoder) finishInput() *infer.Error {
	in, seen := &d.in, &d.seen
	switch {
	case !in.hasName:
		return d.lacks("name")
	case !seen.hasDType:
		return d.lacks("datatype")
	case !seen.hasShape:
		return d.lacks("shape")
	case seen.hasData && seen.hasSize:
		return infer.Errorf(infer.Invalid, "input %s of model %s has both \"data\" and a binary_data_size, it must have one of them", quote(in.name), quote(d.model.Name))
	case seen.read:
		return nil
	case seen.hasSize:
		return d.sliceData()
	case !seen.hasData:
		return infer.Errorf(infer.Invalid, "input %s of model %s has neither \"data\" nor a binary_data_size, it must have one of them", quote(in.name), quote(d.model.Name))
	}
	s := &d.s
	end := s.i
	s.i = seen.data
	err := d.readData()
	s.i = end
	return err
}

// readData reads the array at s.i into a slab of the tensor's size.
func (d *Decoder) readData() *infer.Error {
	d.seen.read = true
	t, want, err := d.bind()
	if err != nil {
		return err
	}
	size, err := d.byteSize(t)
	if err != nil {
		return err
	}
	s := &d.s
	if want > int64(len(s.b)-s.i)/2 {
		// An element takes two bytes of text or more: do not take memory for what cannot be there.
		return d.badCount("fewer", want)
	}
	var n int
	var bad badValue
	s.nonfinite = true
	if t.DType == tensor.Bytes {
		n, bad, err = d.readTexts(t, want)
	} else if err = d.charge(size); err == nil {
		n, bad = d.readNumbers(t, int(size))
	}
	s.nonfinite = false
	switch {
	case err != nil:
		return err
	case s.failed():
		return d.fault()
	case bad == valueExcess:
		return d.badCount("more", want)
	case bad != valueOK:
		return d.badElement(bad, n)
	case int64(n) != want:
		return d.badCount(strconv.Itoa(n), want)
	}
	d.req.Bytes += int64(t.Data.Size())
	return nil
}

func (d *Decoder) readNumbers(t *infer.Input, size int) (n int, bad badValue) {
	if size == 0 {
		return d.s.elements(t.DType, nil)
	}
	to := d.pool.Get(size)
	v := to.View(0, size)
	t.Data.AppendOwned(v)
	return d.s.elements(t.DType, v.B)
}

// readTexts reads strings twice: the first time to check them and to know what they take.
func (d *Decoder) readTexts(t *infer.Input, want int64) (n int, bad badValue, err *infer.Error) {
	s := &d.s
	from := s.i
	n, size, bad := s.textSize()
	if bad != valueOK || s.failed() || int64(n) != want || size == 0 {
		return n, bad, nil
	}
	if err := d.charge(int64(size)); err != nil {
		return n, bad, err
	}
	to := d.pool.Get(size)
	v := to.View(0, size)
	t.Data.AppendOwned(v)
	texts(v.B[:0], s.b[from:s.i])
	return n, valueOK, nil
}

// sliceData takes the next binary tensor as views into the body.
func (d *Decoder) sliceData() *infer.Error {
	in, n := &d.in, d.seen.size
	t, want, err := d.bind()
	if err != nil {
		return err
	}
	if err := d.checkSize(t, n); err != nil {
		return err
	}
	if left := int64(d.src.Body.Size() - d.binary); n > left {
		return infer.Errorf(infer.Invalid, "input %s of model %s: expecting %d additional bytes of data, the request has %d left", quote(in.name), quote(d.model.Name), n, left)
	}
	t.Data.AppendRange(d.src.Body, d.binary, int(n))
	d.binary += int(n)
	d.req.Bytes += n
	return d.checkData(t, want)
}
