package kserve

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// An inputField is an input of the document as far as it has been read.
type inputField struct {
	name     []byte
	dtype    tensor.DType
	rank     int
	dims     [tensor.MaxRank]int64
	size     int64 // binary_data_size
	data     int   // offset of the array, to be read when the rest is known
	hasName  bool
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
	*in = inputField{}
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
	if d.in.dtype = tensor.ParseDType(name); d.in.dtype == tensor.Invalid {
		return infer.Errorf(infer.Invalid, "input %s of model %s has the unknown data type %s", d.inputName(), quote(d.model.Name), quote(name))
	}
	d.in.hasDType = true
	return nil
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
	in.hasShape = true
	return nil
}

func (d *Decoder) badShape(what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "the shape of input %s of model %s %s", d.inputName(), quote(d.model.Name), what)
}

// inputName names the input being read: by its place where it has not said its name.
func (d *Decoder) inputName() string {
	if d.in.hasName {
		return quote(d.in.name)
	}
	return "number " + strconv.Itoa(len(d.req.Inputs))
}

func (d *Decoder) data() *infer.Error {
	s, in := &d.s, &d.in
	in.hasData = true
	s.peek()
	in.data = s.i
	if in.hasName && in.hasDType && in.hasShape && !in.hasSize {
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
	in := &d.in
	missing := ""
	switch {
	case !in.hasName:
		missing = "name"
	case !in.hasDType:
		missing = "datatype"
	case !in.hasShape:
		missing = "shape"
	}
	switch {
	case missing != "":
		return infer.Errorf(infer.Invalid, "input %s of the request for model %s has no \"%s\"", d.inputName(), quote(d.model.Name), missing)
	case in.hasData && in.hasSize:
		return infer.Errorf(infer.Invalid, "input %s of model %s has both \"data\" and a binary_data_size, it must have one of them", quote(in.name), quote(d.model.Name))
	case in.read:
		return nil
	case in.hasSize:
		return d.sliceData()
	case !in.hasData:
		return infer.Errorf(infer.Invalid, "input %s of model %s has neither \"data\" nor a binary_data_size, it must have one of them", quote(in.name), quote(d.model.Name))
	}
	s := &d.s
	end := s.i
	s.i = in.data
	err := d.readData()
	s.i = end
	return err
}

// byteSize returns the bytes of a tensor of fixed-size elements, or of the least that BYTES can take.
func (d *Decoder) byteSize(t *infer.Input) (int64, *infer.Error) {
	n, err := tensor.ByteSize(t.DType, t.Shape)
	if err != nil {
		return 0, infer.Errorf(infer.Invalid, "input %s of model %s: %s", quote(d.in.name), quote(d.model.Name), err)
	}
	return n, nil
}

// readData reads the array at s.i into a slab of the tensor's size.
func (d *Decoder) readData() *infer.Error {
	d.in.read = true
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
		return infer.Errorf(infer.Invalid, "input %s of model %s: shape %s needs %d elements, got %d", quote(d.in.name), quote(d.model.Name), tensor.ShapeString(t.Shape), want, n)
	}
	d.req.Bytes += int64(t.Data.Size())
	return nil
}

// charge counts the bytes of a tensor that comes as JSON.
func (d *Decoder) charge(size int64) *infer.Error {
	if limit := d.src.MaxBytes; limit > 0 && size > limit-d.decoded {
		return infer.Errorf(infer.TooLarge, "the inputs for model %s take more than the limit of %d bytes once decoded", quote(d.model.Name), limit)
	}
	d.decoded += size
	return nil
}

func (d *Decoder) badCount(how string, want int64) *infer.Error {
	return infer.Errorf(infer.Invalid, "input %s of model %s: shape %s needs %d elements, got %s", quote(d.in.name), quote(d.model.Name), tensor.ShapeString(d.in.dims[:d.in.rank]), want, how)
}

var badValues = [...]string{
	valueKind:    "is not a value of data type %s",
	valueRange:   "is out of the range of data type %s",
	valueInteger: "has a fraction or an exponent, which data type %s does not take",
}

func (d *Decoder) badElement(bad badValue, n int) *infer.Error {
	what := strings.Replace(badValues[bad], "%s", d.in.dtype.String(), 1)
	return infer.Errorf(infer.Invalid, "input %s of model %s: element %d %s", quote(d.in.name), quote(d.model.Name), n, what)
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
	in := &d.in
	t, want, err := d.bind()
	if err != nil {
		return err
	}
	size, err := d.byteSize(t)
	if err != nil {
		return err
	}
	if t.DType != tensor.Bytes && in.size != size || in.size < size {
		return infer.Errorf(infer.Invalid, "input %s of model %s: shape %s of data type %s: %s, got %d", quote(in.name), quote(d.model.Name), tensor.ShapeString(t.Shape), t.DType, expected(t.DType, size), in.size)
	}
	if left := int64(d.src.Body.Size() - d.binary); in.size > left {
		return infer.Errorf(infer.Invalid, "input %s of model %s: expecting %d additional bytes of data, the request has %d left", quote(in.name), quote(d.model.Name), in.size, left)
	}
	t.Data.AppendRange(d.src.Body, d.binary, int(in.size))
	d.binary += int(in.size)
	d.req.Bytes += in.size
	return d.checkData(t, want)
}

// expected words the size that a tensor must have.
func expected(dt tensor.DType, size int64) string {
	b := []byte("expected ")
	if dt == tensor.Bytes {
		b = append(b, "at least "...)
	}
	b = strconv.AppendInt(b, size, 10)
	return string(append(b, " bytes"...))
}

// checkData checks the content of binary data: of most types every bit pattern is a value.
func (d *Decoder) checkData(t *infer.Input, want int64) *infer.Error {
	switch t.DType {
	case tensor.Bytes:
		n, err := tensor.CountBytes(&t.Data)
		switch {
		case err != nil:
			return infer.Errorf(infer.Invalid, "input %s of model %s: %s", quote(d.in.name), quote(d.model.Name), err)
		case n != want:
			return infer.Errorf(infer.Invalid, "input %s of model %s: shape %s needs %d elements, got %d", quote(d.in.name), quote(d.model.Name), tensor.ShapeString(t.Shape), want, n)
		}
	case tensor.Bool:
		at := 0
		for i := range t.Data.Len() {
			b := t.Data.At(i).B
			if j := slices.IndexFunc(b, func(c byte) bool { return c > 1 }); j >= 0 {
				return d.badBool(at + j)
			}
			at += len(b)
		}
	}
	return nil
}

func (d *Decoder) badBool(n int) *infer.Error {
	return infer.Errorf(infer.Invalid, "input %s of model %s: element %d of data type BOOL is neither 0 nor 1", quote(d.in.name), quote(d.model.Name), n)
}
