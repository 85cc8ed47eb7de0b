package tfserving

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/tensor"
)

func example(t *testing.T, features string) *pb.Example {
	t.Helper()
	e := &pb.Example{}
	if err := protojson.Unmarshal([]byte(`{"features":{"feature":`+features+`}}`), e); err != nil {
		t.Fatal(err)
	}
	return e
}

// listOfExamples is an input of examples, and of their context unless it is nil.
func listOfExamples(context *pb.Example, e ...*pb.Example) *pb.Input {
	if context == nil {
		return &pb.Input{Kind: &pb.Input_ExampleList{ExampleList: &pb.ExampleList{Examples: e}}}
	}
	return &pb.Input{Kind: &pb.Input_ExampleListWithContext{ExampleListWithContext: &pb.ExampleListWithContext{Examples: e, Context: context}}}
}

// taken parses what Classify makes of an input.
func taken(t *testing.T, in *pb.Input) *Examples {
	t.Helper()
	b, err := proto.Marshal(&pb.ClassificationRequest{Input: in})
	if err != nil {
		t.Fatal(err)
	}
	_, x, fault := ParseTasks(b, ClassifyMethod)
	if fault != nil {
		t.Fatal(fault)
	}
	return x
}

// inputOf returns the examples and the context as messages.
func inputOf(t *testing.T, x *Examples) *pb.Input {
	t.Helper()
	parse := func(b []byte) *pb.Example {
		e := &pb.Example{}
		if err := proto.Unmarshal(b, e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	var list []*pb.Example
	for _, e := range stringsOf(x.data) {
		list = append(list, parse([]byte(e)))
	}
	if x.context == nil {
		return listOfExamples(nil, list...)
	}
	return listOfExamples(parse(x.context), list...)
}

// wideRow has n members, each of which is 1.
func wideRow(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"x%d":1`, i)
	}
	return b.String()[1:]
}

func TestParseExamples(t *testing.T) {
	plain := example(t, `{"i":{"int64List":{"value":["1","-9223372036854775808"]}},"f":{"floatList":{"value":[1.5,-2]}},"s":{"bytesList":{"value":["YQ==","","/w=="]}},"b":{"int64List":{"value":["1","0"]}},"e":{},"":{"floatList":{"value":[0]}}}`)
	wide := wideRow(300)
	body := `{"i":[1,-9223372036854775808],"f":[1.5,-2e0],"s":["a","",{"b64":"/w=="}],"b":[true,false],"e":[],"":0.0}`
	for _, tc := range []struct {
		name, body, signature string
		want                  *pb.Input
	}{
		{"one", `{"examples":[` + body + `]}`, "", listOfExamples(nil, plain)},
		{"two and a signature", `{"signature_name":"s","examples":[{"f":NaN},{}],"more":{}}`, "s", listOfExamples(nil, example(t, `{"f":{"floatList":{"value":["NaN"]}}}`), example(t, `{}`))},
		{"base 64 without its padding", `{"examples":[{"s":{"b64":"/w"}}]}`, "", listOfExamples(nil, example(t, `{"s":{"bytesList":{"value":["/w=="]}}}`))},
		{"many features", `{"examples":[{` + wide + `}]}`, "", listOfExamples(nil, example(t, `{`+strings.ReplaceAll(wide, ":1", `:{"int64List":{"value":["1"]}}`)+`}`))},
		{"context", `{"examples":[{"f":1.0}],"context":{"c":"x"}}`, "", listOfExamples(example(t, `{"c":{"bytesList":{"value":["eA=="]}}}`), example(t, `{"f":{"floatList":{"value":[1]}}}`))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x, signature, err := ParseExamples("m", []byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if got := inputOf(t, x); !proto.Equal(got, tc.want) || signature != tc.signature {
				t.Errorf("%v %q, want %v", got, signature, tc.want)
			}
		})
	}
	for _, tc := range []struct{ name, body, text string }{
		{"nothing", `{}`, `request for model 'm' has no "examples"`},
		{"empty", `{"examples":[]}`, `no values in "examples"`},
		{"no list", `{"examples":{}}`, "expected an array"},
		{"no object", `{"examples":[1]}`, "expected an object"},
		{"cut", `{"examples":[{"a":1`, "expected a comma"},
		{"kinds", `{"examples":[{"a":[1,1.5]}]}`, "feature 'a' of the request for model 'm' has elements of several kinds"},
		{"more kinds", `{"examples":[{"a":[true,"x"]}]}`, "several kinds"},
		{"null", `{"examples":[{"a":null}]}`, "no number, string, bool"},
		{"nested", `{"examples":[{"a":[[1]]}]}`, "no number, string, bool"},
		{"range", `{"examples":[{"a":9223372036854775808}]}`, "out of the range of int64"},
		{"float range", `{"examples":[{"a":1e99}]}`, "out of range"},
		{"b64", `{"examples":[{"a":{"b64":"%"}}]}`, "not base 64"},
		{"b64 with more", `{"examples":[{"a":{"b64":"YQ==","x":1}}]}`, "not alone"},
		{"object", `{"examples":[{"a":{}}]}`, "no number, string, bool"},
		{"signature", `{"signature_name":1,"examples":[{}]}`, "expected a string"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, _, err := ParseExamples("m", []byte(tc.body)); err == nil || err.Code != infer.Invalid || !strings.Contains(err.Text, tc.text) {
				t.Errorf("%v, want %q", err, tc.text)
			}
		})
	}
}

func TestDecodeExamples(t *testing.T) {
	mem := newMemory()
	one, two := example(t, `{"a":{"floatList":{"value":[1]}}}`), example(t, `{"b":{"bytesList":{"value":["eA=="]}}}`)
	in := taken(t, listOfExamples(two, one, one))
	req := mem.NewRequest()
	if err := DecodeExamples(ExamplesSource{Model: signed(), Method: ClassifyMethod, Signature: "classify", Examples: in}, mem.Slabs, req); err != nil {
		t.Fatal(err)
	}
	texts := stringsOf(flatten(&req.Inputs[0].Data))
	if len(texts) != 2 || req.Rows != 2 || len(req.Outputs) != 2 {
		t.Fatalf("%d examples, %d rows, outputs %v", len(texts), req.Rows, req.Outputs)
	}
	got := &pb.Example{}
	if err := proto.Unmarshal([]byte(texts[1]), got); err != nil || len(got.Features.Feature) != 2 {
		t.Errorf("%v, %v; want both features", got, err)
	}
	req.Release()
	for _, tc := range []struct {
		name string
		src  ExamplesSource
		code infer.Code
		text string
	}{
		{"predicts", ExamplesSource{signed(), ClassifyMethod, "", in, 0}, infer.Invalid, "signature 'serving_default' of model 'signed' does not take examples"},
		{"another method", ExamplesSource{signed(), ClassifyMethod, "regress", in, 0}, infer.Invalid, "signature 'regress' of model 'signed' does not take examples for tensorflow/serving/classify"},
		{"no signature", ExamplesSource{signed(), ClassifyMethod, "x", in, 0}, infer.Invalid, "key 'x' not found in model 'signed', which has 'other', 'serving_default', 'classify', 'regress'"},
		{"no signatures", ExamplesSource{addSub(), RegressMethod, "", in, 0}, infer.Unsupported, "no signatures that take examples"},
		{"no examples", ExamplesSource{signed(), RegressMethod, "regress", &Examples{}, 0}, infer.Invalid, "no examples"},
		{"large context", ExamplesSource{signed(), ClassifyMethod, "classify", in, 50}, infer.TooLarge, "50 bytes"},
	} {
		req := mem.NewRequest()
		if err := DecodeExamples(tc.src, mem.Slabs, req); err == nil || err.Code != tc.code || !strings.Contains(err.Text, tc.text) {
			t.Errorf("%s: %v, want %v %q", tc.name, err, tc.code, tc.text)
		}
		req.Release()
	}
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}

// resultsOf makes an answer of a model with the given outputs.
func resultsOf(t *testing.T, rows infer.Rows, look func(Answer), outs ...out) {
	t.Helper()
	mem := newMemory()
	req, resp := mem.NewRequest(), mem.NewResponse()
	for _, o := range outs {
		to := resp.AddOutput()
		to.Index, to.DType = o.index, o.dtype
		to.Shape = append(resp.Dims(0), o.shape...)
		to.Data.Take(bodyOf(mem.Slabs, o.data, 3))
	}
	look(Answer{req, signed(), resp, rows})
	resp.Release()
	req.Release()
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
}

func TestClassifications(t *testing.T) {
	labels := out{1, tensor.Bytes, []int64{2, 2}, elements("a", "b", "c", "d\xff")}
	scores := out{2, tensor.FP32, []int64{2, 2}, f32(0.1, 0.9, 1, 0)}
	for _, tc := range []struct {
		name string
		rows infer.Rows
		outs []out
		want string
		text string
	}{
		{"both", infer.AllRows, []out{labels, scores}, `{"results":[[["a",0.1],["b",0.9]],[["c",1.0],["d�",0.0]]]}`, ""},
		{"part", infer.Rows{First: 1, N: 1}, []out{labels, scores}, `{"results":[[["c",1.0],["d�",0.0]]]}`, ""},
		{"labels", infer.Rows{First: 0, N: 1}, []out{labels}, `{"results":[[["a",0.0],["b",0.0]]]}`, ""},
		{"scores", infer.Rows{First: 0, N: 1}, []out{scores}, `{"results":[[["",0.1],["",0.9]]]}`, ""},
		{"neither", infer.AllRows, nil, "", "neither classes nor scores"},
		{"shapes", infer.AllRows, []out{labels, {2, tensor.FP32, []int64{2, 1}, f32(1, 2)}}, "", "different shapes"},
		{"rank", infer.AllRows, []out{{2, tensor.FP32, []int64{}, f32(1)}}, "", "no list of FP32"},
		{"type", infer.AllRows, []out{{2, tensor.FP64, []int64{1}, make([]byte, 8)}}, "", "no list of FP32"},
		{"broken", infer.AllRows, []out{{1, tensor.Bytes, []int64{1, 2}, elements("a")}}, "", "does not agree with its shape"},
		{"empty", infer.AllRows, []out{{2, tensor.FP32, []int64{0, 2}, nil}}, "", "is empty"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resultsOf(t, tc.rows, func(a Answer) {
				result, err := Classifications(a)
				switch {
				case tc.text != "" && (err == nil || err.Code != infer.BadBackend || !strings.Contains(err.Text, tc.text)):
					t.Errorf("%v, want %q", err, tc.text)
				case tc.text == "" && (err != nil || string(AppendClassifications(nil, result)) != tc.want):
					t.Errorf("%s, %v; want %s", AppendClassifications(nil, result), err, tc.want)
				}
			}, tc.outs...)
		})
	}
}

func TestRegressions(t *testing.T) {
	resultsOf(t, infer.AllRows, func(a Answer) {
		result, err := Regressions(a)
		if got := string(AppendRegressions(nil, result)); err != nil || got != `{"results":[1.5,-2.0]}` {
			t.Errorf("%s, %v", got, err)
		}
	}, out{3, tensor.FP32, []int64{2, 1}, f32(1.5, -2)})
	for text, o := range map[string]out{"has no outputs": {0, tensor.FP32, []int64{1}, f32(1)}, "more than one value": {3, tensor.FP32, []int64{1, 2}, f32(1, 2)}} {
		resultsOf(t, infer.AllRows, func(a Answer) {
			if _, err := Regressions(a); err == nil || err.Code != infer.BadBackend || !strings.Contains(err.Text, text) {
				t.Errorf("%v, want %q", err, text)
			}
		}, o)
	}
}

func TestMetadata(t *testing.T) {
	m := addSub()
	m.Inputs[1].Dims = nil
	want := `{"model_spec":{"name":"addsub","signature_name":"","version":"1"},"metadata":{"signature_def":{"signature_def":{"serving_default":{` +
		`"inputs":{"A":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1","name":""},{"size":"2","name":""}],"unknown_rank":false},"name":"A"},` +
		`"B":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[],"unknown_rank":true},"name":"B"}},` +
		`"outputs":{"DIFF":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1","name":""},{"size":"2","name":""}],"unknown_rank":false},"name":"DIFF"},` +
		`"SUM":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1","name":""},{"size":"2","name":""}],"unknown_rank":false},"name":"SUM"}},` +
		`"method_name":"tensorflow/serving/predict"}}}}}`
	if got := string(Metadata(m)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for _, m := range []*infer.Model{m, signed()} {
		msg := MetadataMessage(m)
		sigs := &pb.SignatureDefMap{}
		if err := msg.Metadata["signature_def"].UnmarshalTo(sigs); err != nil {
			t.Fatal(err)
		}
		// Both encodings say the same: what the message says as protobuf's own JSON is what REST answers.
		fromMessage, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(sigs)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		var rest struct {
			Spec struct {
				Name, Version string
			} `json:"model_spec"`
			Metadata map[string]json.RawMessage `json:"metadata"`
		}
		if err := json.Unmarshal(Metadata(m), &rest); err != nil {
			t.Fatal(err)
		}
		if json.Unmarshal(fromMessage, &a) != nil || json.Unmarshal(rest.Metadata["signature_def"], &b) != nil || !same(a, b) {
			t.Errorf("%s\nREST says %s", fromMessage, rest.Metadata["signature_def"])
		}
		if msg.ModelSpec.Name != rest.Spec.Name || msg.ModelSpec.GetVersion().GetValue() == 0 {
			t.Errorf("spec %v, REST says %v", msg.ModelSpec, rest.Spec)
		}
	}
	for _, fields := range [][]string{nil, {"x"}, {"signature_def", "x"}} {
		if err := CheckMetadataRequest(fields); err == nil || err.Code != infer.Invalid {
			t.Errorf("%v: %v", fields, err)
		}
	}
	if err := CheckMetadataRequest([]string{"signature_def"}); err != nil {
		t.Error(err)
	}
}

func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func TestStatus(t *testing.T) {
	versions := []infer.VersionStatus{{Version: "3", State: infer.Ready}, {Version: "2", State: infer.Loading}, {Version: "1", State: infer.Unavailable, Reason: "an operator's affair"}, {Version: "next", State: infer.Ready}}
	want := `{"model_version_status":[{"version":"3","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}},` +
		`{"version":"2","state":"LOADING","status":{"error_code":"OK","error_message":""}},` +
		`{"version":"1","state":"END","status":{"error_code":"UNAVAILABLE","error_message":"not available"}},` +
		`{"version":"next","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}}]}`
	if got := string(Status("", versions)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	got := StatusMessage(versions).ModelVersionStatus
	if len(got) != 3 || got[0].Version != 3 || got[0].State != pb.ModelVersionStatus_AVAILABLE || got[2].Status.ErrorCode != 14 {
		t.Errorf("%v", got)
	}
	for _, tc := range []struct {
		versions []infer.VersionStatus
		want     string
	}{
		{versions[1:2], `{"model_version_status":[{"version":"2","state":"LOADING","status":{"error_code":"OK","error_message":""}}],"name":"m","ready":false}`},
		{nil, `{"model_version_status":[],"name":"m","ready":false}`},
		{versions[:1], `{"model_version_status":[{"version":"3","state":"AVAILABLE","status":{"error_code":"OK","error_message":""}}],"name":"m","ready":true}`},
	} {
		if got := string(Status("m", tc.versions)); got != tc.want {
			t.Errorf("%s, want %s", got, tc.want)
		}
	}
}
