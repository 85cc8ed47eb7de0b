package kserve

import (
	"bytes"
	"encoding/binary"
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

// bind finds the model's input and checks what was said of it, and adds it to the request.
func (d *Decoder) bind() (t *infer.Input, elements int64, err *infer.Error) {
	in, m := &d.in, d.model
	index := m.Input(in.name)
	if index < 0 {
		return nil, 0, infer.Errorf(infer.Invalid, "unexpected inference input %s for model %s, its inputs are %s", quote(in.name), quote(m.Name), specNames(m.Inputs))
	}
	for i := range d.req.Inputs {
		if d.req.Inputs[i].Index == index {
			return nil, 0, infer.Errorf(infer.Invalid, "input %s already exists in the request for model %s", quote(in.name), quote(m.Name))
		}
	}
	spec := &m.Inputs[index]
	if in.dtype != spec.DType {
		return nil, 0, infer.Errorf(infer.Invalid, "inference input %s data-type is '%s', but model %s expects '%s'", quote(in.name), in.dtype, quote(m.Name), spec.DType)
	}
	shape := in.dims[:in.rank]
	if !fits(shape, spec.Dims, m.MaxBatch > 0) {
		return nil, 0, infer.Errorf(infer.Invalid, "unexpected shape for input %s for model %s. Expected %s, got %s", quote(in.name), quote(m.Name), tensor.ShapeString(spec.Dims), tensor.ShapeString(shape))
	}
	elements, e := tensor.Elements(shape)
	if e != nil {
		return nil, 0, infer.Errorf(infer.Invalid, "input %s of model %s: %s", quote(in.name), quote(m.Name), e)
	}
	if err := d.rows(shape, index); err != nil {
		return nil, 0, err
	}
	t = d.req.AddInput()
	t.Index, t.DType = index, in.dtype
	t.Shape = d.req.Dims(in.rank)
	copy(t.Shape, shape)
	return t, elements, nil
}

// fits tells whether shape agrees with dims, whose first axis is free if it is the batch axis.
func fits(shape, dims []int64, batch bool) bool {
	if len(shape) != len(dims) {
		return false
	}
	for i, n := range dims {
		if n >= 0 && n != shape[i] && !(batch && i == 0) {
			return false
		}
	}
	return true
}

// rows checks the batch axis of an input against the limit and the inputs before it.
func (d *Decoder) rows(shape []int64, index int) *infer.Error {
	m := d.model
	if m.MaxBatch <= 0 || len(shape) == 0 {
		return nil
	}
	n := shape[0]
	switch {
	case n > m.MaxBatch && !m.AnyRows:
		return infer.Errorf(infer.Invalid, "inference request batch-size must be <= %d for model %s, input %s has %d", m.MaxBatch, quote(m.Name), quote(m.Inputs[index].Name), n)
	case d.rowsOf < 0:
		d.rowsOf, d.req.Rows = index, n
	case n != d.req.Rows:
		return infer.Errorf(infer.Invalid, "input %s batch size %d does not match that of input %s, %d, for model %s", quote(m.Inputs[index].Name), n, quote(m.Inputs[d.rowsOf].Name), d.req.Rows, quote(m.Name))
	}
	return nil
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

// complete checks that nothing is missing.
func (d *Decoder) complete() *infer.Error {
	m := d.model
	missing := 0
	for i := range m.Inputs {
		if !m.Inputs[i].Optional && !d.has(i) {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	var got, lacks bytes.Buffer
	for i := range m.Inputs {
		switch {
		case d.has(i):
			list(&got, m.Inputs[i].Name)
		case !m.Inputs[i].Optional:
			list(&lacks, m.Inputs[i].Name)
		}
	}
	return infer.Errorf(infer.Invalid, "expected %d inputs but got %d inputs for model %s. Got input(s) [%s], but missing required input(s) [%s]. Please provide all required input(s)",
		len(m.Inputs), len(d.req.Inputs), quote(m.Name), got.Bytes(), lacks.Bytes())
}

func (d *Decoder) has(index int) bool {
	for i := range d.req.Inputs {
		if d.req.Inputs[i].Index == index {
			return true
		}
	}
	return false
}

func list(b *bytes.Buffer, name string) {
	if b.Len() > 1024 {
		return
	}
	if b.Len() > 0 {
		b.WriteByte(',')
	}
	b.WriteString(quote(name))
}

// raw takes the whole body as the data of the model's only input, for a batch of one row. All outputs are
// to be binary.
func (d *Decoder) raw() *infer.Error {
	m := d.model
	if len(m.Inputs) != 1 {
		return infer.Errorf(infer.Invalid, "a raw binary request needs a model with one input, model %s has %d", quote(m.Name), len(m.Inputs))
	}
	d.head.Binary = true
	spec := &m.Inputs[0]
	in := &d.in
	*in = inputField{name: []byte(spec.Name), hasName: true, dtype: spec.DType, hasDType: true, hasShape: true, rank: len(spec.Dims)}
	size := int64(d.src.Body.Size())
	if err := d.rawShape(spec, size); err != nil {
		return err
	}
	t, want, err := d.bind()
	if err != nil {
		return err
	}
	if t.DType == tensor.Bytes {
		// The body is one string, to which Triton's clients add no length.
		to := d.pool.Get(4)
		v := to.View(0, 4)
		binary.LittleEndian.PutUint32(v.B, uint32(size))
		t.Data.AppendOwned(v)
		size += 4
	}
	t.Data.AppendList(d.src.Body)
	d.req.Bytes = size
	return d.checkData(t, want)
}

// rawShape works out the shape of a raw request: at most one dimension may be free, and its length follows
// from the size of the body.
func (d *Decoder) rawShape(spec *infer.Spec, size int64) *infer.Error {
	in, m := &d.in, d.model
	if in.rank > tensor.MaxRank {
		return infer.Errorf(infer.Invalid, "input %s of model %s has more than %d dimensions", quote(spec.Name), quote(m.Name), tensor.MaxRank)
	}
	free := -1
	for i, n := range spec.Dims {
		switch {
		case i == 0 && m.MaxBatch > 0:
			n = 1
		case n < 0 && spec.DType == tensor.Bytes:
			n = 1
		case n < 0 && free >= 0:
			return infer.Errorf(infer.Invalid, "a raw binary request needs an input with at most one free dimension, input %s of model %s has shape %s", quote(spec.Name), quote(m.Name), tensor.ShapeString(spec.Dims))
		case n < 0:
			n, free = 1, i
		}
		in.dims[i] = n
	}
	least, err := tensor.ByteSize(spec.DType, in.dims[:in.rank])
	switch {
	case err != nil:
		return infer.Errorf(infer.Invalid, "input %s of model %s: %s", quote(spec.Name), quote(m.Name), err)
	case spec.DType == tensor.Bytes:
		if least != 4 || size > math.MaxUint32 {
			return infer.Errorf(infer.Invalid, "a raw binary request needs an input of one string of less than 4 GiB, input %s of model %s has shape %s", quote(spec.Name), quote(m.Name), tensor.ShapeString(spec.Dims))
		}
	case free >= 0 && least > 0 && size%least == 0:
		in.dims[free] = size / least
	case size != least:
		return infer.Errorf(infer.Invalid, "input %s of model %s: a row of shape %s takes %d bytes, got %d", quote(spec.Name), quote(m.Name), tensor.ShapeString(spec.Dims), least, size)
	}
	return nil
}
