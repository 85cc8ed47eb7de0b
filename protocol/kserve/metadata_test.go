package kserve_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/tensor"
)

func TestMetadata(t *testing.T) {
	m := &infer.Model{
		Name: "digits", Version: "2", Platform: "onnx_onnxv1", MaxBatch: 32,
		Inputs:  []infer.Spec{spec("image", tensor.FP32, -1, 64), {Name: "hint", DType: tensor.Bytes, Dims: []int64{-1}, Optional: true}},
		Outputs: []infer.Spec{spec("label", tensor.Int64, -1)},
	}
	scalar := &infer.Model{Name: "s", Inputs: []infer.Spec{{Name: "x", DType: tensor.BF16}}, Decoupled: true}
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"server", management.ServerMetadata("sluice", "1.0", []string{"statistics"}), `{"name":"sluice","version":"1.0","extensions":["statistics"]}`},
		{"server without extensions", management.ServerMetadata("sluice", "1.0", nil), `{"name":"sluice","version":"1.0","extensions":[]}`},
		{"live", management.ServerLive(true), `{"live":true}`},
		{"ready", management.ServerReady(false), `{"ready":false}`},
		{"model ready", management.ModelReady("digits", true), `{"name":"digits","ready":true}`},
		{
			"model", management.ModelMetadata(m, []string{"1", "2"}),
			`{"name":"digits","versions":["1","2"],"platform":"onnx_onnxv1","inputs":[{"name":"image","datatype":"FP32","shape":[-1,64]},{"name":"hint","datatype":"BYTES","shape":[-1]}],"outputs":[{"name":"label","datatype":"INT64","shape":[-1]}]}`,
		},
		{
			"model of scalars", management.ModelMetadata(scalar, nil),
			`{"name":"s","platform":"","inputs":[{"name":"x","datatype":"BF16","shape":[]}],"outputs":[]}`,
		},
		{
			"config", management.ModelConfig(m, "onnxruntime"),
			`{"name":"digits","platform":"onnx_onnxv1","backend":"onnxruntime","max_batch_size":32,` +
				`"input":[{"name":"image","data_type":"TYPE_FP32","format":"FORMAT_NONE","dims":[64],"is_shape_tensor":false,"allow_ragged_batch":false,"optional":false},` +
				`{"name":"hint","data_type":"TYPE_STRING","format":"FORMAT_NONE","dims":[],"is_shape_tensor":false,"allow_ragged_batch":false,"optional":true}],` +
				`"output":[{"name":"label","data_type":"TYPE_INT64","dims":[],"label_filename":"","is_shape_tensor":false}],"dynamic_batching":{},` +
				`"model_transaction_policy":{"decoupled":false},"response_cache":{"enable":false}}`,
		},
		{
			"config without batches", management.ModelConfig(scalar, "onnxruntime"),
			`{"name":"s","platform":"","backend":"onnxruntime","max_batch_size":0,` +
				`"input":[{"name":"x","data_type":"TYPE_BF16","format":"FORMAT_NONE","dims":[],"is_shape_tensor":false,"allow_ragged_batch":false,"optional":false}],"output":[],` +
				`"model_transaction_policy":{"decoupled":true},"response_cache":{"enable":false}}`,
		},
		{
			"config where any rows go", management.ModelConfig(&infer.Model{Name: "s", MaxBatch: 8, AnyRows: true}, "onnxruntime"),
			`{"name":"s","platform":"","backend":"onnxruntime","max_batch_size":8,"input":[],"output":[],"dynamic_batching":{},` +
				`"parameters":{"sluice_any_rows":{"string_value":"true"}},` +
				`"model_transaction_policy":{"decoupled":false},"response_cache":{"enable":false}}`,
		},
		{"no statistics", management.Statistics(nil), `{"model_stats":[]}`},
		{
			"statistics", management.Statistics([]management.ModelStats{{Name: "digits", Version: "2", LastInference: 5, InferenceCount: 64, ExecutionCount: 2, InferenceStats: management.InferenceStats{Success: management.Total{Count: 3, NS: 9}}}}),
			`{"model_stats":[{"name":"digits","version":"2","last_inference":5,"inference_count":64,"execution_count":2,"inference_stats":{"success":{"count":3,"ns":9},` +
				`"fail":{"count":0,"ns":0},"queue":{"count":0,"ns":0},"compute_input":{"count":0,"ns":0},"compute_infer":{"count":0,"ns":0},"compute_output":{"count":0,"ns":0},` +
				`"cache_hit":{"count":0,"ns":0},"cache_miss":{"count":0,"ns":0}},"batch_stats":[]}]}`,
		},
		{"empty index", management.RepositoryIndex(nil, false), `[]`},
		{
			"index", management.RepositoryIndex([]infer.VersionStatus{{Name: "a", Version: "1", State: infer.Ready}, {Name: "a", Version: "2", State: infer.Loading}, {Name: "b", Version: "1", State: infer.Unavailable, Reason: "/models/b: no such file"}}, false),
			`[{"name":"a","version":"1","state":"READY","reason":""},{"name":"a","version":"2","state":"LOADING","reason":""},{"name":"b","version":"1","state":"UNAVAILABLE","reason":"not available"}]`,
		},
		{
			"index of what is ready", management.RepositoryIndex([]infer.VersionStatus{{Name: "a", Version: "1", State: infer.Loading}, {Name: "b", Version: "1", State: infer.Ready}}, true),
			`[{"name":"b","version":"1","state":"READY","reason":""}]`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if string(tc.got) != tc.want {
				t.Errorf("got  %s\nwant %s", tc.got, tc.want)
			}
			if !json.Valid(tc.got) {
				t.Error("no JSON")
			}
		})
	}
}

func TestParseIndexRequest(t *testing.T) {
	for _, tc := range []struct {
		body string
		want bool
		text string
	}{
		{"", false, ""},
		{"{}", false, ""},
		{`{"ready":true}`, true, ""},
		{`{"ready":false,"x":[1]}`, false, ""},
		{`{"ready":1}`, false, `"ready" must be true or false at byte 9`},
		{`[]`, false, "expected an object"},
		{`{"ready":true`, false, "expected a comma"},
	} {
		got, err := management.ParseIndexRequest([]byte(tc.body))
		if got != tc.want || (err == nil) != (tc.text == "") || err != nil && !strings.Contains(err.Text, tc.text) {
			t.Errorf("%s: %v %v, want %v %q", tc.body, got, err, tc.want, tc.text)
		}
	}
}
