package kserve

import (
	"github.com/sluice-serving/sluice/infer"
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

// count returns how many outputs the answer has.
func (a *Answer) count() int {
	if n := len(a.Request.Outputs); n > 0 {
		return n
	}
	return len(a.Response.Outputs)
}

// output returns output i: in the order asked for, or else as the backend gave them. It is nil if the
// backend gave none.
func (a *Answer) output(i int) *infer.Output {
	if asked := a.Request.Outputs; len(asked) > 0 {
		return outputAt(a.Response, asked[i])
	}
	return &a.Response.Outputs[i]
}

// outputAt returns the output of a response that has the place index in the model's, nil if there is none.
func outputAt(r *infer.Response, index int) *infer.Output {
	for i := range r.Outputs {
		if r.Outputs[i].Index == index {
			return &r.Outputs[i]
		}
	}
	return nil
}

const missing = "is missing in the backend's answer"

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
	return a.Response.Encoding == infer.KServeGRPC && o.DType == tensor.Bytes && a.Model.Outputs[o.Index].DType != tensor.Bytes
}

func cannotClassify(spec *infer.Spec, m *infer.Model, d tensor.DType) *infer.Error {
	return infer.Errorf(infer.Invalid, "output %s of model %s cannot be classified: its data type is %s", quote(spec.Name), quote(m.Name), d)
}

func badBackend(m *infer.Model, index int, what string) *infer.Error {
	err := infer.Errorf(infer.BadBackend, "output %s of model %s %s", quote(m.Outputs[index].Name), quote(m.Name), what)
	err.Origin = infer.FromBackend
	return err
}

const broken = "has data that does not agree with its shape"

// A portion is what of an output answers one request: its rows, or the classes that were asked for. Both
// encodings write it.
type portion struct {
	pool  *slab.Pool
	r     reader
	part  slab.List
	shape [tensor.MaxRank]int64

	// Of a classification.
	top    []ranked
	made   slab.List
	labels writer
}

// cut returns the shape of the answer's rows of an output, which is good until the next one is cut. What a
// backend gave is checked as far as that costs nothing; that BYTES are well formed is for the backend's runner
// to know.
func (p *portion) cut(a *Answer, o *infer.Output) ([]int64, *infer.Error) {
	t := &o.Tensor
	size, err := tensor.ByteSize(t.DType, t.Shape)
	if err != nil {
		return nil, badBackend(a.Model, o.Index, err.Error())
	}
	if t.DType != tensor.Bytes && int64(t.Data.Size()) != size {
		return nil, badBackend(a.Model, o.Index, broken)
	}
	if a.Rows.N < 0 {
		return t.Shape, nil
	}
	if len(t.Shape) == 0 || a.Rows.First+a.Rows.N > t.Shape[0] {
		return nil, badBackend(a.Model, o.Index, "has fewer rows than were sent")
	}
	shape := p.shape[:copy(p.shape[:], t.Shape)]
	shape[0] = a.Rows.N
	return shape, nil
}

// take sets p.part to what answers the request of the output, whose form stands at place i of the head.
func (p *portion) take(a *Answer, i int, o *infer.Output) (tensor.DType, []int64, *infer.Error) {
	shape, err := p.cut(a, o)
	if err != nil {
		return 0, nil, err
	}
	p.part.Release()
	a.Rows.Append(&p.part, &o.Tensor)
	k := a.classes(i, o)
	if k == 0 {
		return o.DType, shape, nil
	}
	spec := &a.Model.Outputs[o.Index]
	if !ranks(o.DType) {
		return 0, nil, cannotClassify(spec, a.Model, o.DType)
	}
	return tensor.Bytes, p.classify(spec, o.DType, shape, k, a.Model.MaxBatch > 0), nil
}
