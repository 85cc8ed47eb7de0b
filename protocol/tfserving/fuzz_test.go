package tfserving

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// fuzzModels are models that fuzz targets choose from.
func fuzzModels() []*infer.Model {
	all := &infer.Model{Name: "all", Version: "1"}
	for _, d := range everyType {
		all.Inputs = append(all.Inputs, infer.Spec{Name: d.String(), DType: d, Optional: true})
		all.Outputs = append(all.Outputs, infer.Spec{Name: d.String(), DType: d})
	}
	return []*infer.Model{all, addSub(), signed()}
}

// fuzzLimit bounds what lists may stand for.
const fuzzLimit = 1 << 16

// expected is what a decoder must make of a PredictRequest, read by generated code; why is empty if it must take it.
func expected(m *infer.Model, b []byte) (p *pb.PredictRequest, datas map[string][]byte, why string) {
	p = &pb.PredictRequest{}
	if proto.Unmarshal(b, p) != nil {
		return nil, nil, "message"
	}
	var sig *infer.Signature
	name := p.GetModelSpec().GetSignatureName()
	if name == "" {
		name = DefaultSignature
	}
	for i := range m.Signatures {
		if m.Signatures[i].Name == name {
			sig = &m.Signatures[i]
		}
	}
	if sig == nil && (m.Signatures != nil || name != DefaultSignature) {
		return p, nil, "signature"
	}
	datas = map[string][]byte{}
	rows, total := int64(-1), int64(0)
	for name, in := range p.Inputs {
		index := m.Input([]byte(name))
		if index < 0 || sig != nil && !slices.Contains(sig.Inputs, index) {
			return p, nil, "input"
		}
		d, shape, data, why := tensorOf(in)
		if why != "" {
			return p, nil, why
		}
		spec := &m.Inputs[index]
		if d != spec.DType || len(shape) > tensor.MaxRank {
			return p, nil, "type"
		}
		for i, n := range spec.Dims {
			if len(shape) != len(spec.Dims) || n >= 0 && n != shape[i] && (i > 0 || m.MaxBatch == 0) {
				return p, nil, "shape"
			}
		}
		if m.MaxBatch > 0 && (shape[0] > m.MaxBatch || rows >= 0 && rows != shape[0]) {
			return p, nil, "rows"
		}
		if m.MaxBatch > 0 {
			rows = shape[0]
		}
		datas[name] = data
		total += int64(len(data))
	}
	for i := range m.Inputs {
		_, has := p.Inputs[m.Inputs[i].Name]
		if !has && (sig == nil && !m.Inputs[i].Optional || sig != nil && slices.Contains(sig.Inputs, i)) {
			return p, nil, "missing"
		}
	}
	seen := map[string]bool{}
	for _, name := range p.OutputFilter {
		index := m.Output([]byte(name))
		if index < 0 || seen[name] || sig != nil && !slices.Contains(sig.Outputs, index) {
			return p, nil, "output"
		}
		seen[name] = true
	}
	if total > fuzzLimit/2 {
		return p, datas, "perhaps the limit"
	}
	return p, datas, ""
}

// requestsAgree holds the decoder against generated code, and what the encoder makes of its request.
func requestsAgree(t testing.TB, m *infer.Model, b []byte, pieces ...int) (taken bool) {
	t.Helper()
	want, datas, why := expected(m, b)
	for _, piece := range pieces {
		mem := newMemory()
		req := mem.NewRequest()
		req.Body.Take(bodyOf(mem.Slabs, b, piece))
		d := NewMessageDecoder(mem.Slabs)
		_, peekErr := d.PeekModel(&req.Body)
		err := d.Decode(Source{Model: m, Body: &req.Body, MaxBytes: fuzzLimit}, req)
		switch {
		case why == "message" && err == nil, why != "message" && peekErr != nil:
			t.Fatalf("%x: %v and %v, generated code says %q", b, peekErr, err, why)
		case why == "" && err != nil:
			t.Fatalf("%x in pieces of %d: %v, but it is good", b, piece, err)
		case why != "" && why != "perhaps the limit" && err == nil:
			t.Fatalf("%x in pieces of %d: taken in spite of %s", b, piece, why)
		}
		if taken = err == nil; taken {
			if len(req.Inputs) != len(datas) {
				t.Fatalf("%x: %d inputs, want %d", b, len(req.Inputs), len(datas))
			}
			for i := range req.Inputs {
				in := &req.Inputs[i]
				if name := m.Inputs[in.Index].Name; !bytes.Equal(flatten(&in.Data), datas[name]) {
					t.Fatalf("%x: %s is %x, want %x", b, name, flatten(&in.Data), datas[name])
				}
			}
			sentOn(t, mem, m, req, want, datas)
		}
		req.Release()
		if err := mem.Check(); err != nil {
			t.Fatal(err)
		}
	}
	return taken
}

// sentOn checks what a backend is sent of a request: as it came, and written anew.
func sentOn(t testing.TB, mem *infer.Memory, m *infer.Model, req *infer.Request, want *pb.PredictRequest, datas map[string][]byte) {
	t.Helper()
	for _, e := range []infer.Encoding{infer.TFServingGRPC, infer.NoEncoding} {
		req.Encoding = e
		b := mem.NewBatch()
		b.Model = m
		c := mem.NewCall(req)
		b.Add(c, infer.AllRows)
		b.Seal()
		var out slab.List
		if err := NewRequestEncoder(mem.Slabs).Encode(b, "up", "4", &out); err != nil {
			t.Fatal(err)
		}
		got := &pb.PredictRequest{}
		if err := proto.Unmarshal(flatten(&out), got); err != nil {
			t.Fatal(err)
		}
		out.Release()
		b.Fail(infer.ErrInternal, nil)
		c.Release()
		sig := string(signatureOf(req))
		if s := got.ModelSpec; s.Name != "up" || s.GetVersion().GetValue() != 4 || s.SignatureName != sig {
			t.Fatalf("spec %v", s)
		}
		if e == infer.TFServingGRPC {
			got.ModelSpec, want.ModelSpec = nil, nil
			if !proto.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
			continue
		}
		if len(got.Inputs) != len(datas) {
			t.Fatalf("%d inputs, want %d", len(got.Inputs), len(datas))
		}
		for name, data := range datas {
			if _, _, now, why := tensorOf(got.Inputs[name]); why != "" || !bytes.Equal(now, data) {
				t.Fatalf("%s: %x, %s; want %x", name, now, why, data)
			}
		}
	}
}

// A generator makes messages, most of them good.
type generator struct{ rng *rand.Rand }

func (g *generator) one(n int) bool { return g.rng.IntN(n) == 0 }

func (g *generator) tensor(d tensor.DType, dims []int64, rows int64) *pb.TensorProto {
	var shape []int64
	for i, n := range dims {
		switch {
		case i == 0 && rows >= 0:
			n = rows
		case n < 0:
			n = int64(g.rng.IntN(4))
		}
		shape = append(shape, n)
	}
	if dims == nil {
		for range g.rng.IntN(3) {
			shape = append(shape, int64(g.rng.IntN(4)))
		}
	}
	n, _ := tensor.Elements(shape)
	if g.one(2) {
		return content(d, ramp(d, int(n)), shape...)
	}
	if g.one(3) {
		n = int64(g.rng.IntN(int(n) + 1))
	}
	p := listed(d, ramp(d, int(n)), shape...)
	if g.one(20) {
		p.IntVal = append(p.IntVal, int32(g.rng.Uint32()))
	}
	return p
}

func (g *generator) request(m *infer.Model) []byte {
	p := predict(map[string]*pb.TensorProto{})
	inputs := g.rng.Perm(len(m.Inputs))[:max(1, g.rng.IntN(len(m.Inputs)+1))]
	if m.Signatures != nil {
		sig := &m.Signatures[g.rng.IntN(len(m.Signatures))]
		p.ModelSpec.SignatureName, inputs = sig.Name, sig.Inputs
	} else if len(m.Inputs) == 2 {
		inputs = []int{0, 1}
	}
	rows := int64(-1)
	if m.MaxBatch > 0 {
		rows = int64(g.rng.IntN(5))
	}
	for _, i := range inputs {
		if !g.one(15) {
			p.Inputs[m.Inputs[i].Name] = g.tensor(m.Inputs[i].DType, m.Inputs[i].Dims, rows)
		}
	}
	if g.one(8) {
		p.OutputFilter = append(p.OutputFilter, m.Outputs[g.rng.IntN(len(m.Outputs))].Name)
	}
	if g.one(4) {
		p.ModelSpec.VersionChoice = &pb.ModelSpec_Version{Version: wrapperspb.Int64(g.rng.Int64N(3))}
	}
	return g.disturb(p)
}

// disturb encodes a message and makes something else of it, sometimes.
func (g *generator) disturb(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	if g.one(3) {
		b = unpacked(b, 0)
	}
	if g.one(6) { // of what comes twice the last stands, or both
		b = append(b, b...)
	}
	if g.one(6) {
		b = append(protowire.AppendBytes(protowire.AppendTag(nil, 900, protowire.BytesType), b), b...)
	}
	if g.one(4) && len(b) > 0 {
		b[g.rng.IntN(len(b))] ^= 1 << g.rng.IntN(8)
	}
	if g.one(10) {
		b = b[:g.rng.IntN(len(b)+1)]
	}
	return b
}

func TestRequestsAgree(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(5, 6))}
	models := fuzzModels()
	taken := 0
	const rounds = 1500
	for range rounds {
		if requestsAgree(t, models[g.rng.IntN(len(models))], g.request(models[g.rng.IntN(len(models))]), 0, 1+g.rng.IntN(9)) {
			taken++
		}
		m := models[g.rng.IntN(len(models))]
		if requestsAgree(t, m, g.request(m), 0, 1+g.rng.IntN(9)) {
			taken++
		}
	}
	if taken < rounds/4 {
		t.Errorf("%d of %d taken: the generator has rusted", taken, 2*rounds)
	}
}

func FuzzMessage(f *testing.F) {
	g := &generator{rand.New(rand.NewPCG(1, 2))}
	models := fuzzModels()
	for range 40 {
		i := g.rng.IntN(len(models))
		f.Add(g.request(models[i]), byte(i), byte(g.rng.IntN(10)))
	}
	f.Fuzz(func(t *testing.T, b []byte, model, piece byte) {
		if len(b) < 4<<10 {
			requestsAgree(t, models[int(model)%len(models)], b, 0, int(piece))
		}
	})
}

// answersAgree holds the decoder of answers against generated code, and what the encoder makes of them.
func answersAgree(t testing.TB, m *infer.Model, b []byte, pieces ...int) (taken bool) {
	t.Helper()
	p := &pb.PredictResponse{}
	bad := proto.Unmarshal(b, p) != nil
	datas := map[string][]byte{}
	for name, o := range p.Outputs {
		index := m.Output([]byte(name))
		d, _, data, why := tensorOf(o)
		if index < 0 || why != "" && why != "bool" || d != m.Outputs[index].DType {
			bad = true
			continue
		}
		if why == "bool" {
			data = o.TensorContent // a backend's own
		}
		datas[name] = data
	}
	var asked []int // where there is nothing, all is asked for, and missing
	for i := range m.Outputs {
		if _, there := datas[m.Outputs[i].Name]; there {
			asked = append(asked, i)
		}
	}
	bad = bad || asked == nil
	for _, piece := range pieces {
		mem := newMemory()
		batch := mem.NewBatch()
		batch.Model = m
		req := mem.NewRequest()
		req.Outputs = append(req.Outputs, asked...)
		c := mem.NewCall(req)
		batch.Add(c, infer.AllRows)
		batch.Seal()
		resp := mem.NewResponse()
		err := NewResponseDecoder(mem.Slabs).Decode(m, batch, bodyOf(mem.Slabs, b, piece), resp)
		if bad && err == nil || err != nil && err.Code != infer.BadBackend {
			t.Fatalf("%x: %v, bad: %v", b, err, bad)
		}
		if taken = err == nil; taken {
			for _, e := range []infer.Encoding{infer.TFServingGRPC, infer.NoEncoding} {
				req.Encoding = e
				answered(t, mem, Answer{req, m, resp, infer.AllRows}, datas)
			}
			var list slab.List
			if err := NewEncoder(mem.Slabs).Encode(Answer{req, m, resp, infer.AllRows}, Columns, &list); err == nil {
				if b := flatten(&list); !json.Valid(plain(b)) {
					t.Fatalf("%s is no JSON", b)
				}
				list.Release()
			}
		}
		resp.Release()
		req.Release()
		batch.Fail(infer.ErrInternal, nil)
		c.Release()
		if err := mem.Check(); err != nil {
			t.Fatal(err)
		}
	}
	return taken
}

// plain puts numbers where tokens stand that JSON does not have.
func plain(b []byte) []byte {
	return []byte(strings.NewReplacer("NaN", "0", "-Infinity", "0", "Infinity", "0").Replace(string(b)))
}

// answered checks what a client reads of an answer.
func answered(t testing.TB, mem *infer.Memory, a Answer, datas map[string][]byte) {
	t.Helper()
	var out slab.List
	defer out.Release()
	if err := NewMessageEncoder(mem.Slabs).Encode(a, false, &out); err != nil {
		t.Fatal(err)
	}
	got := &pb.PredictResponse{}
	if err := proto.Unmarshal(flatten(&out), got); err != nil {
		t.Fatal(err)
	}
	if len(got.Outputs) != len(datas) || got.ModelSpec.GetName() != a.Model.Name {
		t.Fatalf("%d outputs of %v, want %d", len(got.Outputs), got.ModelSpec, len(datas))
	}
	for name, data := range datas {
		if got.Outputs[name].Dtype == pb.DataType_DT_BOOL {
			data = slices.Clone(data)
			for i, c := range data {
				data[i] = min(c, 1)
			}
			for i, c := range got.Outputs[name].TensorContent {
				got.Outputs[name].TensorContent[i] = min(c, 1)
			}
		}
		if _, _, now, why := tensorOf(got.Outputs[name]); why != "" || !bytes.Equal(now, data) {
			t.Fatalf("%s: %x, %s; want %x", name, now, why, data)
		}
	}
}

func (g *generator) answer(m *infer.Model) []byte {
	p := &pb.PredictResponse{Outputs: map[string]*pb.TensorProto{}, ModelSpec: &pb.ModelSpec{Name: "up"}}
	for i := range m.Outputs {
		if g.one(3) {
			p.Outputs[m.Outputs[i].Name] = g.tensor(m.Outputs[i].DType, m.Outputs[i].Dims, -1)
		}
	}
	return g.disturb(p)
}

func TestResponsesAgree(t *testing.T) {
	g := &generator{rand.New(rand.NewPCG(7, 8))}
	models := fuzzModels()
	taken := 0
	const rounds = 1500
	for range rounds {
		m := models[g.rng.IntN(len(models))]
		if answersAgree(t, m, g.answer(m), 0, 1+g.rng.IntN(9)) {
			taken++
		}
	}
	if taken < rounds/4 {
		t.Errorf("%d of %d taken: the generator has rusted", taken, rounds)
	}
}

func FuzzResponse(f *testing.F) {
	g := &generator{rand.New(rand.NewPCG(3, 4))}
	models := fuzzModels()
	for range 40 {
		i := g.rng.IntN(len(models))
		f.Add(g.answer(models[i]), byte(i), byte(g.rng.IntN(10)))
	}
	f.Fuzz(func(t *testing.T, b []byte, model, piece byte) {
		if len(b) < 4<<10 {
			answersAgree(t, models[int(model)%len(models)], b, 0, int(piece))
		}
	})
}

// dense is what a value of JSON is as a tensor, read by encoding/json.
func dense(d tensor.DType, v any, dst []byte) (shape []int64, data []byte, ok bool) {
	list, isList := v.([]any)
	if !isList {
		data, ok = scalar(d, v, dst)
		return nil, data, ok
	}
	shape = []int64{int64(len(list))}
	var inner []int64
	for i, e := range list {
		var s []int64
		if s, dst, ok = dense(d, e, dst); !ok || i > 0 && !slices.Equal(s, inner) {
			return nil, nil, false
		}
		inner = s
	}
	return append(shape, inner...), dst, true
}

func scalar(d tensor.DType, v any, dst []byte) ([]byte, bool) {
	if d == tensor.Bytes {
		s, ok := v.(string)
		if o, isObject := v.(map[string]any); isObject && len(o) == 1 {
			if s, ok = o["b64"].(string); ok {
				b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
				if err != nil {
					return nil, false
				}
				s = string(b)
			}
		}
		return append(dst, elements(s)...), ok
	}
	var one text.Scanner
	switch v := v.(type) {
	case json.Number:
		one.Reset([]byte(v))
	case bool:
		one.Reset(fmt.Append(nil, v))
	default:
		return nil, false
	}
	var b [8]byte
	bad := one.Element(d, b[:]) // package text holds its numbers against others
	return append(dst, b[:d.Size()]...), bad == text.ValueOK && !one.Failed()
}

// FuzzJSON holds the decoder of REST against encoding/json, as far as that reads the same documents.
func FuzzJSON(f *testing.F) {
	models := []*infer.Model{single(tensor.FP32), single(tensor.Bytes), single(tensor.Int8), single(tensor.Bool), addSub(), signed()}
	for i := range 4 {
		models[i].Inputs[0].Dims = nil
	}
	for _, s := range []string{
		`{"instances":[1,2.5]}`, `{"inputs":[[1,2],[3,4]]}`, `{"inputs":7}`, `{"instances":[{"A":[1,2],"B":[3,4]}]}`, `{"instances":["a",{"b64":"YQ=="}]}`,
		`{"inputs":{"x":[[[]]]}}`, `{"instances":[1],"signature_name":"other"}`, `{"instances":[{"x":{"b64":"YQ"}}]}`, `{"inputs":{"A":[[1,2]],"B":[[3,4]]}}`, `{"instances":[[],[1]]}`,
	} {
		for i := range models {
			f.Add([]byte(s), byte(i), byte(3))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte, model, piece byte) {
		m := models[int(model)%len(models)]
		var all []string
		for _, p := range []int{0, int(piece)} {
			decodeJSON(t, m, string(doc), p, 1<<16, func(req *infer.Request, form Form, err *infer.Error) {
				if err != nil {
					all = append(all, err.Text)
					return
				}
				all = append(all, fmt.Sprint(form, show(m, req)))
				readsAlike(t, m, doc, req, form)
			})
		}
		if all[0] != all[1] {
			t.Fatalf("%s, in pieces %s", all[0], all[1])
		}
	})
}

func readsAlike(t *testing.T, m *infer.Model, doc []byte, req *infer.Request, form Form) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v map[string]any
	if dec.Decode(&v) != nil {
		return // it has tokens that JSON does not
	}
	for i := range req.Inputs {
		in := &req.Inputs[i]
		name := m.Inputs[in.Index].Name
		value := v["inputs"]
		if form == Rows {
			value = v["instances"]
		}
		if o, ok := value.(map[string]any); ok && o[name] != nil {
			value = o[name]
		}
		if rows, ok := value.([]any); ok && form == Rows {
			column := make([]any, len(rows))
			for i, row := range rows {
				if column[i] = row; in.DType != tensor.Bytes || m.Inputs[in.Index].Name != "b64" {
					if o, ok := row.(map[string]any); ok && o[name] != nil {
						column[i] = o[name]
					}
				}
			}
			value = column
		}
		shape, data, ok := dense(in.DType, value, nil)
		if !ok || !slices.Equal(shape, in.Shape) || !bytes.Equal(data, flatten(&in.Data)) {
			t.Fatalf("%s: %s is %v %x, want %v %x (%v)", doc, name, in.Shape, flatten(&in.Data), shape, data, ok)
		}
	}
}
