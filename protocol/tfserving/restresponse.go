package tfserving

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
)

// A PredictionsDecoder reads the answers of a backend to Predict over REST, row by row. It keeps scratch memory between
// them and belongs to one goroutine at a time.
//
// A row says neither type nor shape: the model gives the one, the first row the other, and what disagrees with either is
// none.
type PredictionsDecoder struct {
	valueReader
	resp    *infer.Response
	only    int      // the output that is meant where rows have no names, -1: there are several
	columns []column // as far as they have been read
}

// NewPredictionsDecoder returns a decoder that takes the memory for tensors from pool.
func NewPredictionsDecoder(pool *slab.Pool) *PredictionsDecoder {
	d := &PredictionsDecoder{valueReader: valueReader{pool: pool, answer: true}}
	d.s.Members = text.ManyMembers
	return d
}

// Decode reads the answer to a batch into r, which must be new. Nothing of r points into body. After an error, r is in
// order and to be released as usual.
func (d *PredictionsDecoder) Decode(b *infer.Batch, body *slab.List, r *infer.Response) *infer.Error {
	d.of, d.specs, d.resp, d.only = b.Model, b.Model.Outputs, r, -1
	if asked := b.Members[0].Call.Request.Outputs; len(asked) == 1 {
		d.only = asked[0] // the only one of a signature
	} else if len(d.specs) == 1 {
		d.only = 0
	}
	if n := len(d.specs); cap(d.columns) < n {
		d.columns = make([]column, 0, n)
	}
	text, spare := flat(body, d.pool)
	d.s.Reset(text)
	err := d.document()
	for i := range d.columns {
		d.columns[i].drop()
	}
	d.columns = d.columns[:0]
	d.of, d.specs, d.resp = nil, nil, nil
	d.s.Reset(nil)
	if spare != nil {
		spare.Release()
	}
	for i := 0; i < len(b.Members) && err == nil; i++ {
		err = fit.Answers(b.Model, b.Members[i].Call.Request, r)
	}
	return err
}

func (d *PredictionsDecoder) document() *infer.Error {
	s := &d.s
	seen := false
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		if string(key) != "predictions" {
			s.Skip()
			continue
		}
		seen = true
		if err := d.predictions(); err != nil {
			return err
		}
	}
	switch {
	case !s.End():
		return d.fault()
	case !seen:
		return fit.Nonsense(d.of, `has no "predictions"`)
	case len(d.columns) == 0:
		return fit.Nonsense(d.of, "has predictions without outputs")
	}
	for i := range d.columns {
		if err := d.bind(&d.columns[i]); err != nil {
			return err
		}
	}
	return nil
}

// column returns the column of an output.
func (d *PredictionsDecoder) column(index int) *column {
	for i := range d.columns {
		if d.columns[i].index == index {
			return &d.columns[i]
		}
	}
	d.columns = d.columns[:len(d.columns)+1]
	c := &d.columns[len(d.columns)-1]
	c.start(index, d.specs[index].DType, (len(d.s.Text)-d.s.Pos)/len(d.specs))
	return c
}

// predictions reads the rows. All are objects, or none is.
func (d *PredictionsDecoder) predictions() *infer.Error {
	s := &d.s
	if s.Peek() != '[' {
		return fit.Nonsense(d.of, `has "predictions" that are no list`)
	}
	if !d.isObject(s.Pos + 1) {
		if d.only < 0 {
			return fit.Nonsense(d.of, "has predictions without names, but the model has several outputs")
		}
		return d.value(d.column(d.only))
	}
	s.Open('[')
	for n := 0; s.More(); n++ {
		if !d.isObject(s.Pos) {
			return fit.Nonsense(d.of, "has predictions some of which are objects")
		}
		if err := d.prediction(n); err != nil {
			return err
		}
	}
	if s.Failed() {
		return d.fault()
	}
	return nil
}

// prediction reads row n, of named values: those of the first row.
func (d *PredictionsDecoder) prediction(n int) *infer.Error {
	s := &d.s
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		index := d.of.Output(key)
		if index < 0 {
			return fit.Nonsense(d.of, "has the unexpected output "+text.Quote(key))
		}
		c := d.column(index)
		if c.named = true; c.rows != n {
			return d.wrong(c, "is not in every prediction")
		}
		if err := d.value(c); err != nil {
			return err
		}
	}
	if s.Failed() {
		return d.fault()
	}
	for i := range d.columns {
		if c := &d.columns[i]; c.rows != n+1 {
			return d.wrong(c, "is not in every prediction")
		}
	}
	return nil
}

// bind makes an output of a column, whose data agrees with its shape.
func (d *PredictionsDecoder) bind(c *column) *infer.Error {
	in := fit.Field{Name: text.BytesOf(d.specs[c.index].Name), HasName: true, DType: c.dtype}
	if c.named {
		in.AddDim(int64(c.rows))
	}
	for _, n := range c.dims[:max(c.rank, 0)] {
		in.AddDim(max(n, 0))
	}
	o, err := fit.BindOutput(d.of, d.resp, &in, c.dtype.String(), nil)
	if err != nil {
		return err
	}
	c.flush()
	o.Data.Take(&c.data)
	return fit.CheckOutput(d.of, o)
}
