package kserve

import (
	"bytes"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

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
	case n != d.req.Rows && !m.AnyRows: // where any go, such a request runs by itself
		return infer.Errorf(infer.Invalid, "input %s batch size %d does not match that of input %s, %d, for model %s", quote(m.Inputs[index].Name), n, quote(m.Inputs[d.rowsOf].Name), d.req.Rows, quote(m.Name))
	}
	return nil
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
