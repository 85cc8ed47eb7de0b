package kserve

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// A binder holds what a request says against the model that it asks for, and fills in the request and its
// head. Both encodings go through it, so that they refuse the same requests in the same words.
type binder struct {
	model *infer.Model
	req   *infer.Request
	head  *Head
	grpc  bool

	in      tensorField // the input being read
	limit   int64       // of decoded; 0: none
	decoded int64       // bytes of the tensors that are not sliced from the body
	rowsOf  int         // the input that set the request's rows, -1 before one has
}

// A tensorField is an input as far as it has been read.
type tensorField struct {
	name    []byte
	hasName bool
	dtype   tensor.DType
	rank    int
	dims    [tensor.MaxRank]int64
	bad     string // what is wrong with its shape
}

// begin starts a request.
func (b *binder) begin(src *Source, req *infer.Request, head *Head) {
	b.model, b.req, b.head = src.Model, req, head
	b.limit, b.decoded, b.rowsOf = src.MaxBytes, 0, -1
	head.reset()
	req.Rows = 1
}

// maxID bounds a request's id, which ends up in logs.
const maxID = 256

// setID takes the request's id.
func (b *binder) setID(id []byte) *infer.Error {
	if len(id) > maxID {
		return infer.Errorf(infer.Invalid, "the request's id has %d bytes, the limit is %d", len(id), maxID)
	}
	for i := 0; i < len(id); {
		r, n := utf8.DecodeRune(id[i:])
		if !unicode.IsPrint(r) {
			return infer.Errorf(infer.Invalid, "the request's id has a character that cannot be printed, at byte %d", i)
		}
		i += n
	}
	b.req.ID = b.req.Keep(id)
	return nil
}

// setType takes the data type of the input being read.
func (b *binder) setType(name []byte) *infer.Error {
	if b.in.dtype = tensor.ParseDType(name); b.in.dtype == tensor.Invalid {
		return infer.Errorf(infer.Invalid, "input %s of model %s has the unknown data type %s", b.inputName(), quote(b.model.Name), quote(name))
	}
	return nil
}

func (b *binder) badShape(what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "the shape of input %s of model %s %s", b.inputName(), quote(b.model.Name), what)
}

// inputName names the input being read: by its place where it has not said its name.
func (b *binder) inputName() string {
	if b.in.hasName {
		return quote(b.in.name)
	}
	return "number " + strconv.Itoa(len(b.req.Inputs))
}

// lacks says that the input being read has no member of that name.
func (b *binder) lacks(member string) *infer.Error {
	return infer.Errorf(infer.Invalid, "input %s of the request for model %s has no \"%s\"", b.inputName(), quote(b.model.Name), member)
}

// bind finds the model's input and checks what was said of it, and adds it to the request.
func (b *binder) bind() (t *infer.Input, elements int64, err *infer.Error) {
	in, m := &b.in, b.model
	index := m.Input(in.name)
	if index < 0 {
		return nil, 0, infer.Errorf(infer.Invalid, "unexpected inference input %s for model %s, its inputs are %s", quote(in.name), quote(m.Name), specNames(m.Inputs))
	}
	if b.has(index) {
		return nil, 0, infer.Errorf(infer.Invalid, "input %s already exists in the request for model %s", quote(in.name), quote(m.Name))
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
	if err := b.rows(shape, index); err != nil {
		return nil, 0, err
	}
	t = b.req.AddInput()
	t.Index, t.DType = index, in.dtype
	t.Shape = b.req.Dims(in.rank)
	copy(t.Shape, shape)
	return t, elements, nil
}

// fits tells whether shape agrees with dims, whose first axis is free if it is the batch axis. Without dims,
// not even the rank is known.
func fits(shape, dims []int64, batch bool) bool {
	if dims == nil {
		return true
	}
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
func (b *binder) rows(shape []int64, index int) *infer.Error {
	m := b.model
	if m.MaxBatch <= 0 || len(shape) == 0 {
		return nil
	}
	n := shape[0]
	switch {
	case n > m.MaxBatch && !m.AnyRows:
		return infer.Errorf(infer.Invalid, "inference request batch-size must be <= %d for model %s, input %s has %d", m.MaxBatch, quote(m.Name), quote(m.Inputs[index].Name), n)
	case b.rowsOf < 0:
		b.rowsOf, b.req.Rows = index, n
	case n != b.req.Rows && !m.AnyRows: // where any go, such a request runs by itself
		return infer.Errorf(infer.Invalid, "input %s batch size %d does not match that of input %s, %d, for model %s", quote(m.Inputs[index].Name), n, quote(m.Inputs[b.rowsOf].Name), b.req.Rows, quote(m.Name))
	}
	return nil
}

// byteSize returns the bytes of a tensor of fixed-size elements, or of the least that BYTES can take.
func (b *binder) byteSize(t *infer.Input) (int64, *infer.Error) {
	n, err := tensor.ByteSize(t.DType, t.Shape)
	if err != nil {
		return 0, b.badInput(t, err.Error())
	}
	return n, nil
}

// checkSize checks the bytes of a tensor that is sliced from the body.
func (b *binder) checkSize(t *infer.Input, got int64) *infer.Error {
	size, err := b.byteSize(t)
	if err != nil {
		return err
	}
	least := ""
	if t.DType == tensor.Bytes {
		least = "at least "
	}
	if got < size || got > size && t.DType != tensor.Bytes {
		return infer.Errorf(infer.Invalid, "input %s of model %s: shape %s of data type %s: expected %s%d bytes, got %d", b.nameOf(t), quote(b.model.Name), tensor.ShapeString(t.Shape), t.DType, least, size, got)
	}
	return nil
}

// charge counts the bytes of a tensor that is not sliced from the body.
func (b *binder) charge(size int64) *infer.Error {
	if b.limit > 0 && size > b.limit-b.decoded {
		return infer.Errorf(infer.TooLarge, "the inputs for model %s take more than the limit of %d bytes once decoded", quote(b.model.Name), b.limit)
	}
	b.decoded += size
	return nil
}

// checkData checks the content of binary data: of most types every bit pattern is a value.
func (b *binder) checkData(t *infer.Input, want int64) *infer.Error {
	switch t.DType {
	case tensor.Bytes:
		n, err := tensor.CountBytes(&t.Data)
		switch {
		case err != nil:
			return b.badInput(t, err.Error())
		case n != want:
			return infer.Errorf(infer.Invalid, "input %s of model %s: shape %s needs %d elements, got %d", b.nameOf(t), quote(b.model.Name), tensor.ShapeString(t.Shape), want, n)
		}
	case tensor.Bool:
		at := 0
		for i := range t.Data.Len() {
			data := t.Data.At(i).B
			if j := slices.IndexFunc(data, func(c byte) bool { return c > 1 }); j >= 0 {
				return infer.Errorf(infer.Invalid, "input %s of model %s: element %d of data type BOOL is neither 0 nor 1", b.nameOf(t), quote(b.model.Name), at+j)
			}
			at += len(data)
		}
	}
	return nil
}

// nameOf names an input that has been bound.
func (b *binder) nameOf(t *infer.Input) string { return quote(b.model.Inputs[t.Index].Name) }

func (b *binder) badInput(t *infer.Input, what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "input %s of model %s: %s", b.nameOf(t), quote(b.model.Name), what)
}

// badCount says that the input being read has another number of elements than its shape needs.
func (b *binder) badCount(got string, want int64) *infer.Error {
	return infer.Errorf(infer.Invalid, "input %s of model %s: shape %s needs %d elements, got %s", quote(b.in.name), quote(b.model.Name), tensor.ShapeString(b.in.dims[:b.in.rank]), want, got)
}

var badValues = [...]string{
	valueKind:    "is not a value of data type %s",
	valueRange:   "is out of the range of data type %s",
	valueInteger: "has a fraction or an exponent, which data type %s does not take",
}

func (b *binder) badElement(bad badValue, n int) *infer.Error {
	what := strings.Replace(badValues[bad], "%s", b.in.dtype.String(), 1)
	return infer.Errorf(infer.Invalid, "input %s of model %s: element %d %s", quote(b.in.name), quote(b.model.Name), n, what)
}

// complete checks that nothing is missing.
func (b *binder) complete() *infer.Error {
	m := b.model
	missing := 0
	for i := range m.Inputs {
		if !m.Inputs[i].Optional && !b.has(i) {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	var got, lacks bytes.Buffer
	for i := range m.Inputs {
		switch {
		case b.has(i):
			list(&got, m.Inputs[i].Name)
		case !m.Inputs[i].Optional:
			list(&lacks, m.Inputs[i].Name)
		}
	}
	return infer.Errorf(infer.Invalid, "expected %d inputs but got %d inputs for model %s. Got input(s) [%s], but missing required input(s) [%s]. Please provide all required input(s)",
		len(m.Inputs), len(b.req.Inputs), quote(m.Name), got.Bytes(), lacks.Bytes())
}

func (b *binder) has(index int) bool {
	for i := range b.req.Inputs {
		if b.req.Inputs[i].Index == index {
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

// nameless says that output i of the request has no name.
func (b *binder) nameless(i int) *infer.Error {
	return infer.Errorf(infer.Invalid, "output %d of the request for model %s has no \"name\"", i, quote(b.model.Name))
}

func (b *binder) outputIndex(name []byte) (int, *infer.Error) {
	index := b.model.Output(name)
	if index < 0 {
		return 0, infer.Errorf(infer.Invalid, "unexpected inference output %s for model %s, its outputs are %s", quote(name), quote(b.model.Name), specNames(b.model.Outputs))
	}
	for _, o := range b.req.Outputs {
		if o == index {
			return 0, infer.Errorf(infer.Invalid, "output %s already exists in the request for model %s", quote(name), quote(b.model.Name))
		}
	}
	return index, nil
}

// want asks for an output, whose form is the last of the head.
func (b *binder) want(index int) *infer.Error {
	spec := &b.model.Outputs[index]
	if b.head.Outputs[len(b.head.Outputs)-1].Classes > 0 {
		if !ranks(spec.DType) {
			return cannotClassify(spec, b.model, spec.DType)
		}
		b.req.Classified = append(b.req.Classified, index)
	}
	b.req.Outputs = append(b.req.Outputs, index)
	return nil
}
