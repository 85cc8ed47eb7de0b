package rest

import (
	"encoding/binary"
	"math"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/tensor"
)

// raw takes the whole body as the data of the model's only input, for a batch of one row. All outputs are
// to be binary.
func (d *Decoder) raw() *infer.Error {
	m := d.Model
	if len(m.Inputs) != 1 {
		return infer.Errorf(infer.Invalid, "a raw binary request needs a model with one input, model %s has %d", text.Quote(m.Name), len(m.Inputs))
	}
	d.Head.Binary = true
	spec := &m.Inputs[0]
	in := &d.In
	*in = fit.Field{Name: []byte(spec.Name), HasName: true, DType: spec.DType, Rank: len(spec.Dims)}
	size := int64(d.src.Body.Size())
	if err := d.rawShape(spec, size); err != nil {
		return err
	}
	t, want, err := d.Bind()
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
	d.Req.Bytes = size
	return d.CheckData(t, want)
}

// rawShape works out the shape of a raw request: at most one dimension may be free, and its length follows
// from the size of the body.
func (d *Decoder) rawShape(spec *infer.Spec, size int64) *infer.Error {
	in, m := &d.In, d.Model
	if in.Rank > tensor.MaxRank {
		return infer.Errorf(infer.Invalid, "input %s of model %s has more than %d dimensions", text.Quote(spec.Name), text.Quote(m.Name), tensor.MaxRank)
	}
	free := -1
	for i, n := range spec.Dims {
		switch {
		case i == 0 && m.MaxBatch > 0:
			n = 1
		case n < 0 && spec.DType == tensor.Bytes:
			n = 1
		case n < 0 && free >= 0:
			return infer.Errorf(infer.Invalid, "a raw binary request needs an input with at most one free dimension, input %s of model %s has shape %s", text.Quote(spec.Name), text.Quote(m.Name), tensor.ShapeString(spec.Dims))
		case n < 0:
			n, free = 1, i
		}
		in.Dims[i] = n
	}
	least, err := tensor.ByteSize(spec.DType, in.Dims[:in.Rank])
	switch {
	case err != nil:
		return infer.Errorf(infer.Invalid, "input %s of model %s: %s", text.Quote(spec.Name), text.Quote(m.Name), err)
	case spec.DType == tensor.Bytes:
		if least != 4 || size > math.MaxUint32 {
			return infer.Errorf(infer.Invalid, "a raw binary request needs an input of one string of less than 4 GiB, input %s of model %s has shape %s", text.Quote(spec.Name), text.Quote(m.Name), tensor.ShapeString(spec.Dims))
		}
	case free >= 0 && least > 0 && size%least == 0:
		in.Dims[free] = size / least
	case size != least:
		return infer.Errorf(infer.Invalid, "input %s of model %s: a row of shape %s takes %d bytes, got %d", text.Quote(spec.Name), text.Quote(m.Name), tensor.ShapeString(spec.Dims), least, size)
	}
	return nil
}
