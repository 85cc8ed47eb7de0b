package kserve_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// A sent is a request that a client sent: over gRPC, or over REST where json is set, of which head bytes are JSON if
// that is not 0.
type sent struct {
	msg  *pb.ModelInferRequest
	json string
	head int
	rows infer.Rows // of it that are members; zero: all
}

// A runOf is a batch of requests, decoded as an edge decodes them.
type runOf struct {
	mem   *infer.Memory
	batch *infer.Batch
	calls []*infer.Call
	heads []kserve.Head
}

// batchOf decodes requests, their bodies laid out in pieces, and makes them a batch.
func batchOf(t testing.TB, m *infer.Model, piece int, requests ...sent) *runOf {
	t.Helper()
	r := &runOf{mem: newMemory()}
	r.batch = r.mem.NewBatch()
	r.batch.Model = m
	for _, s := range requests {
		req := r.mem.NewRequest()
		var head kserve.Head
		var err *infer.Error
		if s.json != "" {
			move(&req.Body, bodyOf(r.mem.Slabs, []byte(s.json), piece))
			length := rest.NoHeader
			if s.head > 0 {
				length = s.head
			}
			err = rest.NewDecoder(r.mem.Slabs).Decode(kserve.Source{Model: m, Body: &req.Body, HeaderLen: length}, req, &head)
		} else {
			move(&req.Body, bodyOf(r.mem.Slabs, marshalMessage(t, s.msg), piece))
			err = kserve.NewMessageDecoder(r.mem.Slabs).Decode(kserve.Source{Model: m, Body: &req.Body, Stream: true}, req, &head)
		}
		if err != nil {
			t.Fatal(err)
		}
		rows := s.rows
		if rows == (infer.Rows{}) {
			rows = infer.AllRows
		}
		c := r.mem.NewCall(req)
		req.Release()
		if !r.batch.Add(c, rows) {
			t.Fatal("the batch did not take a call")
		}
		r.calls, r.heads = append(r.calls, c), append(r.heads, head)
	}
	r.batch.Seal()
	return r
}

// end ends the batch and checks that nothing stays out.
func (r *runOf) end(t testing.TB) {
	t.Helper()
	r.batch.Fail(infer.ErrInternal, nil)
	for _, c := range r.calls {
		c.Release()
	}
	if err := r.mem.Check(); err != nil {
		t.Error(err)
	}
}

func move(to, from *slab.List) {
	to.AppendList(from)
	from.Release()
}

func flat(l *slab.List) []byte {
	b := make([]byte, l.Size())
	l.CopyTo(b)
	return b
}

func ramp(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i)
	}
	return b
}

// requestEncodings are batches and what the backend is to read.
func requestEncodings() []requestEncoding {
	ab := func(rows int64, a, b []byte) *pb.ModelInferRequest {
		return &pb.ModelInferRequest{
			ModelName: "addsub", Inputs: []*inputMsg{inputOf("A", "FP32", rows, 2), inputOf("B", "FP32", rows, 2)},
			RawInputContents: [][]byte{a, b},
		}
	}
	with := func(p *pb.ModelInferRequest, change func(p *pb.ModelInferRequest)) *pb.ModelInferRequest {
		p = proto.Clone(p).(*pb.ModelInferRequest)
		change(p)
		return p
	}
	one := ab(1, f32(1, 2), f32(3, 4))
	rich := with(one, func(p *pb.ModelInferRequest) {
		p.Id, p.ModelVersion = "7", "1"
		p.Parameters = map[string]*pb.InferParameter{"timeout": intParam(9), "p": stringParam("v")}
		p.Outputs = []*outputMsg{outputOf("DIFF", "classification", intParam(2))}
	})
	typed := with(one, func(p *pb.ModelInferRequest) {
		p.RawInputContents = nil
		p.Inputs[0].Contents = &pb.InferTensorContents{Fp32Contents: []float32{1, 2}}
		p.Inputs[1].Contents = &pb.InferTensorContents{Fp32Contents: []float32{3, 4}}
	})
	two := ab(2, f32(5, 6, 7, 8), f32(9, 10, 11, 12))
	named := func(p *pb.ModelInferRequest, name, version string) *pb.ModelInferRequest {
		return with(p, func(p *pb.ModelInferRequest) { p.ModelName, p.ModelVersion = name, version })
	}
	sum := func(p *pb.ModelInferRequest) *pb.ModelInferRequest {
		return with(p, func(p *pb.ModelInferRequest) { p.Outputs = []*outputMsg{{Name: "SUM"}} })
	}
	typedInput := func(p *pb.ModelInferRequest) *pb.ModelInferRequest {
		return with(p, func(p *pb.ModelInferRequest) {
			p.Inputs[1].Parameters = map[string]*pb.InferParameter{"content_type": stringParam("np")}
		})
	}
	m := addSub()
	wide := &infer.Model{
		Name: "w", Version: "1", MaxBatch: 8, Inputs: []infer.Spec{spec("x", tensor.Int8, -1, 3000), spec("s", tensor.Bytes, -1)},
		Outputs: []infer.Spec{spec("y", tensor.Int8, -1)},
	}
	row := func(rows int64, x []byte, s ...string) *pb.ModelInferRequest {
		return &pb.ModelInferRequest{
			ModelName: "w", Inputs: []*inputMsg{inputOf("s", "BYTES", rows), inputOf("x", "INT8", rows, 3000)},
			RawInputContents: [][]byte{[]byte(bytesElements(s...)), x},
		}
	}
	return []requestEncoding{
		{"as it came", m, "addsub", "", []sent{{msg: one}}, one},
		{"as it came, with everything", m, "addsub", "1", []sent{{msg: rich}}, rich},
		{"as it came, named by rows", m, "addsub", "", []sent{{msg: two, rows: infer.Rows{N: 2}}}, two},
		{"a version is added", m, "addsub", "3", []sent{{msg: one}}, named(one, "addsub", "3")},
		{"a version is taken away", m, "addsub", "", []sent{{msg: rich}}, named(rich, "addsub", "")},
		{"another name", m, "other", "1", []sent{{msg: rich}}, named(rich, "other", "1")},
		{"contents as they came", m, "addsub", "2", []sent{{msg: typed}}, named(typed, "addsub", "2")},
		{"merged", m, "up", "3", []sent{{msg: one}, {msg: two}, {msg: typed}}, named(ab(4, f32(1, 2, 5, 6, 7, 8, 1, 2), f32(3, 4, 9, 10, 11, 12, 3, 4)), "up", "3")},
		{"merged, the same output", m, "up", "", []sent{{msg: sum(one)}, {msg: sum(one)}}, named(sum(ab(2, f32(1, 2, 1, 2), f32(3, 4, 3, 4))), "up", "")},
		{"merged, other outputs", m, "up", "", []sent{{msg: sum(one)}, {msg: one}}, named(ab(2, f32(1, 2, 1, 2), f32(3, 4, 3, 4)), "up", "")},
		{
			"merged, classified by us", m, "up", "",
			[]sent{{msg: rich}, {msg: rich}},
			with(named(ab(2, f32(1, 2, 1, 2), f32(3, 4, 3, 4)), "up", ""), func(p *pb.ModelInferRequest) {
				p.Parameters = map[string]*pb.InferParameter{"p": stringParam("v")}
				p.Outputs = []*outputMsg{{Name: "DIFF"}}
			}),
		},
		{"a part", m, "addsub", "", []sent{{msg: two, rows: infer.Rows{First: 1, N: 1}}}, ab(1, f32(7, 8), f32(11, 12))},
		{
			"JSON", m, "addsub", "5",
			[]sent{{json: `{"id":"j","parameters":{"timeout":4,"sequence_id":18446744073709551615,"b":true,"f":0.5,"i":-3,"s":"x"},
				"inputs":[{"name":"B","shape":[1,2],"datatype":"FP32","data":[1,2]},{"name":"A","shape":[1,2],"datatype":"FP32","data":[3,4]}],
				"outputs":[{"name":"DIFF","parameters":{"classification":1}},{"name":"SUM"}]}`}},
			&pb.ModelInferRequest{
				ModelName: "addsub", ModelVersion: "5", Id: "j", Inputs: []*inputMsg{inputOf("B", "FP32", 1, 2), inputOf("A", "FP32", 1, 2)}, RawInputContents: [][]byte{f32(1, 2), f32(3, 4)},
				Parameters: map[string]*pb.InferParameter{
					"sequence_id": intParam(-1), "b": boolParam(true), "i": intParam(-3), "s": stringParam("x"),
					"f": {ParameterChoice: &pb.InferParameter_DoubleParam{DoubleParam: 0.5}},
				},
			},
		},
		{
			"JSON, with parameters of an input", m, "addsub", "",
			[]sent{{json: `{"inputs":[{"name":"A","shape":[1,2],"datatype":"FP32","parameters":{"content_type":"np","n":18446744073709551615,"b":false,"f":-0.5,"headers":{"a":["b"]},"none":null},"data":[1,2]},
				{"name":"B","shape":[1,2],"datatype":"FP32","data":[3,4],"parameters":{"i":-3}}]}`}},
			with(one, func(p *pb.ModelInferRequest) {
				p.Inputs[0].Parameters = map[string]*pb.InferParameter{
					"content_type": stringParam("np"), "n": uintParam(1<<64 - 1), "b": boolParam(false),
					"f": {ParameterChoice: &pb.InferParameter_DoubleParam{DoubleParam: -0.5}},
				}
				p.Inputs[1].Parameters = map[string]*pb.InferParameter{"i": intParam(-3)}
			}),
		},
		{"merged, with parameters of an input", m, "up", "", []sent{{msg: typedInput(one)}, {msg: typedInput(one)}}, named(typedInput(ab(2, f32(1, 2, 1, 2), f32(3, 4, 3, 4))), "up", "")},
		{
			"large beside small", wide, "w", "",
			[]sent{{msg: row(1, ramp(3000, 1), "a")}, {msg: row(2, ramp(6000, 2), "", strings.Repeat("long", 1000))}, {msg: row(0, nil)}},
			row(3, append(ramp(3000, 1), ramp(6000, 2)...), "a", "", strings.Repeat("long", 1000)),
		},
		{
			"parts of strings", wide, "w", "",
			[]sent{{msg: row(3, ramp(9000, 3), "a", "bc", "def"), rows: infer.Rows{First: 1, N: 1}}, {msg: row(1, ramp(3000, 4), "z")}},
			row(2, append(ramp(9000, 3)[3000:6000:6000], ramp(3000, 4)...), "bc", "z"),
		},
		{
			"a scalar", single(tensor.FP32), "m", "3",
			[]sent{{json: `{"inputs":[{"name":"x","shape":[],"datatype":"FP32","data":[2]}]}`}},
			&pb.ModelInferRequest{ModelName: "m", ModelVersion: "3", Inputs: []*inputMsg{inputOf("x", "FP32")}, RawInputContents: [][]byte{f32(2)}},
		},
	}
}

type requestEncoding struct {
	name        string
	model       *infer.Model
	as, version string
	requests    []sent
	want        *pb.ModelInferRequest
}

func TestEncodeRequest(t *testing.T) {
	for _, tc := range requestEncodings() {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1, 300, 2500} {
				r := batchOf(t, tc.model, piece, tc.requests...)
				enc := kserve.NewRequestEncoder(r.mem.Slabs)
				for range 2 { // the second time with what the first left behind
					var list slab.List
					list.Append(slab.View{B: []byte("before")})
					err := enc.Encode(r.batch, tc.as, tc.version, &list)
					b := flat(&list)
					list.Release()
					got := &pb.ModelInferRequest{}
					if err != nil || !strings.HasPrefix(string(b), "before") || proto.Unmarshal(b[6:], got) != nil {
						t.Fatalf("pieces of %d: %v, %q", piece, err, b)
					}
					if !proto.Equal(got, tc.want) {
						t.Errorf("pieces of %d: %s\nwant %s", piece, prototext.Format(got), prototext.Format(tc.want))
					}
				}
				r.end(t)
			}
		})
	}
}

// TestEncodeCall encodes a call that no batch holds.
func TestEncodeCall(t *testing.T) {
	m := single(tensor.Int8, -1)
	m.Decoupled = true
	msg := &pb.ModelInferRequest{ModelName: "m", Id: "i", Inputs: []*inputMsg{inputOf("x", "INT8", 2)}, RawInputContents: [][]byte{{1, 2}}}
	r := batchOf(t, m, 0, sent{msg: msg})
	var list slab.List
	err := kserve.NewRequestEncoder(r.mem.Slabs).EncodeCall(m, r.calls[0], "m", "", &list)
	if got := flat(&list); err != nil || string(got) != string(marshalMessage(t, msg)) {
		t.Errorf("%v, %q", err, got)
	}
	list.Release()
	r.end(t)
}

// TestRequestSharesTensors merges large tensors without a copy.
func TestRequestSharesTensors(t *testing.T) {
	m := single(tensor.Int8, -1, 1<<20)
	m.MaxBatch = 8
	msg := &pb.ModelInferRequest{ModelName: "m", Inputs: []*inputMsg{inputOf("x", "INT8", 1, 1<<20)}, RawInputContents: [][]byte{ramp(1<<20, 0)}}
	r := batchOf(t, m, 0, sent{msg: msg}, sent{msg: msg}, sent{msg: msg})
	before := r.mem.Slabs.Budget().InUse()
	var list slab.List
	if err := kserve.NewRequestEncoder(r.mem.Slabs).Encode(r.batch, "m", "", &list); err != nil {
		t.Fatal(err)
	}
	if took := r.mem.Slabs.Budget().InUse() - before; took > 1<<10 || list.Len() != 4 {
		t.Errorf("the message took %d bytes and has %d views", took, list.Len())
	}
	list.Release()
	r.end(t)
}
