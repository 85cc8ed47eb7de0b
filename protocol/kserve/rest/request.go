package rest

import (
	"bytes"
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// A RequestEncoder writes requests to a backend that speaks the protocol over REST. It keeps scratch memory
// between them and belongs to one goroutine at a time.
//
// What came over REST and travels alone goes on as it came, if the backend takes binary tensors or there are none.
// Everything else is written anew: with binary tensors, as views of the members', if the backend takes them, and
// otherwise as JSON, in which null stands for NaN. All of them have an id: some backends fail without one.
type RequestEncoder struct {
	pool *slab.Pool
	w    text.Writer
	r    text.Reader
	m    message.Merger
	part slab.List // an input's data, of all members
	tail slab.List // binary data, to follow the JSON part
}

// NewRequestEncoder returns an encoder that takes the memory for text from pool.
func NewRequestEncoder(pool *slab.Pool) *RequestEncoder {
	return &RequestEncoder{pool: pool}
}

// Encode writes the request of a batch to out, which must be empty; binary tells that the backend takes binary tensors.
// head is the value for Inference-Header-Content-Length, 0 where the request must not have that header because it is
// JSON and nothing else. The model's name and version are the path's to say. After an error, out is empty.
func (e *RequestEncoder) Encode(b *infer.Batch, binary bool, out *slab.List) (head int, err *infer.Error) {
	if passesREST(b.Members, binary) {
		r, grown := b.Members[0].Call.Request, 0
		if len(r.ID) == 0 {
			grown = e.identified(&r.Body, out)
		} else {
			out.AppendList(&r.Body)
		}
		if r.BodyHead == r.Body.Size() {
			return 0, nil
		}
		return r.BodyHead + grown, nil
	}
	e.w.Start(e.pool, out, 512)
	err = e.document(b, binary)
	e.w.Flush()
	if err == nil && e.tail.Size() > 0 {
		head = out.Size()
		out.AppendList(&e.tail)
	}
	e.part.Release()
	e.tail.Release()
	if err != nil {
		out.Release()
	}
	return head, err
}

// passesREST tells whether a run's request is one that came over REST, whole, in a form that the backend takes.
func passesREST(members []infer.Member, binary bool) bool {
	if len(members) != 1 || message.Span(&members[0]) != infer.AllRows {
		return false
	}
	r := members[0].Call.Request
	return r.Encoding == infer.KServeREST && (binary || r.BodyHead == r.Body.Size())
}

// noID is the id of requests that have none, or belong to several clients.
const noID = `{"id":"0",`

// identified appends a body that begins with an object, which has no id, with one, and returns by how much it has grown.
func (e *RequestEncoder) identified(body, out *slab.List) (grown int) {
	open := 0
	for i := 0; ; i++ {
		b := body.At(i).B
		if at := bytes.IndexByte(b, '{'); at >= 0 {
			open += at + 1
			break
		}
		open += len(b)
	}
	e.w.Start(e.pool, out, len(noID))
	e.w.Text(noID)
	e.w.Flush()
	out.AppendRange(body, open, body.Size()-open)
	return len(noID) - open
}

func (e *RequestEncoder) document(b *infer.Batch, binary bool) *infer.Error {
	w, first := &e.w, b.Members[0].Call.Request
	asked := message.Asked(b.Model, b.Members)
	switch {
	case len(b.Members) == 1 && len(first.ID) > 0:
		w.Text(`{"id":`)
		w.Quoted(first.ID)
		w.Text(",")
	default:
		w.Text(noID)
	}
	if all := binary && len(asked) == 0; all || len(first.Params) > 0 {
		w.Text(`"parameters":{`)
		if all {
			w.Text(`"binary_data_output":true`)
		}
		for i := range first.Params {
			if i > 0 || all {
				w.Text(",")
			}
			p := first.Params[i]
			if p.Kind == infer.ParamInt && p.Int < 0 && string(p.Key) == "sequence_id" {
				p.Kind = infer.ParamUint // negative ones were refused
			}
			writeParam(w, &p)
		}
		w.Text("},")
	}
	w.Text(`"inputs":[`)
	for i := range first.Inputs {
		if i > 0 {
			w.Text(",")
		}
		if err := e.input(b, &first.Inputs[i], binary); err != nil {
			return err
		}
	}
	w.Text("]")
	e.outputs(b.Model, asked, binary)
	w.Text("}")
	return nil
}

// outputs asks for outputs; without any, all are asked for.
func (e *RequestEncoder) outputs(model *infer.Model, asked []int, binary bool) {
	w := &e.w
	for i, o := range asked {
		w.Text([2]string{`,"outputs":[{"name":`, `,{"name":`}[min(i, 1)])
		w.Quoted(text.BytesOf(model.Outputs[o].Name))
		if binary {
			w.Text(`,"parameters":{"binary_data":true}`)
		}
		w.Text("}")
	}
	if len(asked) > 0 {
		w.Text("]")
	}
}

// input writes an input: the rows of all members, one after the other.
func (e *RequestEncoder) input(b *infer.Batch, in *infer.Input, binary bool) *infer.Error {
	w, name := &e.w, b.Model.Inputs[in.Index].Name
	f := e.m.Measure(b.Members, in)
	w.Text(`{"name":`)
	w.Quoted(text.BytesOf(name))
	w.Text(`,"datatype":"`)
	w.Text(in.DType.String())
	w.Text(`","shape":[`)
	elements := int64(1) // as many as the members' decoders have counted
	for axis, n := range in.Shape {
		if axis == 0 {
			n = f.Rows
		} else {
			w.Text(",")
		}
		w.Room(20)
		w.Buf = strconv.AppendInt(w.Buf, n, 10)
		elements *= n
	}
	w.Text("]")
	if binary {
		w.Text(`,"parameters":{"binary_data_size":`)
		w.Room(20)
		w.Buf = strconv.AppendInt(w.Buf, int64(f.Size), 10)
		writeParams(w, in.Params, ",")
		w.Text("}}")
		e.m.Append(&e.tail, b.Members, in.Index)
		return nil
	}
	if in.DType == tensor.FP16 || in.DType == tensor.BF16 {
		return onlyJSON(infer.Unsupported, b.Model, name, "is of data type "+in.DType.String())
	}
	if len(in.Params) > 0 {
		w.Text(`,"parameters":{`)
		writeParams(w, in.Params, "")
		w.Text("}")
	}
	w.Text(`,"data":[`)
	e.part.Release()
	e.m.Append(&e.part, b.Members, in.Index)
	e.r.Start(&e.part)
	switch what := w.NullElements(&e.r, in.DType, elements); what {
	case "":
	case text.Infinite:
		return onlyJSON(infer.Invalid, b.Model, name, what)
	case text.NotText:
		return onlyJSON(infer.Invalid, b.Model, name, "holds bytes that are not UTF-8")
	default:
		panic("BUG: kserve: an input of a decoded request " + what)
	}
	w.Text("]}")
	return nil
}

// onlyJSON refuses an input that JSON has no form for.
func onlyJSON(code infer.Code, m *infer.Model, name, what string) *infer.Error {
	err := infer.Errorf(code, "input %s of model %s %s, and the model's server takes tensors only as JSON, which has no form for that", text.Quote(name), text.Quote(m.Name), what)
	err.Origin = infer.FromGateway
	return err
}

// writeParams writes parameters as members of an object, before being what stands before the first.
func writeParams(w *text.Writer, list []infer.Param, before string) {
	for i := range list {
		w.Text(before)
		writeParam(w, &list[i])
		before = ","
	}
}

// writeParam writes a parameter as a member of an object.
func writeParam(w *text.Writer, p *infer.Param) {
	w.Quoted(p.Key)
	w.Text(":")
	w.Room(text.MaxNumber)
	switch p.Kind {
	case infer.ParamBool:
		w.Buf = strconv.AppendBool(w.Buf, p.Int != 0)
	case infer.ParamInt:
		w.Buf = strconv.AppendInt(w.Buf, p.Int, 10)
	case infer.ParamUint:
		w.Buf = strconv.AppendUint(w.Buf, uint64(p.Int), 10)
	case infer.ParamFloat:
		w.Buf = text.AppendFloat(w.Buf, p.Float, 64)
	default:
		w.Quoted(p.String)
	}
}
