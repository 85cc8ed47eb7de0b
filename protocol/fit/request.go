package fit

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/tensor"
)

// A Binder holds what a request says against the model that it asks for, and fills in the request.
type Binder struct {
	Model *infer.Model
	Req   *infer.Request
	In    Field // the input being read

	limit   int64 // of decoded; 0: none
	decoded int64 // bytes of the tensors that are not sliced from the body
	rowsOf  int   // the input that set the request's rows, -1 before one has
}

// A Field is an input, or an output, as far as it has been read.
type Field struct {
	Name    []byte
	HasName bool
	DType   tensor.DType
	Rank    int
	Dims    [tensor.MaxRank]int64
	Bad     string // what is wrong with its shape
}

// AddDim adds a dimension to the shape.
func (f *Field) AddDim(n int64) {
	switch {
	case n < 0:
		f.Bad = "has a negative dimension"
	case f.Rank == tensor.MaxRank:
		f.Bad = "has more than 32 dimensions"
	default:
		f.Dims[f.Rank] = n
		f.Rank++
	}
}

// Begin starts a request. maxBytes bounds the bytes of all tensors that are not sliced from the body, 0: it does
// not.
func (b *Binder) Begin(model *infer.Model, req *infer.Request, maxBytes int64) {
	*b = Binder{Model: model, Req: req, limit: maxBytes, rowsOf: -1}
	req.Rows = 1
}

// BadShape says what is wrong with the shape of the input being read.
func (b *Binder) BadShape(what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "the shape of input %s of model %s %s", b.InputName(), text.Quote(b.Model.Name), what)
}

// InputName names the input being read: by its place where it has not said its name.
func (b *Binder) InputName() string {
	if b.In.HasName {
		return text.Quote(b.In.Name)
	}
	return "number " + strconv.Itoa(len(b.Req.Inputs))
}

// Lacks says that the input being read has no member of that name.
func (b *Binder) Lacks(member string) *infer.Error {
	return infer.Errorf(infer.Invalid, "input %s of the request for model %s has no \"%s\"", b.InputName(), text.Quote(b.Model.Name), member)
}

// Bind finds the model's input and checks what was said of it, and adds it to the request.
func (b *Binder) Bind() (t *infer.Input, elements int64, err *infer.Error) {
	in, m := &b.In, b.Model
	index := m.Input(in.Name)
	if index < 0 {
		return nil, 0, b.Unexpected()
	}
	if b.Has(index) {
		return nil, 0, infer.Errorf(infer.Invalid, "input %s already exists in the request for model %s", text.Quote(in.Name), text.Quote(m.Name))
	}
	spec := &m.Inputs[index]
	if in.DType != spec.DType {
		return nil, 0, infer.Errorf(infer.Invalid, "inference input %s data-type is '%s', but model %s expects '%s'", text.Quote(in.Name), in.DType, text.Quote(m.Name), spec.DType)
	}
	shape := in.Dims[:in.Rank]
	// Where any number of rows goes, a first axis that is not free is none of rows.
	if !fits(shape, spec.Dims, m.MaxBatch > 0 && !m.AnyRows) {
		return nil, 0, infer.Errorf(infer.Invalid, "unexpected shape for input %s for model %s. Expected %s, got %s", text.Quote(in.Name), text.Quote(m.Name), tensor.ShapeString(spec.Dims), tensor.ShapeString(shape))
	}
	elements, e := tensor.Elements(shape)
	if e != nil {
		return nil, 0, infer.Errorf(infer.Invalid, "input %s of model %s: %s", text.Quote(in.Name), text.Quote(m.Name), e)
	}
	if err := b.rows(shape, index); err != nil {
		return nil, 0, err
	}
	t = b.Req.AddInput()
	t.Index, t.DType = index, in.DType
	t.Shape = b.Req.Dims(in.Rank)
	copy(t.Shape, shape)
	return t, elements, nil
}

// Unexpected says that the model has no input of the name that was read.
func (b *Binder) Unexpected() *infer.Error {
	return infer.Errorf(infer.Invalid, "unexpected inference input %s for model %s, its inputs are %s", text.Quote(b.In.Name), text.Quote(b.Model.Name), specNames(b.Model.Inputs))
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
func (b *Binder) rows(shape []int64, index int) *infer.Error {
	m := b.Model
	if m.MaxBatch <= 0 || len(shape) == 0 {
		return nil
	}
	n := shape[0]
	switch {
	case n > m.MaxBatch && !m.AnyRows:
		return infer.Errorf(infer.Invalid, "inference request batch-size must be <= %d for model %s, input %s has %d", m.MaxBatch, text.Quote(m.Name), text.Quote(m.Inputs[index].Name), n)
	case b.rowsOf < 0:
		b.rowsOf, b.Req.Rows = index, n
	case n != b.Req.Rows && !m.AnyRows: // where any go, such a request runs by itself
		return infer.Errorf(infer.Invalid, "input %s batch size %d does not match that of input %s, %d, for model %s", text.Quote(m.Inputs[index].Name), n, text.Quote(m.Inputs[b.rowsOf].Name), b.Req.Rows, text.Quote(m.Name))
	}
	return nil
}

// ByteSize returns the bytes of a tensor of fixed-size elements, or of the least that BYTES can take.
func (b *Binder) ByteSize(t *infer.Input) (int64, *infer.Error) {
	n, err := tensor.ByteSize(t.DType, t.Shape)
	if err != nil {
		return 0, b.BadInput(t, err.Error())
	}
	return n, nil
}

// CheckSize checks the bytes of a tensor that is sliced from the body.
func (b *Binder) CheckSize(t *infer.Input, got int64) *infer.Error {
	size, err := b.ByteSize(t)
	if err != nil {
		return err
	}
	least := ""
	if t.DType == tensor.Bytes {
		least = "at least "
	}
	if got < size || got > size && t.DType != tensor.Bytes {
		return infer.Errorf(infer.Invalid, "input %s of model %s: shape %s of data type %s: expected %s%d bytes, got %d", b.NameOf(t), text.Quote(b.Model.Name), tensor.ShapeString(t.Shape), t.DType, least, size, got)
	}
	return nil
}

// Charge counts the bytes of a tensor that is not sliced from the body.
func (b *Binder) Charge(size int64) *infer.Error {
	if b.limit > 0 && size > b.limit-b.decoded {
		return infer.Errorf(infer.TooLarge, "the inputs for model %s take more than the limit of %d bytes once decoded", text.Quote(b.Model.Name), b.limit)
	}
	b.decoded += size
	return nil
}

// CheckData checks the content of binary data: of most types every bit pattern is a value.
func (b *Binder) CheckData(t *infer.Input, want int64) *infer.Error {
	switch t.DType {
	case tensor.Bytes:
		n, err := tensor.CountBytes(&t.Data)
		switch {
		case err != nil:
			return b.BadInput(t, err.Error())
		case n != want:
			return infer.Errorf(infer.Invalid, "input %s of model %s: shape %s needs %d elements, got %d", b.NameOf(t), text.Quote(b.Model.Name), tensor.ShapeString(t.Shape), want, n)
		}
	case tensor.Bool:
		at := 0
		for i := range t.Data.Len() {
			data := t.Data.At(i).B
			if j := slices.IndexFunc(data, func(c byte) bool { return c > 1 }); j >= 0 {
				return infer.Errorf(infer.Invalid, "input %s of model %s: element %d of data type BOOL is neither 0 nor 1", b.NameOf(t), text.Quote(b.Model.Name), at+j)
			}
			at += len(data)
		}
	}
	return nil
}

// NameOf names an input that has been bound.
func (b *Binder) NameOf(t *infer.Input) string { return text.Quote(b.Model.Inputs[t.Index].Name) }

// BadInput says what is wrong with an input that has been bound.
func (b *Binder) BadInput(t *infer.Input, what string) *infer.Error {
	return infer.Errorf(infer.Invalid, "input %s of model %s: %s", b.NameOf(t), text.Quote(b.Model.Name), what)
}

// BadCount says that the input being read has another number of elements than its shape needs.
func (b *Binder) BadCount(got string, want int64) *infer.Error {
	return infer.Errorf(infer.Invalid, "input %s of model %s: shape %s needs %d elements, got %s", text.Quote(b.In.Name), text.Quote(b.Model.Name), tensor.ShapeString(b.In.Dims[:b.In.Rank]), want, got)
}

var badValues = [...]string{
	text.ValueKind:    "is not a value of data type %s",
	text.ValueRange:   "is out of the range of data type %s",
	text.ValueInteger: "has a fraction or an exponent, which data type %s does not take",
}

// WhyBad says why an element is none of its type.
func WhyBad(bad text.BadValue, d tensor.DType) string {
	return strings.Replace(badValues[bad], "%s", d.String(), 1)
}

// BadElement says that element n of the input being read is none of its type.
func (b *Binder) BadElement(bad text.BadValue, n int) *infer.Error {
	return infer.Errorf(infer.Invalid, "input %s of model %s: element %d %s", text.Quote(b.In.Name), text.Quote(b.Model.Name), n, WhyBad(bad, b.In.DType))
}

// Complete checks that nothing is missing.
func (b *Binder) Complete() *infer.Error {
	m := b.Model
	missing, required := 0, 0
	for i := range m.Inputs {
		if m.Inputs[i].Optional {
			continue
		}
		required++
		if !b.Has(i) {
			missing++
		}
	}
	if missing == 0 {
		return nil
	}
	expected := strconv.Itoa(len(m.Inputs))
	if required < len(m.Inputs) {
		expected = "between " + strconv.Itoa(required) + " and " + expected
	}
	var got, lacks bytes.Buffer
	for i := range m.Inputs {
		switch {
		case b.Has(i):
			list(&got, m.Inputs[i].Name)
		case !m.Inputs[i].Optional:
			list(&lacks, m.Inputs[i].Name)
		}
	}
	return infer.Errorf(infer.Invalid, "expected %s inputs but got %d inputs for model %s. Got input(s) [%s], but missing required input(s) [%s]. Please provide all required input(s)",
		expected, len(b.Req.Inputs), text.Quote(m.Name), got.Bytes(), lacks.Bytes())
}

// Has tells whether the request has the input at a place in the model's list.
func (b *Binder) Has(index int) bool {
	for i := range b.Req.Inputs {
		if b.Req.Inputs[i].Index == index {
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
	b.WriteString(text.Quote(name))
}

// OutputIndex returns the place of an output that the request asks for, once.
func (b *Binder) OutputIndex(name []byte) (int, *infer.Error) {
	index := b.Model.Output(name)
	if index < 0 {
		return 0, infer.Errorf(infer.Invalid, "unexpected inference output %s for model %s, its outputs are %s", text.Quote(name), text.Quote(b.Model.Name), specNames(b.Model.Outputs))
	}
	for _, o := range b.Req.Outputs {
		if o == index {
			return 0, infer.Errorf(infer.Invalid, "output %s already exists in the request for model %s", text.Quote(name), text.Quote(b.Model.Name))
		}
	}
	return index, nil
}

// specNames lists the names of a model's tensors.
func specNames(specs []infer.Spec) string {
	b := []byte{'['}
	for i := range specs {
		if i > 0 {
			b = append(b, ", "...)
		}
		if len(b) > 1024 {
			b = append(b, "..."...)
			break
		}
		b = append(b, text.Quote(specs[i].Name)...)
	}
	return string(append(b, ']'))
}
