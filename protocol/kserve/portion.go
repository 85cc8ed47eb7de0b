package kserve

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// Answer is a response and what it takes to write it.
type Answer struct {
	Request *infer.Request
	Head    *Head
	// Model is the version that answered.
	Model    *infer.Model
	Response *infer.Response
	// Rows are the ones of the response that answer this request.
	Rows infer.Rows
}

// Count returns how many outputs the answer has.
func (a *Answer) Count() int {
	if n := len(a.Request.Outputs); n > 0 {
		return n
	}
	return len(a.Response.Outputs)
}

// Output returns output i: in the order asked for, or else as the backend gave them. It is nil if the
// backend gave none.
func (a *Answer) Output(i int) *infer.Output {
	if asked := a.Request.Outputs; len(asked) > 0 {
		return fit.OutputAt(a.Response, asked[i])
	}
	return &a.Response.Outputs[i]
}

// classes returns how many classes are to stand in place of o, output i: 0 if it is the tensor that was asked for,
// or if the backend has put classes in its place.
func (a *Answer) classes(i int, o *infer.Output) int {
	if i < len(a.Head.Outputs) && !a.classified(o) {
		return a.Head.Outputs[i].Classes
	}
	return 0
}

// classified tells whether the backend answered with classes in place of a tensor of numbers, which it does only
// where it was asked to.
func (a *Answer) classified(o *infer.Output) bool {
	return a.Response.Encoding != infer.NoEncoding && o.DType == tensor.Bytes && a.Model.Outputs[o.Index].DType != tensor.Bytes
}

func cannotClassify(spec *infer.Spec, m *infer.Model, d tensor.DType) *infer.Error {
	return infer.Errorf(infer.Invalid, "output %s of model %s cannot be classified: its data type is %s", text.Quote(spec.Name), text.Quote(m.Name), d)
}

// A Portion is what of an output answers one request: its rows, or the classes that were asked for. Both
// encodings write it.
type Portion struct {
	Pool  *slab.Pool
	r     text.Reader
	Part  slab.List
	shape [tensor.MaxRank]int64

	// Of a classification.
	top    []ranked
	made   slab.List
	labels text.Writer
}

// portion keeps the field unexported where a Portion is embedded.
type portion = Portion

// cut returns the shape of the answer's rows of an output, which is good until the next one is cut.
func (p *Portion) cut(a *Answer, o *infer.Output) ([]int64, *infer.Error) {
	return fit.Cut(a.Model, o, a.Rows, &p.shape)
}

// Take sets p.part to what answers the request of the output, whose form stands at place i of the head.
func (p *Portion) Take(a *Answer, i int, o *infer.Output) (tensor.DType, []int64, *infer.Error) {
	shape, err := p.cut(a, o)
	if err != nil {
		return 0, nil, err
	}
	p.Part.Release()
	a.Rows.Append(&p.Part, &o.Tensor)
	k := a.classes(i, o)
	if k == 0 {
		return o.DType, shape, nil
	}
	spec := &a.Model.Outputs[o.Index]
	if !ranks(o.DType) {
		return 0, nil, cannotClassify(spec, a.Model, o.DType)
	}
	return tensor.Bytes, p.classify(spec, o.DType, shape, k, a.Model), nil
}
