package fit

import (
	"slices"
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/tensor"
)

// Answers checks that r has what a request asked for.
func Answers(m *infer.Model, req *infer.Request, r *infer.Response) *infer.Error {
	for _, index := range req.Outputs {
		if OutputAt(r, index) == nil {
			return BadBackend(m, index, Missing)
		}
	}
	return nil
}

// Nonsense says what is wrong with a backend's whole answer.
func Nonsense(m *infer.Model, what string) *infer.Error {
	err := infer.Errorf(infer.BadBackend, "the backend's answer for model %s %s", text.Quote(m.Name), what)
	err.Origin = infer.FromBackend
	return err
}

// BindOutput finds the model's output and checks what was said of it, and adds it to the response. said is what the
// backend calls its data type; classified are the outputs that may come as text in place of numbers.
func BindOutput[T []byte | string](m *infer.Model, r *infer.Response, in *Field, said T, classified []int) (*infer.Output, *infer.Error) {
	index := m.Output(in.Name)
	if index < 0 {
		return nil, Nonsense(m, "has the unexpected output "+text.Quote(in.Name)+", its outputs are "+specNames(m.Outputs))
	}
	if OutputAt(r, index) != nil {
		return nil, BadBackend(m, index, "is in the backend's answer twice")
	}
	spec := &m.Outputs[index]
	classes := in.DType == tensor.Bytes && spec.DType != tensor.Bytes && slices.Contains(classified, index)
	if in.DType != spec.DType && !classes {
		return nil, BadBackend(m, index, "came as data type "+text.Quote(said)+", the model says "+spec.DType.String())
	}
	if in.Bad != "" {
		return nil, BadBackend(m, index, "came with a shape that "+in.Bad)
	}
	shape := in.Dims[:in.Rank]
	if !classes && !fits(shape, spec.Dims, m.MaxBatch > 0) {
		return nil, BadBackend(m, index, "came with shape "+tensor.ShapeString(shape)+", the model says "+tensor.ShapeString(spec.Dims))
	}
	if _, err := tensor.ByteSize(in.DType, shape); err != nil {
		return nil, BadBackend(m, index, "came with a shape of more elements than fit 63 bits")
	}
	o := r.AddOutput()
	o.Index, o.DType = index, in.DType
	o.Shape = r.Dims(len(shape))
	copy(o.Shape, shape)
	return o, nil
}

// CheckSize checks the bytes of an output of fixed-size elements that came.
func CheckSize(m *infer.Model, o *infer.Output, got int) *infer.Error {
	if size, _ := tensor.ByteSize(o.DType, o.Shape); int64(got) != size { // bindOutput has looked at it
		return BadBackend(m, o.Index, "came with shape "+tensor.ShapeString(o.Shape)+" of data type "+o.DType.String()+
			", which takes "+strconv.FormatInt(size, 10)+" bytes, and "+strconv.Itoa(got)+" bytes")
	}
	return nil
}

// CheckOutput checks the data of an output that was sliced from an answer.
func CheckOutput(m *infer.Model, o *infer.Output) *infer.Error {
	if o.DType != tensor.Bytes {
		return CheckSize(m, o, o.Data.Size())
	}
	n, err := tensor.CountBytes(&o.Data)
	if err != nil {
		return BadBackend(m, o.Index, "came with strings whose lengths do not agree with its data")
	}
	return CheckCount(m, o, n)
}

// CheckCount checks the number of elements that came of an output.
func CheckCount(m *infer.Model, o *infer.Output, got int64) *infer.Error {
	if want, _ := tensor.Elements(o.Shape); got != want { // bindOutput has looked at it
		return BadBackend(m, o.Index, "came with shape "+tensor.ShapeString(o.Shape)+" and "+strconv.FormatInt(got, 10)+" elements")
	}
	return nil
}

// OutputAt returns the output of a response that has the place index in the model's, nil if there is none.
func OutputAt(r *infer.Response, index int) *infer.Output {
	for i := range r.Outputs {
		if r.Outputs[i].Index == index {
			return &r.Outputs[i]
		}
	}
	return nil
}

const Missing = "is missing in the backend's answer"

// BadBackend says what is wrong with one output of a backend's answer.
func BadBackend(m *infer.Model, index int, what string) *infer.Error {
	err := infer.Errorf(infer.BadBackend, "output %s of model %s %s", text.Quote(m.Outputs[index].Name), text.Quote(m.Name), what)
	err.Origin = infer.FromBackend
	return err
}

// Cut returns the shape of rows of an output, which may lie in buf. What a backend gave is checked as far as
// that costs nothing; that BYTES are well formed is for the backend's runner to know.
func Cut(m *infer.Model, o *infer.Output, rows infer.Rows, buf *[tensor.MaxRank]int64) ([]int64, *infer.Error) {
	t := &o.Tensor
	size, err := tensor.ByteSize(t.DType, t.Shape)
	if err != nil {
		return nil, BadBackend(m, o.Index, err.Error())
	}
	if t.DType != tensor.Bytes && int64(t.Data.Size()) != size && o.Region == nil {
		return nil, BadBackend(m, o.Index, text.Broken)
	}
	if rows.N < 0 {
		return t.Shape, nil
	}
	if len(t.Shape) == 0 || rows.First+rows.N > t.Shape[0] {
		return nil, BadBackend(m, o.Index, "has fewer rows than were sent")
	}
	shape := buf[:copy(buf[:], t.Shape)]
	shape[0] = rows.N
	return shape, nil
}
