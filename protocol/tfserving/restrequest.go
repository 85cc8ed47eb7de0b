package tfserving

import (
	"slices"
	"strings"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// An InstancesEncoder writes Predict requests to a backend over REST, row by row. It keeps scratch memory between them and
// belongs to one goroutine at a time.
type InstancesEncoder struct {
	pool *slab.Pool
	valueWriter
	m message.Merger
}

// NewInstancesEncoder returns an encoder that takes the memory for text from pool.
func NewInstancesEncoder(pool *slab.Pool) *InstancesEncoder { return &InstancesEncoder{pool: pool} }

// Encode writes the request of a batch to out, which must be empty. The model's name and version are the path's to say.
// After an error, out is empty.
func (e *InstancesEncoder) Encode(b *infer.Batch, out *slab.List) *infer.Error {
	rows, hint, err := e.prepare(b)
	if err == nil {
		e.w.Start(e.pool, out, hint)
		err = e.instances(b, rows)
		e.w.Flush()
	}
	e.drop()
	if err != nil {
		out.Release()
	}
	return err
}

// prepare takes the inputs, all of which have as many rows, and estimates how much text they make.
func (e *InstancesEncoder) prepare(b *infer.Batch) (rows int64, hint int, err *infer.Error) {
	inputs := b.Members[0].Call.Request.Inputs
	e.values = slices.Grow(e.values, len(inputs))
	for i := range inputs {
		in := &inputs[i]
		e.values = e.values[:i+1]
		v := &e.values[i]
		v.name, v.index, v.dtype = b.Model.Inputs[in.Index].Name, in.Index, in.DType
		v.b64 = v.dtype == tensor.Bytes && strings.HasSuffix(v.name, bytesSuffix)
		if len(in.Shape) == 0 {
			return 0, 0, onlyRows(infer.Unsupported, b.Model, v, "is one value and has no rows")
		}
		v.shape = v.dims[:copy(v.dims[:], in.Shape)]
		v.shape[0] = e.m.Measure(b.Members, in).Rows
		switch {
		case i == 0:
			rows = v.shape[0]
		case v.shape[0] != rows:
			return 0, 0, onlyRows(infer.Invalid, b.Model, v, "has another number of rows than others")
		}
		if rows == 0 {
			return 0, 0, onlyRows(infer.Invalid, b.Model, v, "has no rows")
		}
		e.m.Append(&v.data, b.Members, in.Index)
		if lists(v.shape) > maxEmpty && v.data.Size() == 0 {
			return 0, 0, onlyRows(infer.Invalid, b.Model, v, "has a shape that is too large for an input without elements")
		}
		v.r.Start(&v.data)
		hint += 64 + 3*v.data.Size() // an FP32 takes about twelve characters
	}
	return rows, hint, nil
}

// onlyRows refuses an input that the form has no place for.
func onlyRows(code infer.Code, m *infer.Model, v *values, what string) *infer.Error {
	err := infer.Errorf(code, "input %s of model %s %s, and the model's server takes tensors only row by row, as JSON", text.Quote(v.name), text.Quote(m.Name), what)
	err.Origin = infer.FromGateway
	return err
}

func (e *InstancesEncoder) instances(b *infer.Batch, rows int64) *infer.Error {
	w := &e.w
	w.Text("{")
	if name := signatureOf(b.Members[0].Call.Request); len(name) > 0 {
		w.Text(`"signature_name":`)
		w.Quoted(name)
		w.Text(",")
	}
	w.Text(`"instances":[`)
	for row := range rows {
		if row > 0 {
			w.Text(",")
		}
		switch v, what := e.all(len(b.Model.Inputs) != 1, 1); what {
		case "":
		case text.NotText:
			return onlyRows(infer.Invalid, b.Model, v, "holds bytes that are not UTF-8, which only inputs whose names end in "+bytesSuffix+" may")
		default:
			panic("BUG: tfserving: an input of a decoded request " + what)
		}
	}
	w.Text("]}")
	return nil
}
