package kserve_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// everyAnswer is a model with an output of every type, some of fixed shape, one of which nothing is known.
func everyAnswer() *infer.Model {
	m := everyType()
	m.MaxBatch = 4
	for i := range m.Outputs {
		switch i % 3 {
		case 1:
			m.Outputs[i].Dims = []int64{-1, 2}
		case 2:
			m.Outputs[i].Dims = nil
		}
	}
	return m
}

// expectAnswer reads an answer with the generated code and checks it by the book. why is empty if it stands; texts
// are the outputs' data.
func expectAnswer(m *infer.Model, classified, asked []int, msg []byte) (p *pb.ModelInferResponse, texts [][]byte, why string) {
	p = &pb.ModelInferResponse{}
	if err := proto.Unmarshal(msg, p); err != nil {
		return nil, nil, "no message"
	}
	raws := p.RawOutputContents
	if len(p.Parameters) > 64 || len(raws) > 0 && len(raws) != len(p.Outputs) {
		return nil, nil, "parameters or number of raw contents"
	}
	given := map[int]bool{}
	for i, o := range p.Outputs {
		index := m.Output([]byte(o.Name))
		if index < 0 || given[index] || len(o.Parameters) > 64 {
			return nil, nil, "output " + o.Name
		}
		given[index] = true
		data, why := expectOutput(m, classified, index, o)
		if why != "" {
			return nil, nil, why
		}
		d := tensor.ParseDType([]byte(o.Datatype))
		if len(raws) > 0 {
			if len(data) > 0 {
				return nil, nil, "both raw and contents"
			}
			data = raws[i]
		}
		elements, _ := tensor.Elements(o.Shape)
		if why := checkBytes(d, data, elements); why != "" && (d != tensor.Bool || why != "bool") {
			return nil, nil, why
		}
		texts = append(texts, data)
	}
	for _, index := range asked {
		if !given[index] {
			return nil, nil, "missing output"
		}
	}
	return p, texts, ""
}

// expectOutput checks what is said of an output, and returns its contents.
func expectOutput(m *infer.Model, classified []int, index int, o *tensorMsg) (data []byte, why string) {
	spec := &m.Outputs[index]
	d := tensor.ParseDType([]byte(o.Datatype))
	classes := false
	for _, c := range classified {
		classes = classes || c == index && d == tensor.Bytes && spec.DType != tensor.Bytes
	}
	if d != spec.DType && !classes || len(o.Shape) > 32 {
		return nil, "type"
	}
	if spec.Dims != nil && !classes && len(o.Shape) != len(spec.Dims) {
		return nil, "rank"
	}
	if _, err := tensor.ByteSize(d, o.Shape); err != nil {
		return nil, "shape"
	}
	for i, n := range o.Shape {
		if spec.Dims != nil && !classes && i > 0 && spec.Dims[i] >= 0 && n != spec.Dims[i] {
			return nil, "shape"
		}
	}
	if o.Contents == nil {
		return nil, ""
	}
	return contentsBytes(d, o.Contents)
}

// answersAgree holds the decoder against the reference, and then what the client gets against what was answered. It
// returns whether the answer stands.
func answersAgree(t testing.TB, m *infer.Model, request *pb.ModelInferRequest, msg []byte, pieces ...int) bool {
	t.Helper()
	stood := false
	for _, piece := range append(pieces, 0) {
		r := batchOf(t, m, 0, sent{msg: request})
		req := r.calls[0].Request
		want, texts, why := expectAnswer(m, req.Classified, req.Outputs, msg)
		resp, err := r.answerOf(t, msg, piece)
		switch {
		case err != nil && strings.Contains(err.Text, "groups nest deeper"):
		case (err == nil) != (why == ""):
			t.Fatalf("%x in pieces of %d: %v, want %q", msg, piece, err, why)
		case err == nil:
			stood = true
			sameAnswer(t, m, resp, want, texts)
			passedOn(t, r, resp, want)
		case err.Code != infer.BadBackend || err.Origin != infer.FromBackend:
			t.Fatalf("%x: %+v", msg, err)
		}
		resp.Release()
		r.end(t)
	}
	return stood
}

func sameAnswer(t testing.TB, m *infer.Model, resp *infer.Response, want *pb.ModelInferResponse, texts [][]byte) {
	t.Helper()
	if len(resp.Outputs) != len(want.Outputs) || string(resp.BodyName) != want.ModelName || string(resp.BodyVersion) != want.ModelVersion || string(resp.BodyID) != want.Id {
		t.Fatalf("%d outputs of %q %q %q; want %v", len(resp.Outputs), resp.BodyName, resp.BodyVersion, resp.BodyID, want)
	}
	for i := range resp.Outputs {
		o, w := &resp.Outputs[i], want.Outputs[i]
		if m.Outputs[o.Index].Name != w.Name || o.DType.String() != w.Datatype || tensor.ShapeString(o.Shape) != tensor.ShapeString(w.Shape) || !bytes.Equal(flat(&o.Data), texts[i]) {
			t.Fatalf("output %d is %s %s %v %x; want %v %x", i, m.Outputs[o.Index].Name, o.DType, o.Shape, flat(&o.Data), w, texts[i])
		}
	}
	got := map[string]*pb.InferParameter{}
	for i := range resp.Params {
		got[string(resp.Params[i].Key)] = paramOf(&resp.Params[i])
	}
	for key, p := range want.Parameters {
		if u, ok := p.GetParameterChoice().(*pb.InferParameter_Uint64Param); ok && u.Uint64Param <= math.MaxInt64 {
			p = intParam(int64(u.Uint64Param))
		}
		p = proto.CloneOf(p)
		p.ProtoReflect().SetUnknown(nil) // a response keeps them in its body only
		if p.GetParameterChoice() != nil && !proto.Equal(got[key], p) {
			t.Fatalf("parameter %q is %v, want %v", key, got[key], p)
		}
		delete(got, key)
	}
	if len(got) > 0 {
		t.Fatalf("more parameters: %v", got)
	}
}

// paramOf makes a parameter what generated code reads. Only integers above an int64's range are unsigned ones.
func paramOf(p *infer.Param) *pb.InferParameter {
	switch p.Kind {
	case infer.ParamBool:
		return boolParam(p.Int != 0)
	case infer.ParamInt:
		return intParam(p.Int)
	case infer.ParamUint:
		return uintParam(uint64(p.Int))
	case infer.ParamFloat:
		return doubleParam(p.Float)
	}
	return stringParam(string(p.String))
}

// passedOn checks that a client of the protocol gets the answer with all that we do not know, but named as it knows
// the model.
func passedOn(t testing.TB, r *runOf, resp *infer.Response, want *pb.ModelInferResponse) {
	t.Helper()
	req := r.calls[0].Request
	var list slab.List
	err := kserve.NewMessageEncoder(r.mem.Slabs).Encode(kserve.Answer{Request: req, Head: &r.heads[0], Model: r.batch.Model, Response: resp, Rows: infer.AllRows}, kserve.Frame{}, &list)
	b := flat(&list)
	list.Release()
	if err != nil {
		t.Fatal(err)
	}
	for i := range resp.Outputs { // one that the backend was to classify and did not is written anew
		if o := &resp.Outputs[i]; len(req.Classified) > 0 && o.Index == req.Classified[0] && o.DType != tensor.Bytes {
			return
		}
	}
	got := &pb.ModelInferResponse{}
	unmarshal(t, b, got)
	if asked := len(req.Outputs); asked > 0 && asked != len(resp.Outputs) {
		if len(got.Outputs) != asked || len(got.RawOutputContents) != asked {
			t.Fatalf("got %v, asked for %v", got, req.Outputs)
		}
		return
	}
	if typed := len(want.Outputs) > 0 && len(want.RawOutputContents) == 0; typed != (resp.Encoding == infer.KServeContents) {
		t.Fatalf("%v has encoding %d", want, resp.Encoding)
	} else if typed {
		if len(got.RawOutputContents) != len(got.Outputs) || slices.ContainsFunc(got.Outputs, hasContents) {
			t.Fatalf("got %v, which is not raw", got)
		}
		return
	}
	want = proto.Clone(want).(*pb.ModelInferResponse)
	want.ModelName, want.ModelVersion = r.batch.Model.Name, r.batch.Model.Version
	if len(req.ID) > 0 {
		want.Id = string(req.ID)
	}
	if !proto.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// hasContents tells whether an output came with elements in contents.
func hasContents(o *tensorMsg) bool {
	c := o.GetContents()
	return len(c.GetBoolContents())+len(c.GetIntContents())+len(c.GetInt64Contents())+len(c.GetUintContents())+
		len(c.GetUint64Contents())+len(c.GetFp32Contents())+len(c.GetFp64Contents())+len(c.GetBytesContents()) > 0
}

// answer makes an encoded answer of m that is nearly right.
func (g *generator) answer(m *infer.Model) []byte {
	p := &pb.ModelInferResponse{ModelName: pick(g, m.Name, "up", ""), ModelVersion: pick(g, "", "1", "7"), Id: pick(g, "", "7", "é")}
	raw := !g.one(3)
	for i := range m.Outputs {
		spec := m.Outputs[i]
		if !g.one(3) && spec.Name != "INT8" || g.one(9) {
			continue
		}
		if spec.Dims == nil {
			spec.Dims = pick(g, []int64{1, -1}, []int64{-1})
		}
		if g.one(12) || spec.Name == "FP32" && g.one(2) {
			spec.DType, spec.Dims = tensor.Bytes, []int64{-1, 1}
		}
		in, data := g.input(m, &spec, int64(g.rng.IntN(3)), raw)
		p.Outputs = append(p.Outputs, &tensorMsg{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape, Parameters: in.Parameters, Contents: in.Contents})
		if in.Contents == nil && !g.one(50) || g.one(50) {
			p.RawOutputContents = append(p.RawOutputContents, data)
		}
	}
	if g.one(3) {
		p.Parameters = g.parameters("triton_final_response", "p", "q", "sequence_id", "")
	}
	b, err := protoMarshal(p)
	if err != nil {
		panic(err)
	}
	return g.disturb(b)
}

// answerRequests are requests for everyAnswer: one wants anything, one an output, one classes of it.
func answerRequests() []*pb.ModelInferRequest {
	plain := &pb.ModelInferRequest{ModelName: "m"}
	one := &pb.ModelInferRequest{ModelName: "m", Id: "r", Outputs: []*outputMsg{{Name: "INT8"}}}
	classes := &pb.ModelInferRequest{ModelName: "m", Id: "r", Outputs: []*outputMsg{outputOf("FP32", "classification", intParam(1))}}
	return []*pb.ModelInferRequest{plain, plain, one, classes}
}

// FuzzResponse decodes any bytes as generated code does, and the reference after it.
func FuzzResponse(f *testing.F) {
	m, requests := everyAnswer(), answerRequests()
	g := generator{rng: rand.New(rand.NewPCG(5, 6))}
	for i := range 200 {
		f.Add(byte(i), g.answer(m))
	}
	for _, tc := range responseRefusals() {
		f.Add(byte(0), tc.msg)
	}
	f.Fuzz(func(t *testing.T, which byte, msg []byte) {
		answersAgree(t, m, requests[int(which)%len(requests)], msg, 1, 3+int(which%32))
	})
}

// FuzzStreamResponse decodes any bytes as an answer on a stream.
func FuzzStreamResponse(f *testing.F) {
	m, requests := everyAnswer(), answerRequests()
	g := generator{rng: rand.New(rand.NewPCG(12, 13))}
	for i := range 100 {
		msg := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), g.answer(m))
		f.Add(byte(i), g.shuffle(msg))
	}
	f.Add(byte(0), []byte("\x0a\x01x\x12\x00"))
	f.Fuzz(func(t *testing.T, which byte, msg []byte) {
		r := batchOf(t, m, 0, sent{msg: requests[int(which)%len(requests)]})
		req := r.calls[0].Request
		want, why := &pb.ModelStreamInferResponse{}, ""
		var texts [][]byte
		switch err := proto.Unmarshal(msg, want); {
		case err != nil:
			why = "no message"
		case want.ErrorMessage != "":
			why = "an error"
		case want.InferResponse == nil:
			why = "nothing"
		default:
			_, texts, why = expectAnswer(m, req.Classified, req.Outputs, marshalMessage(t, want.InferResponse))
		}
		resp := r.mem.NewResponse()
		err := kserve.NewResponseDecoder(r.mem.Slabs).DecodeStream(m, r.calls[0], bodyOf(r.mem.Slabs, msg, 1+int(which)), resp)
		switch {
		case err != nil && strings.Contains(err.Text, "groups nest deeper"):
		case (err == nil) != (why == ""):
			t.Fatalf("%x: %v, want %q", msg, err, why)
		case err == nil:
			sameAnswer(t, m, resp, want.InferResponse, texts)
			passedOn(t, r, resp, want.InferResponse)
		case (err.Code == infer.Internal) != (why == "an error") && why != "no message" || err.Origin != infer.FromBackend:
			t.Fatalf("%x: %+v, want %q", msg, err, why)
		}
		resp.Release()
		r.end(t)
	})
}

// TestResponsesAgree holds decoder and reference against each other on answers that are nearly right.
func TestResponsesAgree(t *testing.T) {
	m, requests := everyAnswer(), answerRequests()
	g := generator{rng: rand.New(rand.NewPCG(7, 8))}
	stood := 0
	const rounds = 10_000
	for i := range rounds {
		if answersAgree(t, m, requests[i%len(requests)], g.answer(m), 1+g.rng.IntN(40)) {
			stood++
		}
	}
	if stood < rounds/10 || stood > rounds*9/10 {
		t.Errorf("%d of %d answers stood: the test sees one side only", stood, rounds)
	}
}

// FuzzPassRequest passes on any request that stands, and reads it with generated code.
func FuzzPassRequest(f *testing.F) {
	models := fuzzModels()
	g := generator{rng: rand.New(rand.NewPCG(9, 10))}
	for i := range 100 {
		f.Add(byte(i), g.message(models[i%len(models)]))
	}
	f.Fuzz(func(t *testing.T, which byte, msg []byte) {
		m := models[int(which)%len(models)]
		mem := newMemory()
		req := mem.NewRequest()
		move(&req.Body, bodyOf(mem.Slabs, msg, 1+int(which)))
		var head kserve.Head
		err := kserve.NewMessageDecoder(mem.Slabs).Decode(kserve.Source{Model: m, Body: &req.Body, Stream: true}, req, &head)
		if err != nil {
			req.Release()
			return
		}
		name, version := pick(&g, m.Name, "other"), pick(&g, "", "1", "30")
		c := mem.NewCall(req)
		req.Release()
		var list slab.List
		if err := kserve.NewRequestEncoder(mem.Slabs).EncodeCall(m, c, name, version, &list); err != nil {
			t.Fatal(err)
		}
		got, want := &pb.ModelInferRequest{}, &pb.ModelInferRequest{}
		unmarshal(t, flat(&list), got)
		unmarshal(t, msg, want)
		want.ModelName, want.ModelVersion = name, version
		if !proto.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		list.Release()
		c.Release()
		if err := mem.Check(); err != nil {
			t.Error(err)
		}
	})
}

// FuzzMergeRequests merges random requests and reads them with generated code.
func FuzzMergeRequests(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed)
	}
	m := everyType()
	m.MaxBatch = 64
	f.Fuzz(func(t *testing.T, seed uint64) {
		g := generator{rng: rand.New(rand.NewPCG(seed, 11))}
		var inputs []int
		for i := range m.Inputs {
			if g.one(3) {
				inputs = append(inputs, i)
			}
		}
		want := &pb.ModelInferRequest{ModelName: pick(&g, "m", "up"), ModelVersion: pick(&g, "", "9")}
		params := map[string]*pb.InferParameter{"a": pick(&g, intParam(-5), boolParam(false), stringParam(strings.Repeat("x", 200)), doubleParam(2))}
		want.Parameters = params
		for _, i := range inputs {
			spec := &m.Inputs[i]
			want.Inputs = append(want.Inputs, inputOf(spec.Name, spec.DType.String(), append([]int64{0}, spec.Dims[1:]...)...))
			want.RawInputContents = append(want.RawInputContents, nil)
		}
		var requests []sent
		for range 2 + g.rng.IntN(4) {
			requests = append(requests, g.member(m, inputs, params, want))
		}
		r := batchOf(t, m, g.rng.IntN(700), requests...)
		var list slab.List
		if err := kserve.NewRequestEncoder(r.mem.Slabs).Encode(r.batch, want.ModelName, want.ModelVersion, &list); err != nil {
			t.Fatal(err)
		}
		got := &pb.ModelInferRequest{}
		unmarshal(t, flat(&list), got)
		if !proto.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		list.Release()
		r.end(t)
	})
}

// member makes a request that is to be merged into want.
func (g *generator) member(m *infer.Model, inputs []int, params map[string]*pb.InferParameter, want *pb.ModelInferRequest) sent {
	rows := 1 + g.rng.IntN(6)
	s := sent{msg: &pb.ModelInferRequest{ModelName: "m", Id: "member", Parameters: params}, rows: infer.AllRows}
	from, to := 0, rows
	if g.one(2) {
		from = g.rng.IntN(rows)
		to = from + 1 + g.rng.IntN(rows-from)
		s.rows = infer.Rows{First: int64(from), N: int64(to - from)}
	}
	for at, i := range inputs {
		spec := &m.Inputs[i]
		per := 1
		in := inputOf(spec.Name, spec.DType.String(), int64(rows))
		for _, d := range spec.Dims[1:] {
			in.Shape = append(in.Shape, d)
			per *= int(d)
		}
		var data []byte
		for row := range rows {
			one := g.elements(spec.DType, per)
			data = append(data, one...)
			if row >= from && row < to {
				want.RawInputContents[at] = append(want.RawInputContents[at], one...)
			}
		}
		want.Inputs[at].Shape[0] += int64(to - from)
		s.msg.Inputs = append(s.msg.Inputs, in)
		s.msg.RawInputContents = append(s.msg.RawInputContents, data)
	}
	return s
}

func (g *generator) elements(d tensor.DType, n int) (data []byte) {
	for range n {
		if d == tensor.Bytes {
			size := pick(g, 0, 3, 900, 3000)
			data = append(binary.LittleEndian.AppendUint32(data, uint32(size)), make([]byte, size)...)
			continue
		}
		data = append(data, protowire.AppendFixed64(nil, uint64(g.rng.IntN(2)))[:d.Size()]...)
	}
	return data
}
