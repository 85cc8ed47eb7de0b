package tfserving

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// decodeMessage decodes b laid out in pieces and checks that nothing stays out afterwards.
func decodeMessage(t testing.TB, m *infer.Model, b []byte, piece int, limit int64, look func(*MessageDecoder, *infer.Request, *infer.Error)) {
	t.Helper()
	mem := newMemory()
	req := mem.NewRequest()
	body := bodyOf(mem.Slabs, b, piece)
	req.Body.Take(body)
	d := NewMessageDecoder(mem.Slabs)
	err := d.Decode(Source{Model: m, Body: &req.Body, MaxBytes: limit}, req)
	look(d, req, err)
	req.Release()
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}

func predict(inputs map[string]*pb.TensorProto) *pb.PredictRequest {
	return &pb.PredictRequest{ModelSpec: &pb.ModelSpec{Name: "m"}, Inputs: inputs}
}

// unpacked writes every packed list of a message's tensors one element at a time.
func unpacked(b []byte, depth int) (out []byte) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		m := protowire.ConsumeFieldValue(num, typ, b[n:])
		val := b[n : n+m]
		inner, _ := protowire.ConsumeBytes(val)
		switch {
		case depth < 2 && num == 2 && typ == protowire.BytesType:
			out = protowire.AppendBytes(protowire.AppendTag(out, num, typ), unpacked(inner, depth+1))
		case depth == 2 && typ == protowire.BytesType && int(num) < len(listFields) && listFields[num].Name != "" && num != stringList:
			each := protowire.Type(listFields[num].Wire)
			for len(inner) > 0 {
				k := protowire.ConsumeFieldValue(num, each, inner)
				out = append(protowire.AppendTag(out, num, each), inner[:k]...)
				inner = inner[k:]
			}
		default:
			out = append(out, b[:n+m]...)
		}
		b = b[n+m:]
	}
	return out
}

func TestMessageForms(t *testing.T) {
	for _, d := range everyType {
		for _, shape := range [][]int64{{}, {0}, {1}, {7}, {2, 3}, {2, 0, 4}} {
			n, _ := tensor.Elements(shape)
			data := ramp(d, int(n))
			dims := make([]int64, len(shape))
			for i := range dims {
				dims[i] = -1
			}
			m := single(d, dims...)
			forms := map[string][]byte{
				"content": marshal(t, predict(map[string]*pb.TensorProto{"x": content(d, data, shape...)})),
				"list":    marshal(t, predict(map[string]*pb.TensorProto{"x": listed(d, data, shape...)})),
			}
			forms["unpacked"] = unpacked(forms["list"], 0)
			for name, b := range forms {
				for _, piece := range []int{0, 1, 5} {
					t.Run(fmt.Sprint(d, shape, name, piece), func(t *testing.T) {
						decodeMessage(t, m, b, piece, 0, func(_ *MessageDecoder, req *infer.Request, err *infer.Error) {
							if err != nil {
								t.Fatal(err)
							}
							in := &req.Inputs[0]
							if got := flatten(&in.Data); in.DType != d || !slices.Equal(in.Shape, shape) || !bytes.Equal(got, data) {
								t.Errorf("%s %v %x, want %s %v %x", in.DType, in.Shape, got, d, shape, data)
							}
							if req.Encoding != infer.TFServingGRPC || req.Bytes != int64(len(data)) {
								t.Errorf("encoding %v, %d bytes", req.Encoding, req.Bytes)
							}
						})
					})
				}
			}
		}
	}
}

func TestShortListsRepeatTheLast(t *testing.T) {
	for _, d := range everyType {
		for _, said := range []int{0, 1, 3} {
			p := listed(d, ramp(d, said), 2, 5)
			_, _, want, why := tensorOf(p)
			if why != "" {
				t.Fatal(why)
			}
			b := marshal(t, predict(map[string]*pb.TensorProto{"x": p}))
			for _, b := range [][]byte{b, unpacked(b, 0)} {
				decodeMessage(t, single(d, -1, -1), b, 3, 0, func(_ *MessageDecoder, req *infer.Request, err *infer.Error) {
					if err != nil {
						t.Fatal(err)
					}
					if got := flatten(&req.Inputs[0].Data); !bytes.Equal(got, want) {
						t.Errorf("%s, %d of 10: %x, want %x", d, said, got, want)
					}
				})
			}
		}
	}
}

func TestFloatsAreNotCopied(t *testing.T) {
	data := ramp(tensor.FP32, 100)
	for name, p := range map[string]*pb.TensorProto{"content": content(tensor.FP32, data, 100), "list": listed(tensor.FP32, data, 100)} {
		decodeMessage(t, single(tensor.FP32, -1), marshal(t, predict(map[string]*pb.TensorProto{"x": p})), 0, 1, func(_ *MessageDecoder, req *infer.Request, err *infer.Error) {
			if err != nil {
				t.Fatal(err) // the limit is for what is copied
			}
			body, in := req.Body.At(0).B, req.Inputs[0].Data.At(0).B
			if at := bytes.Index(body, data); at < 0 || &body[at] != &in[0] {
				t.Errorf("%s: the data was copied", name)
			}
		})
	}
}

func TestPeekModel(t *testing.T) {
	for _, tc := range []struct {
		name string
		req  *pb.PredictRequest
		want string
	}{
		{"empty", &pb.PredictRequest{}, "   true"},
		{"name", &pb.PredictRequest{ModelSpec: &pb.ModelSpec{Name: "m"}}, "m   true"},
		{"version", &pb.PredictRequest{ModelSpec: &pb.ModelSpec{Name: "m", VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(42)}}}, "m 42  true"},
		{"version zero", &pb.PredictRequest{ModelSpec: &pb.ModelSpec{VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(0)}}}, " 0  true"},
		{"label", &pb.PredictRequest{ModelSpec: &pb.ModelSpec{Name: "m", VersionChoice: &pb.ModelSpec_VersionLabel{VersionLabel: "canary"}, SignatureName: "s"}}, "m  canarys true"},
		{"content", predict(map[string]*pb.TensorProto{"x": content(tensor.Int8, []byte{1}, 1)}), "m   true"},
		{"floats", predict(map[string]*pb.TensorProto{"x": listed(tensor.FP32, f32(1), 1)}), "m   true"},
		{"ints", predict(map[string]*pb.TensorProto{"x": listed(tensor.Int8, []byte{1}, 1)}), "m   false"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := newMemory()
			body := bodyOf(mem.Slabs, marshal(t, tc.req), 3)
			p, err := NewMessageDecoder(mem.Slabs).PeekModel(body)
			if got := fmt.Sprintf("%s %s %s%s %v", p.Name, p.Version, p.Label, p.Signature, p.Raw); err != nil || got != tc.want {
				t.Errorf("%q, %v; want %q", got, err, tc.want)
			}
			body.Release()
		})
	}
}

// A specs merges as messages do, and the last of its versions stands.
func TestSpecsMerge(t *testing.T) {
	parts := []*pb.ModelSpec{
		{Name: "a", SignatureName: "s", VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(5)}},
		{Name: "b", VersionChoice: &pb.ModelSpec_VersionLabel{VersionLabel: "l"}},
		{VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(0)}},
		{VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(-3)}},
	}
	mem := newMemory()
	d := NewMessageDecoder(mem.Slabs)
	for i := range 1 << (2 * len(parts)) {
		var b []byte
		for n := i; n > 0; n >>= 2 {
			b = append(b, marshal(t, &pb.PredictRequest{ModelSpec: parts[n&3]})...)
		}
		want := &pb.PredictRequest{}
		if err := proto.Unmarshal(b, want); err != nil {
			t.Fatal(err)
		}
		version := ""
		if v := want.GetModelSpec().GetVersion(); v != nil {
			version = fmt.Sprint(v.Value)
		}
		body := bodyOf(mem.Slabs, b, 0)
		p, err := d.PeekModel(body)
		if s := want.GetModelSpec(); err != nil || string(p.Name) != s.GetName() || string(p.Version) != version || string(p.Label) != s.GetVersionLabel() || string(p.Signature) != s.GetSignatureName() {
			t.Fatalf("%x: %s %s %s %s, %v; want %v", b, p.Name, p.Version, p.Label, p.Signature, err, s)
		}
		body.Release()
	}
}

func TestMessageRefuses(t *testing.T) {
	ab := func(a, b *pb.TensorProto) *pb.PredictRequest {
		return predict(map[string]*pb.TensorProto{"A": a, "B": b})
	}
	good := content(tensor.FP32, f32(1, 2), 1, 2)
	with := func(p *pb.PredictRequest, change func(*pb.PredictRequest)) *pb.PredictRequest {
		p = proto.Clone(p).(*pb.PredictRequest)
		change(p)
		return p
	}
	for _, tc := range []struct {
		name string
		m    *infer.Model
		req  *pb.PredictRequest
		code infer.Code
		text string
	}{
		{"missing", addSub(), predict(map[string]*pb.TensorProto{"A": good}), infer.Invalid, "missing required input(s) ['B']"},
		{"unknown", addSub(), predict(map[string]*pb.TensorProto{"A": good, "C": good}), infer.Invalid, "unexpected inference input 'C'"},
		{"three", addSub(), with(ab(good, good), func(p *pb.PredictRequest) { p.Inputs["C"] = good }), infer.Invalid, "more inputs than the 2"},
		{"type", addSub(), ab(good, content(tensor.FP64, make([]byte, 16), 1, 2)), infer.Invalid, "data-type is 'FP64'"},
		{"complex", addSub(), ab(good, &pb.TensorProto{Dtype: pb.DataType_DT_COMPLEX64}), infer.Invalid, "DT_COMPLEX64, which is not supported"},
		{"no type", addSub(), ab(good, &pb.TensorProto{}), infer.Invalid, "DT_INVALID"},
		{"strange type", addSub(), ab(good, &pb.TensorProto{Dtype: 99}), infer.Invalid, "data type 99"},
		{"rank", addSub(), ab(good, content(tensor.FP32, f32(1, 2), 2)), infer.Invalid, "unexpected shape for input 'B'"},
		{"unknown rank", addSub(), ab(good, &pb.TensorProto{Dtype: pb.DataType_DT_FLOAT, TensorShape: &pb.TensorShapeProto{UnknownRank: true}}), infer.Invalid, "is not known"},
		{"negative", addSub(), ab(good, content(tensor.FP32, f32(1, 2), -1, 2)), infer.Invalid, "negative dimension"},
		{"rows", addSub(), ab(good, content(tensor.FP32, f32(1, 2, 3, 4), 2, 2)), infer.Invalid, "batch size"},
		{"short content", addSub(), ab(good, content(tensor.FP32, f32(1), 1, 2)), infer.Invalid, "expected 8 bytes, got 4"},
		{"many", addSub(), ab(good, listed(tensor.FP32, f32(1, 2, 3), 1, 2)), infer.Invalid, "needs 2 elements, got 3"},
		{"wrong list", addSub(), ab(good, &pb.TensorProto{Dtype: pb.DataType_DT_FLOAT, TensorShape: shapeOf(1, 2), DoubleVal: []float64{1, 2}}), infer.Invalid, "came as double_val, which data type DT_FLOAT does not take"},
		{"two lists", addSub(), ab(good, &pb.TensorProto{Dtype: pb.DataType_DT_FLOAT, TensorShape: shapeOf(1, 2), FloatVal: []float32{1, 2}, DoubleVal: []float64{1}}), infer.Invalid, "several lists"},
		{"list and content", addSub(), ab(good, &pb.TensorProto{Dtype: pb.DataType_DT_FLOAT, TensorShape: shapeOf(1, 2), FloatVal: []float32{1}, TensorContent: f32(1, 2)}), infer.Invalid, "both as tensor_content and as float_val"},
		{"int8 300", single(tensor.Int8, -1), predict(map[string]*pb.TensorProto{"x": {Dtype: pb.DataType_DT_INT8, TensorShape: shapeOf(2), IntVal: []int32{1, 300}}}), infer.Invalid, "element 1 is out of the range"},
		{"uint8 -1", single(tensor.Uint8, -1), predict(map[string]*pb.TensorProto{"x": {Dtype: pb.DataType_DT_UINT8, TensorShape: shapeOf(1), IntVal: []int32{-1}}}), infer.Invalid, "element 0 is out of the range"},
		{"half 65536", single(tensor.FP16, -1), predict(map[string]*pb.TensorProto{"x": {Dtype: pb.DataType_DT_HALF, TensorShape: shapeOf(1), HalfVal: []int32{65536}}}), infer.Invalid, "element 0 is out of the range"},
		{"bool 2", single(tensor.Bool, -1), predict(map[string]*pb.TensorProto{"x": content(tensor.Bool, []byte{2}, 1)}), infer.Invalid, "neither 0 nor 1"},
		{"strings", single(tensor.Bytes, -1), predict(map[string]*pb.TensorProto{"x": {Dtype: pb.DataType_DT_STRING, TensorShape: shapeOf(2), TensorContent: []byte{1, 1, 'a'}}}), infer.Invalid, "lengths do not agree"},
		{"strings with more", single(tensor.Bytes, -1), predict(map[string]*pb.TensorProto{"x": {Dtype: pb.DataType_DT_STRING, TensorShape: shapeOf(1), TensorContent: []byte{1, 'a', 'b'}}}), infer.Invalid, "lengths do not agree"},
		{"zeros above the limit", single(tensor.FP32, -1), predict(map[string]*pb.TensorProto{"x": listed(tensor.FP32, nil, 1<<40)}), infer.TooLarge, "the limit of 1048576 bytes"},
		{"strings above the limit", single(tensor.Bytes, -1), predict(map[string]*pb.TensorProto{"x": listed(tensor.Bytes, elements(strings.Repeat("a", 2000)), 1000)}), infer.TooLarge, "the limit of 1048576 bytes"},
		{"more strings than there can be", single(tensor.Bytes, -1), predict(map[string]*pb.TensorProto{"x": listed(tensor.Bytes, elements(strings.Repeat("a", 2000)), 1<<60)}), infer.Invalid, "more bytes than there can be"},
		{"output", addSub(), with(ab(good, good), func(p *pb.PredictRequest) { p.OutputFilter = []string{"X"} }), infer.Invalid, "unexpected inference output 'X'"},
		{"output twice", addSub(), with(ab(good, good), func(p *pb.PredictRequest) { p.OutputFilter = []string{"SUM", "SUM"} }), infer.Invalid, "already exists"},
		{"many outputs", addSub(), with(ab(good, good), func(p *pb.PredictRequest) { p.OutputFilter = []string{"SUM", "SUM", "SUM"} }), infer.Invalid, "more outputs than the 2"},
		{"signature", addSub(), with(ab(good, good), func(p *pb.PredictRequest) { p.ModelSpec.SignatureName = "s" }), infer.Invalid, "key 's' not found"},
		{"input of another signature", signed(), with(predict(map[string]*pb.TensorProto{"x": content(tensor.FP32, f32(1), 1)}), func(p *pb.PredictRequest) { p.ModelSpec.SignatureName = "other" }), infer.Invalid, "unexpected inference input 'x' for signature 'other'"},
		{"input of a signature is missing", signed(), predict(map[string]*pb.TensorProto{"x": content(tensor.FP32, f32(1), 1)}), infer.Invalid, "input 'z' of signature 'serving_default' of model 'signed' is missing"},
		{"output of another signature", signed(), with(predict(map[string]*pb.TensorProto{"z": listed(tensor.Int32, nil, 1)}), func(p *pb.PredictRequest) { p.ModelSpec.SignatureName, p.OutputFilter = "other", []string{"scores"} }), infer.Invalid, "unexpected inference output 'scores' for signature 'other'"},
		{"decoupled", &infer.Model{Name: "d", Decoupled: true}, predict(nil), infer.Unsupported, "any number of answers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1, 4} {
				decodeMessage(t, tc.m, marshal(t, tc.req), piece, 1<<20, func(d *MessageDecoder, _ *infer.Request, err *infer.Error) {
					if err == nil || err.Code != tc.code || !strings.Contains(err.Text, tc.text) || d.Malformed() {
						t.Errorf("%v, malformed %v; want %v %q", err, d.Malformed(), tc.code, tc.text)
					}
				})
			}
		})
	}
}

// A sent is a request of a run, and the rows of it that are members; zero: all.
type sent struct {
	req  *pb.PredictRequest
	rows infer.Rows
}

// A runOf is a batch of requests, decoded as an edge decodes them.
type runOf struct {
	mem   *infer.Memory
	batch *infer.Batch
	calls []*infer.Call
}

func batchOf(t testing.TB, m *infer.Model, piece int, requests ...sent) *runOf {
	t.Helper()
	r := &runOf{mem: newMemory()}
	r.batch = r.mem.NewBatch()
	r.batch.Model = m
	for _, s := range requests {
		req := r.mem.NewRequest()
		b := marshal(t, s.req)
		if piece > 0 {
			piece = max(piece, len(b)/300)
		}
		req.Body.Take(bodyOf(r.mem.Slabs, b, piece))
		if err := NewMessageDecoder(r.mem.Slabs).Decode(Source{Model: m, Body: &req.Body}, req); err != nil {
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
		r.calls = append(r.calls, c)
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

// sends returns what the backend reads of a run.
func (r *runOf) sends(t testing.TB, name, version string) ([]byte, *pb.PredictRequest) {
	t.Helper()
	var out slab.List
	defer out.Release()
	if err := NewRequestEncoder(r.mem.Slabs).Encode(r.batch, name, version, &out); err != nil {
		t.Fatal(err)
	}
	b, p := flatten(&out), &pb.PredictRequest{}
	if err := proto.Unmarshal(b, p); err != nil {
		t.Fatal(err)
	}
	return b, p
}

func TestEncodeRequest(t *testing.T) {
	for _, d := range everyType {
		for _, size := range []int{1, 300} {
			m := single(d, -1, int64(size))
			m.MaxBatch = 16
			var requests []sent
			var want []byte
			rows := int64(0)
			for _, n := range []int64{1, 3, 2} {
				data := ramp(d, size*int(n))
				if d == tensor.Bytes && size > 1 {
					data = bytes.Repeat(elements(strings.Repeat("large", 1000), "", "s"), size*int(n)/3)
				}
				requests = append(requests, sent{req: predict(map[string]*pb.TensorProto{"x": listed(d, data, n, int64(size))})})
				want, rows = append(want, data...), rows+n
			}
			for _, piece := range []int{0, 7} {
				t.Run(fmt.Sprint(d, size, piece), func(t *testing.T) {
					r := batchOf(t, m, piece, requests...)
					defer r.end(t)
					_, got := r.sends(t, "upstream", "12")
					dt, shape, data, why := tensorOf(got.Inputs["x"])
					if dt != d || !slices.Equal(shape, []int64{rows, int64(size)}) || !bytes.Equal(data, want) || why != "" {
						t.Errorf("%s %v of %d bytes %q, want %d", dt, shape, len(data), why, len(want))
					}
					if s := got.ModelSpec; s.Name != "upstream" || s.GetVersion().GetValue() != 12 || s.SignatureName != "" || len(got.OutputFilter) > 0 {
						t.Errorf("spec %v, outputs %v", s, got.OutputFilter)
					}
				})
			}
		}
	}
}

func TestEncodeRequestOfParts(t *testing.T) {
	two := predict(map[string]*pb.TensorProto{"A": content(tensor.FP32, f32(1, 2, 3, 4), 2, 2), "B": content(tensor.FP32, f32(5, 6, 7, 8), 2, 2)})
	two.OutputFilter = []string{"DIFF"}
	r := batchOf(t, addSub(), 0, sent{two, infer.Rows{First: 1, N: 1}}, sent{req: two})
	defer r.end(t)
	_, got := r.sends(t, "addsub", "")
	_, shape, data, _ := tensorOf(got.Inputs["B"])
	if !slices.Equal(shape, []int64{3, 2}) || !bytes.Equal(data, f32(7, 8, 5, 6, 7, 8)) || got.ModelSpec.VersionChoice != nil || !slices.Equal(got.OutputFilter, []string{"DIFF"}) {
		t.Errorf("%v", got)
	}
}

// TestPassRequest holds that a request that travels alone keeps what nobody here understands.
func TestPassRequest(t *testing.T) {
	req := predict(map[string]*pb.TensorProto{"z": listed(tensor.Int32, nil, 1)})
	req.ModelSpec.SignatureName = "other"
	req.ModelSpec.VersionChoice = &pb.ModelSpec_VersionLabel{VersionLabel: "canary"}
	req.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 6, protowire.BytesType), "the client's id"))
	for _, tc := range []struct {
		name, version string
		same          bool
	}{{"m", "", false}, {"up", "3", false}, {"m", "0", false}} {
		for _, piece := range []int{0, 5} {
			r := batchOf(t, signed(), piece, sent{req: req})
			_, got := r.sends(t, tc.name, tc.version)
			want := proto.Clone(req).(*pb.PredictRequest)
			want.ModelSpec = &pb.ModelSpec{Name: tc.name, SignatureName: "other"}
			if v, ok := wantsVersion(tc.version); ok {
				want.ModelSpec.VersionChoice = &pb.ModelSpec_Version{Version: wrapperspb.Int64(v)}
			}
			if !proto.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			r.end(t)
		}
	}
	plain := predict(map[string]*pb.TensorProto{"x": listed(tensor.Int32, nil, 1)})
	r := batchOf(t, single(tensor.Int32, -1), 9, sent{req: plain})
	defer r.end(t)
	if b, _ := r.sends(t, "m", ""); !bytes.Equal(b, marshal(t, plain)) {
		t.Errorf("%x, want what came, %x", b, marshal(t, plain))
	}
}

// answerOf decodes an answer laid out in pieces.
func (r *runOf) answerOf(b []byte, piece int) (*infer.Response, *infer.Error) {
	resp := r.mem.NewResponse()
	err := NewResponseDecoder(r.mem.Slabs).Decode(r.batch.Model, r.batch, bodyOf(r.mem.Slabs, b, piece), resp)
	return resp, err
}

// TestAnswers takes answers of every type from a backend to clients: passed, parts of a merged run, and as tensor_content.
func TestAnswers(t *testing.T) {
	for _, d := range everyType {
		for _, size := range []int64{0, 1, 700} {
			m := single(d, -1, size)
			m.MaxBatch = 8
			data := ramp(d, int(3*size))
			if d == tensor.Bytes && size > 1 {
				data = bytes.Repeat(elements(strings.Repeat("large", 300), "", "s"), int(size))
			}
			request := sent{req: predict(map[string]*pb.TensorProto{"x": listed(d, nil, 1, size)})}
			for name, y := range map[string]*pb.TensorProto{"list": listed(d, data, 3, size), "content": content(d, data, 3, size)} {
				for _, piece := range []int{0, 6} {
					t.Run(fmt.Sprint(d, size, name, piece), func(t *testing.T) {
						answer := &pb.PredictResponse{Outputs: map[string]*pb.TensorProto{"y": y}, ModelSpec: &pb.ModelSpec{Name: "up", VersionChoice: &pb.ModelSpec_Version{Version: wrapperspb.Int64(9)}, SignatureName: DefaultSignature}}
						r := batchOf(t, m, piece, request, request, request)
						defer r.end(t)
						b := marshal(t, answer)
						if piece > 0 {
							piece = max(piece, len(b)/300)
						}
						resp, err := r.answerOf(b, piece)
						defer resp.Release()
						if err != nil {
							t.Fatal(err)
						}
						if string(resp.BodyName) != "up" || string(resp.BodyVersion) != "9" || resp.Encoding != infer.TFServingGRPC {
							t.Errorf("body of %s %s, %v", resp.BodyName, resp.BodyVersion, resp.Encoding)
						}
						for _, rows := range []infer.Rows{infer.AllRows, {First: 1, N: 1}, {First: 0, N: 2}} {
							checkAnswer(t, r, resp, rows, y, piece == 0)
						}
					})
				}
			}
		}
	}
}

// TestMoreThanWasAskedFor leaves out what a backend gives regardless of the filter.
func TestMoreThanWasAskedFor(t *testing.T) {
	m := single(tensor.Int64, -1)
	m.Outputs = append(m.Outputs, infer.Spec{Name: "more", DType: tensor.Int64, Dims: []int64{-1}})
	one := listed(tensor.Int64, ramp(tensor.Int64, 1), 1)
	ask := predict(map[string]*pb.TensorProto{"x": one})
	ask.OutputFilter = []string{"more"}
	r := batchOf(t, m, 0, sent{req: ask})
	defer r.end(t)
	resp, err := r.answerOf(marshal(t, &pb.PredictResponse{Outputs: map[string]*pb.TensorProto{"y": one, "more": one}}), 0)
	defer resp.Release()
	if err != nil {
		t.Fatal(err)
	}
	var out slab.List
	defer out.Release()
	if err := NewMessageEncoder(r.mem.Slabs).Encode(Answer{r.calls[0].Request, m, resp, infer.AllRows}, false, &out); err != nil {
		t.Fatal(err)
	}
	got := &pb.PredictResponse{}
	if err := proto.Unmarshal(flatten(&out), got); err != nil || len(got.Outputs) != 1 || got.Outputs["more"] == nil {
		t.Errorf("%v, %v", got, err)
	}
}

func checkAnswer(t *testing.T, r *runOf, resp *infer.Response, rows infer.Rows, y *pb.TensorProto, prefix bool) {
	t.Helper()
	var out slab.List
	defer out.Release()
	m := r.batch.Model
	if err := NewMessageEncoder(r.mem.Slabs).Encode(Answer{r.calls[0].Request, m, resp, rows}, prefix, &out); err != nil {
		t.Fatal(err)
	}
	b := flatten(&out)
	if prefix {
		if want := []byte{0, byte((len(b) - 5) >> 24), byte((len(b) - 5) >> 16), byte((len(b) - 5) >> 8), byte(len(b) - 5)}; !bytes.Equal(b[:5], want) {
			t.Errorf("prefix %x, want %x", b[:5], want)
		}
		b = b[5:]
	}
	got := &pb.PredictResponse{}
	if err := proto.Unmarshal(b, got); err != nil {
		t.Fatal(err)
	}
	if s := got.ModelSpec; s.Name != m.Name || s.GetVersion().GetValue() != 3 || s.SignatureName != DefaultSignature {
		t.Errorf("spec %v", s)
	}
	d, shape, whole, _ := tensorOf(y)
	want := tensor.Tensor{DType: d, Shape: shape}
	want.Data.Take(bodyOf(r.mem.Slabs, whole, 0))
	var part slab.List
	rows.Append(&part, &want)
	if rows.N >= 0 {
		shape[0] = rows.N
	}
	gd, gshape, gdata, why := tensorOf(got.Outputs["y"])
	if gd != d || !slices.Equal(gshape, shape) || !bytes.Equal(gdata, flatten(&part)) || why != "" {
		t.Errorf("rows %v: %s %v of %d bytes %q, want %v of %d", rows, gd, gshape, len(gdata), why, shape, part.Size())
	}
	if rows.N >= 0 && len(got.Outputs["y"].TensorContent) > 0 {
		t.Error("clients read lists, not tensor_content")
	}
	part.Release()
	want.Data.Release()
}
