package kserve_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/message"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

func answered(name, dtype string, shape ...int64) *tensorMsg {
	return &tensorMsg{Name: name, Datatype: dtype, Shape: shape}
}

func answeredBy(raws []string, outs ...*tensorMsg) *pb.ModelInferResponse {
	p := &pb.ModelInferResponse{ModelName: "addsub", ModelVersion: "1", Outputs: outs}
	for _, r := range raws {
		p.RawOutputContents = append(p.RawOutputContents, []byte(r))
	}
	return p
}

func withTyped(o *tensorMsg, c *pb.InferTensorContents) *tensorMsg {
	o.Contents = c
	return o
}

// addSubRequest is a request for addSub that asks for the named outputs.
func addSubRequest(rows int64, outputs ...*outputMsg) *pb.ModelInferRequest {
	data := make([]byte, 8*rows)
	return &pb.ModelInferRequest{
		ModelName: "addsub", Id: "7", Inputs: []*inputMsg{inputOf("A", "FP32", rows, 2), inputOf("B", "FP32", rows, 2)},
		RawInputContents: [][]byte{data, data}, Outputs: outputs,
	}
}

// answerOf decodes an answer to a run, laid out in pieces.
func (r *runOf) answerOf(t testing.TB, msg []byte, piece int) (*infer.Response, *infer.Error) {
	t.Helper()
	resp := r.mem.NewResponse()
	body := bodyOf(r.mem.Slabs, msg, piece)
	err := kserve.NewResponseDecoder(r.mem.Slabs).Decode(r.batch.Model, r.batch, body, resp)
	if body.Len() != 0 {
		t.Errorf("the decoder left the message where it was")
	}
	return resp, err
}

// show writes a response for comparison.
func show(m *infer.Model, r *infer.Response) string {
	var b strings.Builder
	for i := range r.Outputs {
		o := &r.Outputs[i]
		fmt.Fprintf(&b, "%s %s %s %x\n", m.Outputs[o.Index].Name, o.DType, tensor.ShapeString(o.Shape), flat(&o.Data))
		for _, p := range o.Params {
			fmt.Fprintf(&b, "its %s=%d %q %d %v\n", p.Key, p.Kind, p.String, p.Int, p.Float)
		}
	}
	for i := range r.Params {
		p := &r.Params[i]
		fmt.Fprintf(&b, "%s=%d %q %d %v\n", p.Key, p.Kind, p.String, p.Int, p.Float)
	}
	return b.String()
}

func TestDecodeResponse(t *testing.T) {
	sum, diff := string(f32(1, 2)), string(f32(3, 4))
	params := answeredBy([]string{diff}, answered("DIFF", "FP32", 1, 2))
	params.Parameters = map[string]*pb.InferParameter{"b": boolParam(true), "f": doubleParam(0.5), "i": intParam(-1), "none": {}, "s": stringParam("x"), "u": uintParam(1 << 63)}
	unknownDims := addSub()
	unknownDims.Outputs[0].Dims = nil
	all := everyType()
	var every []*tensorMsg
	for i, c := range []*pb.InferTensorContents{
		{BoolContents: []bool{true, false}},
		{IntContents: []int32{-1, 2}},
		{IntContents: []int32{-1, 2}},
		{IntContents: []int32{-1, 2}},
		{Int64Contents: []int64{-1, 2}},
		{UintContents: []uint32{255, 2}},
		{UintContents: []uint32{1, 2}},
		{UintContents: []uint32{1, 2}},
		{Uint64Contents: []uint64{1, 2}},
		nil, nil,
		{Fp32Contents: []float32{1, 2}},
		{Fp64Contents: []float64{1, 2}},
		{BytesContents: [][]byte{[]byte("ab"), nil}},
	} {
		if c != nil {
			every = append(every, withTyped(answered(all.Outputs[i].Name, all.Outputs[i].DType.String(), 2), c))
		}
	}
	for _, tc := range []struct {
		name  string
		model *infer.Model
		sent  []sent
		msg   *pb.ModelInferResponse
		want  string
	}{
		{
			"raw", addSub(),
			[]sent{{msg: addSubRequest(1)}},
			answeredBy([]string{diff, sum}, answered("DIFF", "FP32", 1, 2), answered("SUM", "FP32", 1, 2)),
			"DIFF FP32 [1,2] 0000404000008040\nSUM FP32 [1,2] 0000803f00000040\n",
		},
		{
			"merged", addSub(),
			[]sent{{msg: addSubRequest(1, outputOf("SUM", "classification", intParam(1)))}, {msg: addSubRequest(2)}},
			answeredBy([]string{sum + diff + sum}, answered("SUM", "FP32", 3, 2)), "SUM FP32 [3,2] 0000803f0000004000004040000080400000803f00000040\n",
		},
		{
			"classified as asked", addSub(),
			[]sent{{msg: addSubRequest(1, outputOf("SUM", "classification", intParam(1)))}},
			answeredBy([]string{bytesElements("1:0")}, answered("SUM", "BYTES", 1, 1)), "SUM BYTES [1,1] 03000000313a30\n",
		},
		{
			"not classified though asked", addSub(),
			[]sent{{msg: addSubRequest(1, outputOf("SUM", "classification", intParam(1)))}},
			answeredBy([]string{sum}, answered("SUM", "FP32", 1, 2)), "SUM FP32 [1,2] 0000803f00000040\n",
		},
		{
			"parameters", addSub(),
			[]sent{{msg: addSubRequest(1)}},
			params,
			"DIFF FP32 [1,2] 0000404000008040\nb=2 \"\" 1 0\nf=3 \"\" 0 0.5\ni=1 \"\" -1 0\ns=0 \"x\" 0 0\nu=4 \"\" -9223372036854775808 0\n",
		},
		{"any shape", unknownDims, []sent{{msg: addSubRequest(1)}}, answeredBy([]string{sum}, answered("SUM", "FP32", 1, 1, 2, 1)), "SUM FP32 [1,1,2,1] 0000803f00000040\n"},
		{"a scalar", unknownDims, []sent{{msg: addSubRequest(1)}}, answeredBy([]string{sum[:4]}, answered("SUM", "FP32")), "SUM FP32 [] 0000803f\n"},
		{"nothing in it", addSub(), []sent{{msg: addSubRequest(1)}}, answeredBy([]string{""}, answered("SUM", "FP32", 0, 2)), "SUM FP32 [0,2] \n"},
		{
			"nothing in it, as contents", addSub(),
			[]sent{{msg: addSubRequest(1)}},
			answeredBy(nil, answered("SUM", "FP32", 0, 2), withTyped(answered("DIFF", "FP32", 0, 2), &pb.InferTensorContents{})),
			"SUM FP32 [0,2] \nDIFF FP32 [0,2] \n",
		},
		{"empty contents beside raw", addSub(), []sent{{msg: addSubRequest(1)}}, answeredBy([]string{sum}, withTyped(answered("SUM", "FP32", 1, 2), &pb.InferTensorContents{})), "SUM FP32 [1,2] 0000803f00000040\n"},
		{"no outputs", addSub(), []sent{{msg: addSubRequest(1)}}, answeredBy(nil), ""},
		{
			"contents", all,
			[]sent{{json: `{"inputs":[]}`}},
			answeredBy(nil, every...),
			"BOOL BOOL [2] 0100\nINT8 INT8 [2] ff02\nINT16 INT16 [2] ffff0200\nINT32 INT32 [2] ffffffff02000000\nINT64 INT64 [2] ffffffffffffffff0200000000000000\n" +
				"UINT8 UINT8 [2] ff02\nUINT16 UINT16 [2] 01000200\nUINT32 UINT32 [2] 0100000002000000\nUINT64 UINT64 [2] 01000000000000000200000000000000\n" +
				"FP32 FP32 [2] 0000803f00000040\nFP64 FP64 [2] 000000000000f03f0000000000000040\nBYTES BYTES [2] 02000000616200000000\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1, 9, 30} {
				r := batchOf(t, tc.model, 0, tc.sent...)
				resp, err := r.answerOf(t, marshalMessage(t, tc.msg), piece)
				if err != nil {
					t.Fatal(err)
				}
				if got := show(tc.model, resp); got != tc.want {
					t.Errorf("pieces of %d: got\n%s\nwant\n%s", piece, got, tc.want)
				}
				// Contents become raw: not all clients read them.
				own := infer.KServeGRPC
				if len(tc.msg.Outputs) > 0 && len(tc.msg.RawOutputContents) == 0 {
					own = infer.KServeContents
				}
				if resp.Encoding != own || string(resp.BodyName) != "addsub" || string(resp.BodyVersion) != "1" || len(resp.BodyID) != 0 {
					t.Errorf("%d, named %q %q %q", resp.Encoding, resp.BodyName, resp.BodyVersion, resp.BodyID)
				}
				resp.Release()
				r.end(t)
			}
		})
	}
}

// A responseRefusal is an answer that makes no sense.
type responseRefusal struct {
	name string
	sent []sent
	msg  []byte
	text string
}

func responseRefusals() []responseRefusal {
	plain := []sent{{msg: addSubRequest(1)}}
	sum := string(f32(1, 2))
	bad := func(name, text string, raws []string, outs ...*tensorMsg) responseRefusal {
		b, err := protoMarshal(answeredBy(raws, outs...))
		if err != nil {
			panic(err)
		}
		return responseRefusal{name, plain, b, text}
	}
	broken := func(name, msg, text string) responseRefusal {
		return responseRefusal{name, plain, []byte(msg), "the backend's answer for model 'addsub' cannot be parsed: " + text}
	}
	asking := func(r responseRefusal, s ...sent) responseRefusal {
		r.sent = s
		return r
	}
	fp := func(c *pb.InferTensorContents) *tensorMsg { return withTyped(answered("SUM", "FP32", 1, 2), c) }
	var many []*tensorMsg
	for range 3 {
		many = append(many, answered("SUM", "FP32", 1, 2))
	}
	return []responseRefusal{
		broken("cut tag", "\x80", "ModelInferResponse: the message is cut short at byte 1"),
		broken("name is not UTF-8", "\x0a\x01\xff", "model_name: invalid UTF-8 in a string"),
		broken("cut raw contents", "\x32\x09abc", "raw_output_contents: the message is cut short at byte 2"),
		broken("cut output", "\x2a\x09abc", "outputs: the message is cut short"),
		broken("wire type 6", "\x4e", "ModelInferResponse: invalid wire type"),
		broken("parameter's key is not UTF-8", "\x22\x03\x0a\x01\xff", "parameters: invalid UTF-8 in a string"),
		broken("output's parameter is cut", "\x2a\x05\x22\x03\x0a\x05a", "outputs.parameters: the message is cut short"),
		bad("unknown output", "has the unexpected output 'X', its outputs are ['SUM', 'DIFF']", []string{sum}, answered("X", "FP32", 1, 2)),
		bad("no name", "has the unexpected output ''", []string{sum}, answered("", "FP32", 1, 2)),
		bad("an output twice", "output 'SUM' of model 'addsub' is in the backend's answer twice", []string{sum, sum}, many[:2]...),
		bad("another type", "output 'SUM' of model 'addsub' came as data type 'INT32', the model says FP32", []string{sum}, answered("SUM", "INT32", 1, 2)),
		bad("unknown type", "came as data type 'fp32', the model says FP32", []string{sum}, answered("SUM", "fp32", 1, 2)),
		bad("no type", "came as data type '', the model says FP32", []string{sum}, answered("SUM", "", 1, 2)),
		bad("another rank", "came with shape [2], the model says [-1,2]", []string{sum}, answered("SUM", "FP32", 2)),
		bad("another dimension", "came with shape [1,3], the model says [-1,2]", []string{sum}, answered("SUM", "FP32", 1, 3)),
		bad("negative dimension", "came with a shape that has a negative dimension", []string{sum}, answered("SUM", "FP32", -1, 2)),
		bad("33 dimensions", "came with a shape that has more than 32 dimensions", []string{sum}, answered("SUM", "FP32", make([]int64, 33)...)),
		bad("overflow", "came with a shape of more elements than fit 63 bits", []string{sum}, answered("SUM", "FP32", 1<<62, 2)),
		bad("too few bytes", "came with shape [1,2] of data type FP32, which takes 8 bytes, and 4 bytes", []string{sum[:4]}, answered("SUM", "FP32", 1, 2)),
		bad("too many bytes", "which takes 8 bytes, and 16 bytes", []string{sum + sum}, answered("SUM", "FP32", 1, 2)),
		bad("fewer raw contents than outputs", "has 2 outputs and 1 raw_output_contents", []string{sum}, answered("SUM", "FP32", 1, 2), answered("DIFF", "FP32", 1, 2)),
		bad("more raw contents than outputs", "has 1 outputs and 2 raw_output_contents", []string{sum, sum}, answered("SUM", "FP32", 1, 2)),
		bad("more raw contents than the model has outputs", "has more raw_output_contents than the model has outputs, 2", []string{sum, sum, sum}, answered("SUM", "FP32", 1, 2)),
		bad("no data", "output 'SUM' of model 'addsub' came with shape [1,2] and 0 elements", nil, answered("SUM", "FP32", 1, 2)),
		bad("contents and raw", "came both as contents and as raw_output_contents", []string{sum}, fp(&pb.InferTensorContents{Fp32Contents: []float32{1, 2}})),
		bad("several contents", "came in several fields of contents", nil, fp(&pb.InferTensorContents{Fp32Contents: []float32{1}, IntContents: []int32{1}})),
		bad("contents of another type", "came as fp64_contents, which data type FP32 does not take", nil, fp(&pb.InferTensorContents{Fp64Contents: []float64{1, 2}})),
		bad("too few elements", "came with shape [1,2] and 1 elements", nil, fp(&pb.InferTensorContents{Fp32Contents: []float32{1}})),
		asking(bad("classes that nobody asked for", "came as data type 'BYTES', the model says FP32", []string{bytesElements("1:0")}, answered("SUM", "BYTES", 1, 1)), sent{msg: addSubRequest(1, &outputMsg{Name: "SUM"})}),
		asking(bad("classes of a merged run", "came as data type 'BYTES', the model says FP32", []string{bytesElements("1:0")}, answered("SUM", "BYTES", 1, 1)),
			sent{msg: addSubRequest(1, outputOf("SUM", "classification", intParam(1)))}, sent{msg: addSubRequest(1)}),
		asking(bad("broken classes", "came with strings whose lengths do not agree with its data", []string{"\x09\x00\x00\x00x"}, answered("SUM", "BYTES", 1, 1)), sent{msg: addSubRequest(1, outputOf("SUM", "classification", intParam(1)))}),
		asking(bad("fewer classes than the shape says", "came with shape [1,2] and 1 elements", []string{bytesElements("1:0")}, answered("SUM", "BYTES", 1, 2)), sent{msg: addSubRequest(1, outputOf("SUM", "classification", intParam(2)))}),
		asking(bad("missing output", "output 'DIFF' of model 'addsub' is missing in the backend's answer", []string{sum}, answered("SUM", "FP32", 1, 2)), sent{msg: addSubRequest(1, &outputMsg{Name: "SUM"}, &outputMsg{Name: "DIFF"})}),
		asking(bad("missing output of the second member", "output 'DIFF' of model 'addsub' is missing in the backend's answer", []string{sum}, answered("SUM", "FP32", 1, 2)), plain[0], sent{msg: addSubRequest(1, &outputMsg{Name: "DIFF"})}),
	}
}

func TestDecodeResponseRefuses(t *testing.T) {
	for _, tc := range responseRefusals() {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1, 7} {
				r := batchOf(t, addSub(), 0, tc.sent...)
				resp, err := r.answerOf(t, tc.msg, piece)
				if err == nil || err.Code != infer.BadBackend || err.Origin != infer.FromBackend || !strings.Contains(err.Text, tc.text) {
					t.Errorf("%v; want %s", err, tc.text)
				}
				resp.Release()
				r.end(t)
			}
		})
	}
}

// TestDecoderForgets decodes with one decoder what would be read differently if it remembered the answer before.
func TestDecoderForgets(t *testing.T) {
	classes := marshalMessage(t, answeredBy([]string{bytesElements("1:0")}, answered("SUM", "BYTES", 1, 1)))
	r := batchOf(t, addSub(), 0, sent{msg: addSubRequest(1, outputOf("SUM", "classification", intParam(1)))})
	other := batchOf(t, addSub(), 0, sent{msg: addSubRequest(1)}, sent{msg: addSubRequest(1)})
	d := kserve.NewResponseDecoder(r.mem.Slabs)
	for i, tc := range []struct {
		batch *infer.Batch
		msg   []byte
		ok    bool
	}{
		{r.batch, classes, true},
		{other.batch, classes, false},
		{r.batch, []byte("\x0a\x01n\x12\x01v\x1a\x01i\x22\x03\x0a\x01k\x32\x00"), false},
		{other.batch, nil, true},
	} {
		resp := r.mem.NewResponse()
		err := d.Decode(addSub(), tc.batch, bodyOf(r.mem.Slabs, tc.msg, 0), resp)
		if (err == nil) != tc.ok || tc.msg == nil && len(resp.BodyName)+len(resp.BodyVersion)+len(resp.BodyID)+len(resp.Params) != 0 {
			t.Errorf("%d: %v, %q", i, err, resp.BodyName)
		}
		resp.Release()
	}
	r.end(t)
	other.end(t)
}

func TestDecodeStream(t *testing.T) {
	m := addSub()
	m.Decoupled = true
	sum := string(f32(1, 2))
	answer := answeredBy([]string{sum}, answered("SUM", "FP32", 1, 2))
	answer.Parameters = map[string]*pb.InferParameter{"triton_final_response": boolParam(false)}
	last := answeredBy(nil)
	last.Parameters = map[string]*pb.InferParameter{"triton_final_response": boolParam(true)}
	wrap := func(p *pb.ModelInferResponse) []byte {
		return marshalMessage(t, &pb.ModelStreamInferResponse{InferResponse: p})
	}
	for _, tc := range []struct {
		name  string
		msg   []byte
		want  string
		final kserve.Final
		body  *pb.ModelInferResponse
		code  infer.Code
		text  string
	}{
		{"an answer", wrap(answer), "SUM FP32 [1,2] 0000803f00000040\ntriton_final_response=2 \"\" 0 0\n", kserve.FinalNo, answer, infer.OK, ""},
		{"the last one", wrap(last), "triton_final_response=2 \"\" 1 0\n", kserve.FinalYes, last, infer.OK, ""},
		{
			"in two pieces", append(wrap(answer), wrap(&pb.ModelInferResponse{Id: "late"})...), "SUM FP32 [1,2] 0000803f00000040\ntriton_final_response=2 \"\" 0 0\n", kserve.FinalNo,
			&pb.ModelInferResponse{ModelName: "addsub", ModelVersion: "1", Id: "late", Outputs: answer.Outputs, RawOutputContents: answer.RawOutputContents, Parameters: answer.Parameters}, infer.OK, "",
		},
		{"an error", marshalMessage(t, &pb.ModelStreamInferResponse{ErrorMessage: "it broke: é", InferResponse: &pb.ModelInferResponse{Id: "7"}}), "", 0, nil, infer.Internal, "it broke: é"},
		{"an error that is the last answer", marshalMessage(t, &pb.ModelStreamInferResponse{ErrorMessage: "it broke", InferResponse: last}), "", kserve.FinalYes, nil, infer.Internal, "it broke"},
		{"an error beside nonsense", []byte("\x0a\x03bad\x12\x02\x0a\x05"), "", 0, nil, infer.Internal, "bad"},
		{"a long error", marshalMessage(t, &pb.ModelStreamInferResponse{ErrorMessage: "x" + strings.Repeat("é", 4000)}), "", 0, nil, infer.Internal, "x" + strings.Repeat("é", 2047)},
		{"nothing", nil, "", 0, nil, infer.BadBackend, "the backend's answer for model 'addsub' holds neither outputs nor an error"},
		{"cut", []byte("\x12\x05\x0a"), "", 0, nil, infer.BadBackend, "infer_response: the message is cut short"},
		{"a field in two pieces", []byte("\x12\x0810000000\x12\x010"), "", 0, nil, infer.BadBackend, "infer_response: the message is cut short at byte 3"},
		{"cut within", []byte("\x12\x02\x0a\x05"), "", 0, nil, infer.BadBackend, "model_name: the message is cut short"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1, 9} {
				r := batchOf(t, m, 0, sent{msg: addSubRequest(1, &outputMsg{Name: "DIFF"})})
				resp := r.mem.NewResponse()
				body := bodyOf(r.mem.Slabs, tc.msg, piece)
				err := kserve.NewResponseDecoder(r.mem.Slabs).DecodeStream(m, r.calls[0], body, resp)
				if body.Len() != 0 {
					t.Error("the decoder left the message where it was")
				}
				switch {
				case tc.code != infer.OK:
					if err == nil || err.Code != tc.code || err.Origin != infer.FromBackend || !strings.Contains(err.Text, tc.text) || len(err.Text) > len(tc.text)+100 || resp.Final != (tc.final == kserve.FinalYes) {
						t.Errorf("%v", err)
					}
				case err != nil:
					t.Fatal(err)
				default:
					got := &pb.ModelInferResponse{}
					if e := proto.Unmarshal(flat(&resp.Body), got); e != nil || !proto.Equal(got, tc.body) || show(m, resp) != tc.want || kserve.FinalOf(resp) != tc.final || resp.Final != (tc.final == kserve.FinalYes) {
						t.Errorf("%v, %s, %s", e, prototext.Format(got), show(m, resp))
					}
				}
				resp.Release()
				r.end(t)
			}
		})
	}
}

// TestPassResponse sends what a backend answered to its client.
func TestPassResponse(t *testing.T) {
	sum, wide := string(f32(1, 2)), strings.Repeat("01234567", 400)
	plain := answeredBy([]string{sum}, answered("SUM", "FP32", 1, 2))
	large := answeredBy([]string{wide}, answered("SUM", "FP32", 400, 2))
	with := func(p *pb.ModelInferResponse, change func(p *pb.ModelInferResponse)) *pb.ModelInferResponse {
		p = proto.Clone(p).(*pb.ModelInferResponse)
		change(p)
		return p
	}
	classify := outputOf("SUM", "classification", intParam(1))
	said := func(p *pb.ModelInferResponse, final bool) *pb.ModelInferResponse {
		return with(p, func(p *pb.ModelInferResponse) {
			p.Parameters = map[string]*pb.InferParameter{"triton_final_response": boolParam(final)}
		})
	}
	for _, tc := range []struct {
		name    string
		request *pb.ModelInferRequest
		answer  *pb.ModelInferResponse
		frame   kserve.Frame
		want    *pb.ModelInferResponse
	}{
		{"id is added", addSubRequest(1), plain, kserve.Frame{}, with(plain, func(p *pb.ModelInferResponse) { p.Id = "7" })},
		{"id is another", addSubRequest(1), with(plain, func(p *pb.ModelInferResponse) { p.Id = "8" }), kserve.Frame{}, with(plain, func(p *pb.ModelInferResponse) { p.Id = "7" })},
		{"another name", addSubRequest(1), with(large, func(p *pb.ModelInferResponse) { p.Id, p.ModelName, p.ModelVersion = "7", "up", "9" }), kserve.Frame{}, with(large, func(p *pb.ModelInferResponse) { p.Id = "7" })},
		{"no version", addSubRequest(1), with(large, func(p *pb.ModelInferResponse) { p.ModelVersion = "" }), kserve.Frame{Prefix: true, Stream: true}, with(large, func(p *pb.ModelInferResponse) { p.Id = "7" })},
		{"id of the backend's", with2(addSubRequest(1), func(p *pb.ModelInferRequest) { p.Id = "" }), with(plain, func(p *pb.ModelInferResponse) { p.Id = "made" }), kserve.Frame{Prefix: true}, with(plain, func(p *pb.ModelInferResponse) { p.Id = "made" })},
		{
			"classified", addSubRequest(1, classify), answeredBy([]string{bytesElements("9:1")}, answered("SUM", "BYTES", 1, 1)),
			kserve.Frame{},
			with(answeredBy([]string{bytesElements("9:1")}, answered("SUM", "BYTES", 1, 1)), func(p *pb.ModelInferResponse) { p.Id = "7" }),
		},
		{
			"classified by us", addSubRequest(1, classify), plain,
			kserve.Frame{},
			with(answeredBy([]string{bytesElements("2.0:1")}, answered("SUM", "BYTES", 1, 1)), func(p *pb.ModelInferResponse) { p.Id = "7" }),
		},
		{
			"more than was asked for", addSubRequest(1, &outputMsg{Name: "SUM"}),
			answeredBy([]string{wide[:8], sum}, answered("DIFF", "FP32", 1, 2), answered("SUM", "FP32", 1, 2)),
			kserve.Frame{},
			with(plain, func(p *pb.ModelInferResponse) { p.Id = "7" }),
		},
		{"the last one", addSubRequest(1), plain, kserve.Frame{Stream: true, Final: kserve.FinalYes}, with(said(plain, true), func(p *pb.ModelInferResponse) { p.Id = "7" })},
		{"said before", addSubRequest(1), said(plain, false), kserve.Frame{Stream: true, Final: kserve.FinalYes}, with(said(plain, false), func(p *pb.ModelInferResponse) { p.Id = "7" })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1, 200} {
				r := batchOf(t, addSub(), 0, sent{msg: tc.request})
				if tc.answer.Outputs[0].Shape[0] > 8 {
					r.batch.Model.MaxBatch = 0
					r.batch.Model.Outputs[0].Dims = nil
				}
				resp, err := r.answerOf(t, marshalMessage(t, tc.answer), piece)
				if err != nil {
					t.Fatal(err)
				}
				var list slab.List
				err = kserve.NewMessageEncoder(r.mem.Slabs).Encode(kserve.Answer{Request: r.calls[0].Request, Head: &r.heads[0], Model: r.batch.Model, Response: resp, Rows: infer.AllRows}, tc.frame, &list)
				b := flat(&list)
				list.Release()
				resp.Release()
				r.end(t)
				if err != nil {
					t.Fatal(err)
				}
				if tc.frame.Prefix {
					if b[0] != 0 || int(binary.BigEndian.Uint32(b[1:])) != len(b)-message.PrefixSize {
						t.Fatalf("prefix %x of %d bytes", b[:5], len(b)-message.PrefixSize)
					}
					b = b[message.PrefixSize:]
				}
				got := &pb.ModelInferResponse{}
				if tc.frame.Stream {
					s := &pb.ModelStreamInferResponse{}
					if err := proto.Unmarshal(b, s); err != nil {
						t.Fatal(err)
					}
					got = s.InferResponse
				} else if err := proto.Unmarshal(b, got); err != nil {
					t.Fatal(err)
				}
				if !proto.Equal(got, tc.want) {
					t.Errorf("pieces of %d: %s\nwant %s", piece, prototext.Format(got), prototext.Format(tc.want))
				}
			}
		})
	}
}

func with2(p *pb.ModelInferRequest, change func(p *pb.ModelInferRequest)) *pb.ModelInferRequest {
	change(p)
	return p
}
