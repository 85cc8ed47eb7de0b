package tfserving

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
)

// Form is how a Predict over REST lays its tensors out, and its answer, too.
type Form uint8

// The forms.
const (
	Rows    Form = iota // "instances" and "predictions": one value for each row
	Columns             // "inputs" and "outputs": one value for each tensor
)

// A Decoder reads Predict requests that came over REST. It keeps scratch memory between them and belongs to one
// goroutine at a time.
type Decoder struct {
	valueReader
	caller
	columns []column // by the places of the model's inputs, as far as it has been read
}

// NewDecoder returns a decoder that takes the memory for tensors from pool.
func NewDecoder(pool *slab.Pool) *Decoder {
	d := &Decoder{valueReader: valueReader{pool: pool}}
	d.s.Members = text.ManyMembers
	d.charge = d.Charge
	return d
}

// Decode reads a request into req, which must be new, and returns the form that its answer is to have. Nothing of req
// points into the body. After an error, req is in order and to be released as usual.
func (d *Decoder) Decode(src Source, req *infer.Request) (Form, *infer.Error) {
	d.caller = caller{}
	d.Begin(src.Model, req, src.MaxBytes)
	d.of, d.specs = src.Model, src.Model.Inputs
	if n := len(src.Model.Inputs); cap(d.columns) < n {
		d.columns = make([]column, 0, n)
	}
	b, spare := flat(src.Body, d.pool)
	d.s.Reset(b)
	d.s.Of = src.Model.Name
	form, err := d.document()
	for i := range d.columns {
		d.columns[i].drop()
	}
	d.columns, d.caller = d.columns[:0], caller{}
	d.of, d.specs = nil, nil
	d.s.Reset(nil)
	if spare != nil {
		spare.Release()
	}
	return form, err
}

// flat returns a body in one run. If it lies in several slabs it copies them into one that the caller releases.
func flat(body *slab.List, pool *slab.Pool) ([]byte, *slab.Slab) {
	if b, ok := body.Contiguous(); ok {
		return b, nil
	}
	spare := pool.Get(body.Size())
	b := spare.Bytes()[:body.Size()]
	body.CopyTo(b)
	return b, spare
}

// document reads a whole request.
func (d *Decoder) document() (form Form, err *infer.Error) {
	if d.Model.Decoupled {
		return 0, infer.Errorf(infer.Unsupported, "model %s may send any number of answers to a request, which predict does not support", text.Quote(d.Model.Name))
	}
	s := &d.s
	at := [2]int{-1, -1} // of the values, by their form
	var signature []byte
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		switch string(key) {
		case "signature_name":
			signature, err = d.signature()
		case "instances":
			at[Rows], err = d.values(Rows)
		case "inputs":
			at[Columns], err = d.values(Columns)
		default:
			s.Skip()
		}
		if err != nil {
			return 0, err
		}
	}
	if !s.End() {
		return 0, s.Fault()
	}
	if err := d.choose(signature); err != nil {
		return 0, err
	}
	switch {
	case at[Rows] >= 0 && at[Columns] >= 0:
		return 0, infer.Errorf(infer.Invalid, "the request for model %s has both \"instances\" and \"inputs\", it must have one of them", text.Quote(d.Model.Name))
	case at[Rows] < 0 && at[Columns] < 0:
		return 0, infer.Errorf(infer.Invalid, "the request for model %s has neither \"instances\" nor \"inputs\"", text.Quote(d.Model.Name))
	case at[Columns] >= 0:
		form = Columns
	}
	if d.Model.Signatures != nil {
		s.Pos = at[form]
		err = d.read(form)
	}
	if err == nil {
		err = d.take()
	}
	return form, err
}

func (d *Decoder) signature() ([]byte, *infer.Error) {
	s := &d.s
	if s.Peek() != '"' {
		return nil, infer.Errorf(infer.Invalid, "the request for model %s has a \"signature_name\" that is no string", text.Quote(d.Model.Name))
	}
	name, ok := s.String()
	if !ok {
		return nil, s.Fault()
	}
	return name, nil
}

// values reads the values of a request and returns where they stand. Where the model has several signatures they are
// passed over, to be read when the signature's name is known, which may come behind them; and so are values of a second
// form, which is refused.
func (d *Decoder) values(form Form) (at int, err *infer.Error) {
	s := &d.s
	s.Peek()
	at = s.Pos
	if d.Model.Signatures == nil && len(d.columns) == 0 {
		return at, d.read(form)
	}
	s.Nonfinite = true
	s.Skip()
	s.Nonfinite = false
	return at, nil
}

// read reads the values at the scanner's place.
func (d *Decoder) read(form Form) *infer.Error {
	if form == Rows {
		return d.instances()
	}
	return d.tensors()
}

// column returns the column of an input.
func (d *Decoder) column(index int) *column {
	for i := range d.columns {
		if d.columns[i].index == index {
			return &d.columns[i]
		}
	}
	d.columns = d.columns[:len(d.columns)+1]
	c := &d.columns[len(d.columns)-1]
	c.start(index, d.Model.Inputs[index].DType, (len(d.s.Text)-d.s.Pos)/d.inputs())
	return c
}

// only returns the input of a signature that has one.
func (d *Decoder) only(key string) (*column, *infer.Error) {
	if n := d.inputs(); n != 1 {
		return nil, infer.Errorf(infer.Invalid, "\"%s\" has values without names, but model %s has %d inputs: name them in objects", key, text.Quote(d.Model.Name), n)
	}
	return d.column(d.input(0)), nil
}

// named returns the column of the input that a key names.
func (d *Decoder) named(key []byte) (*column, *infer.Error) {
	d.In.Name = key
	index := d.Model.Input(key)
	if index < 0 {
		return nil, d.Unexpected()
	}
	if err := d.expected(); err != nil {
		return nil, err
	}
	return d.column(index), nil
}

// instances reads the rows. All are objects, or none is.
func (d *Decoder) instances() *infer.Error {
	s := &d.s
	if s.Peek() != '[' {
		return infer.Errorf(infer.Invalid, "the request for model %s has \"instances\" that are no list", text.Quote(d.Model.Name))
	}
	if d.at(d.space(s.Pos+1)) == ']' {
		return infer.Errorf(infer.Invalid, "no values in \"instances\"")
	}
	if !d.isObject(s.Pos + 1) {
		// Rows without names are the tensor itself.
		c, err := d.only("instances")
		if err != nil {
			return err
		}
		return d.value(c)
	}
	s.Open('[')
	for n := 0; s.More(); n++ {
		if !d.isObject(s.Pos) {
			return infer.Errorf(infer.Invalid, "instance %d for model %s is not an object, those before it are", n, text.Quote(d.Model.Name))
		}
		if err := d.instance(n); err != nil {
			return err
		}
	}
	if s.Failed() {
		return s.Fault()
	}
	return nil
}

// instance reads one row of named values.
func (d *Decoder) instance(n int) *infer.Error {
	s := &d.s
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		c, err := d.named(key)
		if err != nil {
			return err
		}
		if c.named = true; c.rows != n {
			return d.missing(c.index, c.rows)
		}
		if err := d.value(c); err != nil {
			return err
		}
	}
	if s.Failed() {
		return s.Fault()
	}
	for i := range d.inputs() {
		index := d.input(i)
		if c := d.column(index); c.rows != n+1 && (c.rows > 0 || n == 0 && !d.Model.Inputs[index].Optional) {
			return d.missing(index, n)
		}
	}
	return nil
}

func (d *Decoder) nameAt(index int) string { return text.Quote(d.Model.Inputs[index].Name) }

func (d *Decoder) missing(index, row int) *infer.Error {
	return infer.Errorf(infer.Invalid, "instance %d has no value for input %s of model %s", row, d.nameAt(index), text.Quote(d.Model.Name))
}

// tensors reads the columns: an object, or the value of the only input.
func (d *Decoder) tensors() *infer.Error {
	s := &d.s
	if s.Peek(); !d.isObject(s.Pos) {
		c, err := d.only("inputs")
		if err != nil {
			return err
		}
		return d.value(c)
	}
	s.Open('{')
	for key, ok := s.Key(); ok; key, ok = s.Key() {
		if d.Model.Input(key) < 0 {
			s.Skip() // as TensorFlow Serving does
			continue
		}
		c, err := d.named(key)
		if err == nil {
			err = d.value(c)
		}
		if err != nil {
			return err
		}
	}
	if s.Failed() {
		return s.Fault()
	}
	return nil
}

// take makes inputs of the columns.
func (d *Decoder) take() *infer.Error {
	for i := range d.columns {
		if c := &d.columns[i]; c.rows > 0 {
			if err := d.bind(c); err != nil {
				return err
			}
		}
	}
	return d.whole()
}

// bind makes an input of a column, whose data agrees with its shape.
func (d *Decoder) bind(c *column) *infer.Error {
	d.In = fit.Field{Name: text.BytesOf(d.Model.Inputs[c.index].Name), HasName: true, DType: c.dtype}
	if c.named {
		d.In.AddDim(int64(c.rows))
	}
	for _, n := range c.dims[:c.rank] {
		d.In.AddDim(n)
	}
	if d.In.Bad != "" {
		return d.BadShape(d.In.Bad)
	}
	if err := d.Charge(int64(len(c.buf))); err != nil {
		return err
	}
	t, _, err := d.Bind()
	if err != nil {
		return err
	}
	c.flush()
	t.Data.Take(&c.data)
	d.Req.Bytes += int64(t.Data.Size())
	return nil
}
