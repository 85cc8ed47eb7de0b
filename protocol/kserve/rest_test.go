package kserve_test

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// restOf encodes a run as REST.
func (r *runOf) restOf(binary bool) (body string, head int, err *infer.Error) {
	var out slab.List
	head, err = rest.NewRequestEncoder(r.mem.Slabs).Encode(r.batch, binary, &out)
	body = string(flat(&out))
	out.Release()
	return body, head, err
}

// restAnswer decodes an answer over REST to a run, laid out in pieces.
func (r *runOf) restAnswer(t testing.TB, head, answer string, piece int) (*infer.Response, *infer.Error) {
	t.Helper()
	resp := r.mem.NewResponse()
	body := bodyOf(r.mem.Slabs, []byte(answer), piece)
	defer body.Release()
	var length []byte
	if head != "" {
		length = []byte(head)
	}
	return resp, rest.NewResponseDecoder(r.mem.Slabs).Decode(r.batch, length, body, resp)
}

const addSubJSON = `{"id":"7","inputs":[{"name":"A","datatype":"FP32","shape":[1,2],"data":[1,-0.5]},{"name":"B","datatype":"FP32","shape":[1,2],"data":[[1e-7,16777216]]}]}`

func TestRESTRequest(t *testing.T) {
	binaryForm := `{"id":"7","inputs":[{"name":"A","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},{"name":"B","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]`
	data := string(f32(1, 2)) + string(f32(3, 4))
	nothing := `{"id":"7","inputs":[{"name":"A","datatype":"FP32","shape":[0,2],"parameters":{"binary_data_size":0}},{"name":"B","datatype":"FP32","shape":[0,2],"parameters":{"binary_data_size":0}}]}`
	rewritten := strings.NewReplacer("[1,-0.5]", "[1.0,-0.5]", "[[1e-7,16777216]]", "[1e-7,16777216.0]").Replace(addSubJSON)
	nulls := strings.Replace(addSubJSON, `"shape"`, `"parameters":null,"shape"`, 1)
	withParams := addSubRequest(1, outputOf("DIFF", "classification", intParam(1)))
	withParams.Parameters = map[string]*pb.InferParameter{"sequence_id": uintParam(1<<63 + 1)}
	ofInput := addSubRequest(1)
	ofInput.Inputs[1].Parameters = map[string]*pb.InferParameter{"content_type": stringParam("np")}
	for _, tc := range []struct {
		name   string
		sent   []sent
		binary bool
		head   int
		want   string
	}{
		{"JSON as it came", []sent{{json: addSubJSON}}, false, 0, addSubJSON},
		{"JSON without an id", []sent{{json: "\n " + strings.Replace(addSubJSON, `"id":"7",`, "", 1)}}, false, 0, strings.Replace(addSubJSON, `"7"`, `"0"`, 1)},
		{"JSON without an id, to a server that takes binary", []sent{{json: "\n " + strings.Replace(addSubJSON, `"id":"7",`, "", 1)}}, true, 0, strings.Replace(addSubJSON, `"7"`, `"0"`, 1)},
		{"JSON with an empty id", []sent{{json: strings.Replace(addSubJSON, `"7"`, `""`, 1)}}, false, 0, strings.Replace(rewritten, `"7"`, `"0"`, 1)},
		{"binary without an id", []sent{{json: " {" + binaryForm[len(`{"id":"7",`):] + "}" + data, head: len(binaryForm) - 7}}, true, len(binaryForm) + 1, strings.Replace(binaryForm, `"7"`, `"0"`, 1) + "}" + data},
		{"NaN as JSON", []sent{{json: strings.Replace(addSubJSON, "-0.5", "NaN", 1)}}, false, 0, strings.Replace(rewritten, "-0.5", "null", 1)},
		{"null for what is left out", []sent{{json: `{"parameters":null,"outputs":null,` + addSubJSON[1:]}}, false, 0, rewritten},
		{"null for an id", []sent{{json: strings.Replace(addSubJSON, `"7"`, "null", 1)}}, false, 0, strings.Replace(rewritten, `"7"`, `"0"`, 1)},
		{"null for parameters of a tensor", []sent{{json: nulls}}, false, 0, nulls},
		{"JSON as it came, to a server that takes binary", []sent{{json: addSubJSON}}, true, 0, addSubJSON},
		{"binary as it came", []sent{{json: binaryForm + `,"x":1}` + data, head: len(binaryForm) + 7}}, true, len(binaryForm) + 7, binaryForm + `,"x":1}` + data},
		{
			"binary to JSON",
			[]sent{{json: binaryForm + `,"x":1}` + data, head: len(binaryForm) + 7}},
			false, 0,
			`{"id":"7","inputs":[{"name":"A","datatype":"FP32","shape":[1,2],"data":[1.0,2.0]},{"name":"B","datatype":"FP32","shape":[1,2],"data":[3.0,4.0]}]}`,
		},
		{
			"binary of no bytes to JSON",
			[]sent{{json: nothing, head: len(nothing)}},
			false, 0,
			`{"id":"7","inputs":[{"name":"A","datatype":"FP32","shape":[0,2],"data":[]},{"name":"B","datatype":"FP32","shape":[0,2],"data":[]}]}`,
		},
		{
			"gRPC to binary",
			[]sent{{msg: addSubRequest(1)}},
			true, 224,
			`{"id":"7","parameters":{"binary_data_output":true},"inputs":[{"name":"A","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},` +
				`{"name":"B","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}` + string(make([]byte, 16)),
		},
		{
			"gRPC to JSON, with parameters and an output",
			[]sent{{msg: withParams}},
			false, 0,
			`{"id":"7","parameters":{"sequence_id":9223372036854775809},"inputs":[{"name":"A","datatype":"FP32","shape":[1,2],"data":[0.0,0.0]},` +
				`{"name":"B","datatype":"FP32","shape":[1,2],"data":[0.0,0.0]}],"outputs":[{"name":"DIFF"}]}`,
		},
		{
			"gRPC to binary, with parameters of an input",
			[]sent{{msg: ofInput}},
			true, 244,
			`{"id":"7","parameters":{"binary_data_output":true},"inputs":[{"name":"A","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},` +
				`{"name":"B","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8,"content_type":"np"}}]}` + string(make([]byte, 16)),
		},
		{
			"gRPC to JSON, with parameters of an input",
			[]sent{{msg: ofInput}},
			false, 0,
			`{"id":"7","inputs":[{"name":"A","datatype":"FP32","shape":[1,2],"data":[0.0,0.0]},` +
				`{"name":"B","datatype":"FP32","shape":[1,2],"parameters":{"content_type":"np"},"data":[0.0,0.0]}]}`,
		},
		{
			"JSON written anew, with parameters of an input",
			[]sent{{json: strings.Replace(strings.Replace(addSubJSON, `"data"`, `"parameters":{"content_type":"n\u0070","n":18446744073709551615},"data"`, 1), "-0.5", "NaN", 1)}},
			false, 0,
			strings.Replace(strings.Replace(rewritten, `"data"`, `"parameters":{"content_type":"np","n":18446744073709551615},"data"`, 1), "-0.5", "null", 1),
		},
		{
			"merged",
			[]sent{{json: addSubJSON}, {msg: addSubRequest(1)}},
			false, 0,
			`{"id":"0","inputs":[{"name":"A","datatype":"FP32","shape":[2,2],"data":[1.0,-0.5,0.0,0.0]},{"name":"B","datatype":"FP32","shape":[2,2],"data":[1e-7,16777216.0,0.0,0.0]}]}`,
		},
		{
			"a part",
			[]sent{{msg: addSubRequest(2, outputOf("DIFF", "x", boolParam(true))), rows: infer.Rows{First: 1, N: 1}}},
			true, 245,
			`{"id":"7","inputs":[{"name":"A","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},{"name":"B","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}],` +
				`"outputs":[{"name":"DIFF","parameters":{"binary_data":true}}]}` + string(make([]byte, 16)),
		},
	} {
		for _, piece := range []int{0, 7} {
			r := batchOf(t, addSub(), piece, tc.sent...)
			got, head, err := r.restOf(tc.binary)
			if err != nil || got != tc.want || head != tc.head {
				t.Errorf("%s: got %d %q, %v; want %d %q", tc.name, head, got, err, tc.head, tc.want)
			}
			r.end(t)
		}
	}
}

// TestRESTRequestRefused has what JSON has no form for.
func TestRESTRequestRefused(t *testing.T) {
	for _, tc := range []struct {
		d    tensor.DType
		data string
		code infer.Code
		want string
	}{
		{tensor.FP16, "\x00\x3c", infer.Unsupported, "is of data type FP16"},
		{tensor.BF16, "\x80\x3f", infer.Unsupported, "is of data type BF16"},
		{tensor.Bytes, bytesElements("\xff"), infer.Invalid, "not UTF-8"},
		{tensor.FP32, string(f32(float32(math.Inf(1)))), infer.Invalid, "holds an infinity"},
		{tensor.FP64, i64(int64(math.Float64bits(math.Inf(-1)))), infer.Invalid, "holds an infinity"},
	} {
		m := single(tc.d, 1)
		q := &pb.ModelInferRequest{Inputs: []*inputMsg{inputOf(m.Inputs[0].Name, tc.d.String(), 1)}, RawInputContents: [][]byte{[]byte(tc.data)}}
		r := batchOf(t, m, 0, sent{msg: q})
		if body, _, err := r.restOf(false); err == nil || err.Code != tc.code || !strings.Contains(err.Text, tc.want) || body != "" {
			t.Errorf("%s: got %q, %v", tc.d, body, err)
		}
		if _, _, err := r.restOf(true); err != nil {
			t.Errorf("%s as binary: %v", tc.d, err)
		}
		r.end(t)
	}
}

// TestRESTNumbers sends the hardest numbers of every type as JSON, to a server that sends them back.
func TestRESTNumbers(t *testing.T) {
	m := everyType()
	datas := map[tensor.DType]string{
		tensor.Bool: "\x00\x01", tensor.Bytes: bytesElements("\"\\\n\u2028é𝄞", ""),
		tensor.FP32: string(f32(math.MaxFloat32, math.SmallestNonzeroFloat32, 0.1, float32(math.Copysign(0, -1)), float32(math.NaN()))),
		tensor.FP64: i64(int64(math.Float64bits(0.1)), int64(math.Float64bits(math.NaN())), int64(math.Float64bits(5e-324)), int64(math.Float64bits(math.MaxFloat64)), int64(math.Float64bits(1e21))),
	}
	for d := tensor.Int8; d <= tensor.Uint64; d++ {
		datas[d] = strings.Repeat("\xff", d.Size()) + strings.Repeat("\x00", d.Size()-1) + "\x80" + strings.Repeat("\xff", d.Size()-1) + "\x7f"
	}
	for d, data := range datas {
		count := len(data) / max(d.Size(), 1)
		if d == tensor.Bytes {
			count = 2
		}
		q := &pb.ModelInferRequest{Inputs: []*inputMsg{inputOf(d.String(), d.String(), int64(count))}, RawInputContents: [][]byte{[]byte(data)}}
		r := batchOf(t, m, 0, sent{msg: q})
		body, _, err := r.restOf(false)
		if err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		resp, err := r.restAnswer(t, "", strings.Replace(body, `"inputs"`, `"outputs"`, 1), 11)
		if err != nil {
			t.Fatalf("%s: %q: %v", d, body, err)
		}
		if got := string(flat(&resp.Outputs[0].Data)); got != data {
			t.Errorf("%s: got %x, want %x", d, got, data)
		}
		resp.Release()
		r.end(t)
	}
}

func TestRESTResponse(t *testing.T) {
	sum := string(f32(1, 2))
	headed := func(json, data string) (string, string) { return json + data, strconv.Itoa(len(json)) }
	nullsAndWhatever := `{"model_name":"addsub","model_version":null,"id":null,"parameters":null,"usage":{"a":[null]},` +
		`"outputs":[{"name":"SUM","shape":[1,2],"datatype":"fp32","parameters":null,"data":[[1.0,2]]}]}`
	params := `{"parameters":{"content_type":"np","headers":{"a":"b"},"none":null,"n":3,"big":18446744073709551615,"f":0.5,"b":true},` +
		`"outputs":[{"data":[1,2],"parameters":{"content_type":"np","headers":{"a":"b"},"n":2,"classification":1},"name":"SUM","datatype":"FP32","shape":[1,2]}]}`
	binary, head := headed(`{"outputs":[{"name":"SUM","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8},"data":null},`+
		`{"name":"DIFF","datatype":"FP32","shape":[1,2],"data":[3,4]}]}`, sum)
	classes := sent{json: strings.Replace(addSubJSON, `{"id"`, `{"outputs":[{"name":"SUM","parameters":{"classification":1}}],"id"`, 1)}
	for _, tc := range []struct {
		name         string
		sent         []sent
		answer, head string
		want         string
	}{
		{"nulls", []sent{{json: addSubJSON}}, nullsAndWhatever, "", "SUM FP32 [1,2] 0000803f00000040\n"},
		{"parameters", []sent{{json: addSubJSON}}, params, "", "SUM FP32 [1,2] 0000803f00000040\nits content_type=0 \"np\" 0 0\nits n=1 \"\" 2 0\ncontent_type=0 \"np\" 0 0\nn=1 \"\" 3 0\nbig=4 \"\" -1 0\nf=3 \"\" 0 0.5\nb=2 \"\" 1 0\n"},
		{"NaN as null", []sent{{json: addSubJSON}}, `{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32","data":[null,[null]]}]}`, "", "SUM FP32 [1,2] 0000c07f0000c07f\n"},
		{"binary and JSON", []sent{{json: addSubJSON}}, binary, head, "SUM FP32 [1,2] 0000803f00000040\nDIFF FP32 [1,2] 0000404000008040\n"},
		{"all of it JSON, and said so", []sent{{json: addSubJSON}}, nullsAndWhatever, strconv.Itoa(len(nullsAndWhatever)), "SUM FP32 [1,2] 0000803f00000040\n"},
		{
			"merged",
			[]sent{{json: addSubJSON}, {msg: addSubRequest(1)}},
			`{"outputs":[{"name":"SUM","shape":[2,2],"datatype":"FLOAT32","data":[1,2,3,4]}]}`, "",
			"SUM FP32 [2,2] 0000803f000000400000404000008040\n",
		},
		{"classified as asked", []sent{classes}, `{"outputs":[{"name":"SUM","shape":[1,1],"datatype":"BYTES","data":["1:0"]}]}`, "", "SUM BYTES [1,1] 03000000313a30\n"},
	} {
		for _, piece := range []int{0, 5} {
			r := batchOf(t, addSub(), piece, tc.sent...)
			resp, err := r.restAnswer(t, tc.head, tc.answer, piece)
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			} else if got := show(r.batch.Model, resp); got != tc.want {
				t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
			}
			resp.Release()
			r.end(t)
		}
	}
}

// restNonsense are answers to addSubJSON that no client may see, with what is said of each.
var restNonsense = []struct{ answer, head, want string }{
	{``, "", "cannot be parsed"},
	{`null`, "", "expected an object"},
	{`[]`, "", "expected an object"},
	{`<html>`, "", "expected an object"},
	{`{"error":"no"}`, "", `has no "outputs"`},
	{`{"outputs":null}`, "", "expected an array"},
	{`{"outputs":[]}{}`, "", "unexpected text after the document"},
	{`{"outputs":[{"shape":[1,2],"datatype":"FP32","data":[1,2]}]}`, "", `without "name"`},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"data":[1,2]}]}`, "", `without "datatype"`},
	{`{"outputs":[{"name":"SUM","datatype":"FP32","data":[1,2]}]}`, "", `without "shape"`},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32"}]}`, "", "and 0 elements"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32","data":[1,nil]}]}`, "", "cannot be parsed"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32","data":["1","2"]}]}`, "", "element 0"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32","data":[1]}]}`, "", "1 elements"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32","data":[1,2,3]}]}`, "", "more elements"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP64","data":[1,2]}]}`, "", "data type 'FP64'"},
	{`{"outputs":[{"name":"SUM","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`, "", "with shape [1,3]"},
	{`{"outputs":[{"name":"SUM","shape":[1,-2],"datatype":"FP32","data":[]}]}`, "", "negative dimension"},
	{`{"outputs":[{"name":"SUM","shape":[1,2.5],"datatype":"FP32","data":[]}]}`, "", "not a whole number"},
	{`{"outputs":[{"name":"Z","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`, "", "unexpected output 'Z'"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32","data":[1,2]},{"name":"SUM","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`, "", "twice"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"BYTES","data":["1","2"]}]}`, "", "data type 'BYTES'"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}1234567`, "96", "and 7 bytes"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":7}}]}1234567`, "96", "and 7 bytes"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}123456789`, "96", "1 bytes more"},
	{`{"outputs":[{"name":"SUM","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8},"data":[1,2]}]}12345678`, "109", "both data and"},
	{`{"outputs":[]}`, "15", "Inference-Header-Content-Length"},
	{`{"outputs":[]}`, "-1", "Inference-Header-Content-Length"},
	{`{"outputs":[]}`, "0", "Inference-Header-Content-Length"},
	{`{"outputs":[]}`, "x", "Inference-Header-Content-Length"},
}

func TestRESTNonsense(t *testing.T) {
	for _, tc := range restNonsense {
		r := batchOf(t, addSub(), 0, sent{json: addSubJSON})
		resp, err := r.restAnswer(t, tc.head, tc.answer, 0)
		if err == nil || err.Code != infer.BadBackend || err.Origin != infer.FromBackend || !strings.Contains(err.Text, tc.want) {
			t.Errorf("%s: got %v, want %q", tc.answer, err, tc.want)
		}
		resp.Release()
		r.end(t)
	}
	asked := strings.Replace(addSubJSON, `{"id"`, `{"outputs":[{"name":"DIFF"}],"id"`, 1)
	r := batchOf(t, addSub(), 0, sent{json: asked})
	resp, err := r.restAnswer(t, "", `{"outputs":[]}`, 0)
	if err == nil || err.Code != infer.BadBackend || !strings.Contains(err.Text, "is missing") {
		t.Errorf("got %v", err)
	}
	resp.Release()
	r.end(t)
}

// FuzzRESTResponse has servers answer anything: what stands fits the model, and goes round once more.
func FuzzRESTResponse(f *testing.F) {
	for _, tc := range restNonsense {
		f.Add([]byte(tc.answer), tc.head)
	}
	f.Add([]byte(`{"outputs":[{"name":"FP32","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}},{"name":"BYTES","datatype":"BYTES","shape":[2],"data":["a","\u00e9"]}]}12345678`), "151")
	for _, s := range jsonSeeds() {
		f.Add([]byte(strings.Replace(s, `"inputs"`, `"outputs"`, 1)), "")
	}
	m := everyType()
	f.Fuzz(func(t *testing.T, answer []byte, head string) {
		r := batchOf(t, m, 0, sent{json: `{"inputs":[]}`})
		defer r.end(t)
		resp, err := r.restAnswer(t, head, string(answer), 3)
		defer resp.Release()
		if err != nil {
			if err.Code != infer.BadBackend {
				t.Fatalf("%v", err)
			}
			return
		}
		var out slab.List
		defer out.Release()
		length, err := rest.NewEncoder(r.mem.Slabs).Encode(kserve.Answer{
			Request: r.calls[0].Request, Head: &kserve.Head{Binary: true}, Model: m, Response: resp, Rows: infer.AllRows,
		}, &out)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := r.restAnswer(t, lengthOf(length), string(flat(&out)), 0)
		if err != nil {
			t.Fatalf("%q: what was written cannot be read: %v", flat(&out), err)
		}
		if a, b := show(m, resp), show(m, again); a != b {
			t.Fatalf("got %s, then %s", a, b)
		}
		again.Release()
	})
}

// lengthOf is the header of an answer whose JSON takes n bytes, or that is all JSON where n is 0.
func lengthOf(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func TestRESTQuestions(t *testing.T) {
	for _, tc := range []struct {
		q          proto.Message
		path, body string
	}{
		{&pb.ServerLiveRequest{}, "/v2/health/live", ""},
		{&pb.ServerReadyRequest{}, "/v2/health/ready", ""},
		{&pb.ServerMetadataRequest{}, "/v2", ""},
		{&pb.ModelReadyRequest{Name: "a b/c"}, "/v2/models/a%20b%2Fc/ready", ""},
		{&pb.ModelMetadataRequest{Name: "m", Version: "1"}, "/v2/models/m/versions/1", ""},
		{&pb.ModelConfigRequest{Name: "m"}, "/v2/models/m/config", ""},
		{&pb.RepositoryIndexRequest{}, "/v2/repository/index", "{}"},
		{&pb.RepositoryModelLoadRequest{ModelName: "m"}, "/v2/repository/models/m/load", "{}"},
		{&pb.RepositoryModelUnloadRequest{ModelName: "m"}, "/v2/repository/models/m/unload", "{}"},
	} {
		if path, body, ok := management.RESTQuestion(tc.q); path != tc.path || string(body) != tc.body || !ok {
			t.Errorf("%T: got %s %s, %v", tc.q, path, body, ok)
		}
	}
	if _, _, ok := management.RESTQuestion(&pb.LogSettingsRequest{}); ok {
		t.Error("there is a question for log settings")
	}
}

func TestRESTReplies(t *testing.T) {
	for _, tc := range []struct {
		body    string
		to      proto.Message
		want    string
		refused bool
	}{
		{"", &pb.ServerLiveResponse{}, "live:true", false},
		{"null", &pb.ServerReadyResponse{}, "ready:true", false},
		{`{"ready":false}`, &pb.ServerReadyResponse{}, "", false},
		{`{"name":"m","ready":true}`, &pb.ModelReadyResponse{}, "ready:true", false},
		{
			`{"name":"m","versions":null,"platform":"","inputs":[{"name":"x","datatype":"float32","shape":[-1,4],"parameters":null}],"outputs":[],"parameters":{"a":1}}`,
			&pb.ModelMetadataResponse{}, `name:"m" inputs:{name:"x" datatype:"FP32" shape:-1 shape:4}`, false,
		},
		{`[{"name":"m","version":null,"state":"READY","reason":""}]`, &pb.RepositoryIndexResponse{}, `models:{name:"m" state:"READY"}`, false},
		{`{"max_batch_size":8,"response_cache":{"enable":false}}`, &pb.ModelConfigResponse{}, `config:{max_batch_size:8 response_cache:{}}`, false},
		{`whatever`, &pb.RepositoryModelLoadResponse{}, "", false},
		{`<html>`, &pb.ModelMetadataResponse{}, "", true},
		{`{"inputs":[{"shape":["x"]}]}`, &pb.ModelMetadataResponse{}, "", true},
	} {
		err := management.ParseRESTReply([]byte(tc.body), tc.to)
		var want proto.Message
		if (err != nil) != tc.refused {
			t.Errorf("%s: %v", tc.body, err)
		}
		if tc.refused {
			continue
		}
		want = tc.to.ProtoReflect().New().Interface()
		if err := prototext.Unmarshal([]byte(tc.want), want); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(tc.to, want) {
			t.Errorf("%s: got %v, want %v", tc.body, tc.to, want)
		}
	}
}

func TestRESTErrors(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":"no"}`:                          "no",
		`{"code":"X","error":"a\u00e9","x":[1]}`:  "aé",
		`{"detail":"Not Found"}`:                  "Not Found",
		`{"detail":[{"loc":["body"],"msg":"m"}]}`: "m",
		`{"detail":[1,{"msg":2},{"msg":"m"},{}]}`: "m",
		`{"detail":[{"msg":"m"}`:                  "m",
		`{"error":"no","input":[1,2`:              "no",
		`{"detail":[{"msg":"m","input":"abc`:      "m",
		`{"error":"no`:                            "",
		`{"error":[{"msg":"m"}]}`:                 "",
		`{"error":{"message":"x"}}`:               "",
		`<html>`:                                  "",
		``:                                        "",
	} {
		if got := management.RESTError([]byte(body)); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

// TestRESTViews checks that binary tensors are views of what came, and go on as views.
func TestRESTViews(t *testing.T) {
	m := single(tensor.Uint8, -1)
	data := bytes.Repeat([]byte{7}, 1<<16)
	q := &pb.ModelInferRequest{Inputs: []*inputMsg{inputOf(m.Inputs[0].Name, "UINT8", int64(len(data)))}, RawInputContents: [][]byte{data}}
	r := batchOf(t, m, 0, sent{msg: q})
	defer r.end(t)
	var out slab.List
	defer out.Release()
	if _, err := rest.NewRequestEncoder(r.mem.Slabs).Encode(r.batch, true, &out); err != nil {
		t.Fatal(err)
	}
	in := &r.calls[0].Request.Inputs[0].Data
	if &out.At(out.Len() - 1).B[0] != &in.At(in.Len() - 1).B[0] {
		t.Error("the input was copied")
	}
}
