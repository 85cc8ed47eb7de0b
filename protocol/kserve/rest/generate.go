package rest

import (
	"slices"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// A generation reads the body of Triton's generate: one flat object in which members that are called as an input are its
// data, a value or a list of them, and the others are parameters. It writes the same request in the form of the protocol.
type generation struct {
	text.Scanner
	model  *infer.Model
	id     []byte // as it stands in the body, nil if there is none
	inputs []byte
	params []byte
	seen   []string // members, of the body and of its parameters
}

// nestedParameters is a member whose own members count as the body's.
const nestedParameters = "parameters"

// ParseGenerate reads the body of generate and generate_stream and returns the same request as the protocol's JSON, which
// Decode reads. What is wrong with the data of an input is for Decode to say.
func ParseGenerate(m *infer.Model, body []byte) ([]byte, *infer.Error) {
	g := &generation{model: m}
	g.Reset(body)
	g.Of = m.Name
	err := g.members(true)
	switch {
	case err != nil:
		return nil, err
	case !g.End():
		return nil, g.Fault()
	}
	out := []byte("{")
	if g.id != nil {
		out = append(append(append(out, `"id":`...), g.id...), ',')
	}
	out = append(append(out, `"parameters":{`...), g.params...)
	out = append(append(out, `},"inputs":[`...), g.inputs...)
	return append(out, "]}"...), nil
}

// members reads an object. A fault of the text is left in the scanner.
func (g *generation) members(top bool) *infer.Error {
	g.Open('{')
	for key, ok := g.Key(); ok; key, ok = g.Key() {
		var err *infer.Error
		index := g.model.Input(key)
		switch {
		case index >= 0:
			err = g.input(&g.model.Inputs[index])
		case top && string(key) == "id":
			g.Peek()
			from := g.Pos
			if _, ok := g.String(); ok {
				g.id = g.Text[from:g.Pos]
			}
		case top && string(key) == nestedParameters && g.Peek() == '{':
			err = g.members(false)
		default:
			err = g.param(key)
		}
		if err != nil {
			return err
		}
		if slices.Contains(g.seen, string(key)) {
			return infer.Errorf(infer.Invalid, "the member %s is there twice", text.Quote(key))
		}
		g.seen = append(g.seen, string(key))
	}
	return nil
}

// value reads a value that holds no others, and returns it as it stands.
func (g *generation) value() []byte {
	if c := g.Peek(); c == '[' || c == '{' {
		return nil
	}
	from := g.Pos
	g.Skip()
	return g.Text[from:g.Pos]
}

func (g *generation) param(key []byte) *infer.Error {
	value := g.value()
	if value == nil || string(value) == "null" {
		return infer.Errorf(infer.Invalid,
			"the member %s is no input of model %s, and a parameter is a number, a string, true or false", text.Quote(key), text.Quote(g.model.Name))
	}
	if len(g.params) > 0 {
		g.params = append(g.params, ',')
	}
	g.params = append(append(text.AppendString(g.params, key), ':'), value...)
	return nil
}

// input reads the data of an input, one value or a list, and works out its shape.
func (g *generation) input(spec *infer.Spec) *infer.Error {
	g.Nonfinite = true
	defer func() { g.Nonfinite = false }()
	g.Peek()
	from, n := g.Pos, int64(1)
	flat := true
	if g.Peek() != '[' {
		flat = g.value() != nil
	} else {
		g.Open('[')
		for n = 0; flat && g.More(); n++ {
			flat = g.value() != nil
		}
	}
	if !flat {
		return infer.Errorf(infer.Invalid, "input %s of model %s: want one value, or a list of values without lists in it",
			text.Quote(spec.Name), text.Quote(g.model.Name))
	}
	if g.Failed() {
		return nil
	}
	shape, ok := shapeFor(spec, g.model.MaxBatch > 0, n)
	if !ok {
		return infer.Errorf(infer.Invalid, "input %s of model %s has %d values, and its shape is %s",
			text.Quote(spec.Name), text.Quote(g.model.Name), n, tensor.ShapeString(spec.Dims))
	}
	if len(g.inputs) > 0 {
		g.inputs = append(g.inputs, ',')
	}
	g.inputs = append(text.AppendString(append(g.inputs, `{"name":`...), text.BytesOf(spec.Name)), `,"datatype":"`...)
	g.inputs = append(append(g.inputs, spec.DType.String()...), `","shape":`...)
	g.inputs = append(tensor.AppendShape(g.inputs, shape), `,"data":`...)
	data := g.Text[from:g.Pos]
	if data[0] != '[' {
		g.inputs = append(append(append(g.inputs, '['), data...), "]}"...)
	} else {
		g.inputs = append(append(g.inputs, data...), '}')
	}
	return nil
}

// shapeFor returns the shape of n values of an input: one row of it where the first axis is a batch. The last free axis
// is as long as the values need, the others have length 1.
func shapeFor(spec *infer.Spec, batched bool, n int64) ([]int64, bool) {
	if spec.Dims == nil {
		return []int64{n}, true
	}
	shape := append([]int64{}, spec.Dims...)
	if batched && len(shape) > 0 {
		shape[0] = 1
	}
	free, rest := -1, int64(1)
	for i, d := range shape {
		if d >= 0 {
			rest *= d
			continue
		}
		shape[i], free = 1, i
	}
	switch {
	case free < 0:
		return shape, rest == n
	case rest == 0:
		shape[free] = 0
		return shape, n == 0
	}
	shape[free] = n / rest
	return shape, n%rest == 0
}

// EncodeGenerated writes an answer of generate to out, which must be empty: one flat object, in which each output is a
// member, and one value is no list. before and after go around it. After an error, out is empty.
func (e *Encoder) EncodeGenerated(a kserve.Answer, before, after string, out *slab.List) *infer.Error {
	e.w.Start(e.Pool, out, e.hint(&a))
	e.w.Text(before)
	err := e.generated(&a)
	e.w.Text(after)
	e.w.Flush()
	e.Part.Release()
	if err != nil {
		out.Release()
	}
	return err
}

func (e *Encoder) generated(a *kserve.Answer) *infer.Error {
	w := &e.w
	w.Text(`{"model_name":`)
	w.Quoted(text.BytesOf(a.Model.Name))
	w.Text(`,"model_version":`)
	w.Quoted(text.BytesOf(a.Model.Version))
	if len(a.Request.ID) > 0 {
		w.Text(`,"id":`)
		w.Quoted(a.Request.ID)
	}
	for i := range a.Count() {
		o := a.Output(i)
		if o == nil {
			return fit.BadBackend(a.Model, a.Request.Outputs[i], fit.Missing)
		}
		dtype, shape, err := e.Take(a, i, o)
		if err != nil {
			return err
		}
		spec := &a.Model.Outputs[o.Index]
		w.Text(",")
		w.Quoted(text.BytesOf(spec.Name))
		elements, _ := tensor.Elements(shape)
		opens, closes := ":[", "]"
		if elements == 1 {
			opens, closes = ":", ""
		}
		w.Text(opens)
		switch what := e.data(dtype, shape); what {
		case "":
		case text.NotText:
			return infer.Errorf(infer.Invalid, "output %s of model %s holds bytes that are not UTF-8", text.Quote(spec.Name), text.Quote(a.Model.Name))
		default:
			return fit.BadBackend(a.Model, o.Index, what)
		}
		w.Text(closes)
		e.Part.Release()
	}
	w.Text("}")
	return nil
}

// AppendEvent appends an error as an event of generate_stream.
func AppendEvent(dst []byte, message string) []byte {
	dst = text.AppendString(append(dst, `data: {"error":`...), text.BytesOf(text.ValidUTF8(message)))
	return append(dst, "}\n\n"...)
}
