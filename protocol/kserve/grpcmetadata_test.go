package kserve

import (
	"encoding/json"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// TestBothEncodingsDescribeAlike compares each answer over REST with the one over gRPC, field by field. The
// messages have fields that the documents leave out.
func TestBothEncodingsDescribeAlike(t *testing.T) {
	m := &infer.Model{
		Name: "digits", Version: "2", Platform: "onnx_onnxv1", MaxBatch: 32,
		Inputs:  []infer.Spec{spec("image", tensor.FP32, -1, 64), {Name: "hint", DType: tensor.Bytes, Dims: []int64{-1}, Optional: true}},
		Outputs: []infer.Spec{spec("label", tensor.Int64, -1), spec("half", tensor.BF16, -1)},
	}
	scalar := &infer.Model{Name: "s", Inputs: []infer.Spec{{Name: "x", DType: tensor.BF16}}, Decoupled: true}
	anyRows := &infer.Model{Name: "s", MaxBatch: 8, AnyRows: true}
	stats := []ModelStats{{
		Name: "digits", Version: "2", LastInference: 5, InferenceCount: 64, ExecutionCount: 2,
		InferenceStats: InferenceStats{
			Success: Total{1, 2}, Fail: Total{3, 4}, Queue: Total{5, 6}, ComputeInput: Total{7, 8},
			ComputeInfer: Total{9, 10}, ComputeOutput: Total{11, 12}, CacheHit: Total{13, 14}, CacheMiss: Total{15, 16},
		},
		BatchStats: []BatchStats{{8, Total{1, 2}, Total{3, 4}, Total{5, 6}}},
	}}
	versions := []infer.VersionStatus{{Name: "a", Version: "1", State: infer.Ready}, {Name: "a", Version: "2", State: infer.Loading}, {Name: "b", Version: "1", State: infer.Unavailable, Reason: "secret"}}
	index := func(readyOnly bool) []byte {
		return fmt.Appendf(nil, `{"models":%s}`, RepositoryIndex(versions, readyOnly))
	}
	config := func(m *infer.Model) []byte { return fmt.Appendf(nil, `{"config":%s}`, ModelConfig(m, "onnx")) }
	for _, tc := range []struct {
		name string
		rest []byte
		msg  proto.Message
	}{
		{"model", ModelMetadata(m, []string{"1", "2"}), ModelMetadataMessage(m, []string{"1", "2"})},
		{"model of scalars", ModelMetadata(scalar, nil), ModelMetadataMessage(scalar, nil)},
		{"config", config(m), ModelConfigMessage(m, "onnx")},
		{"config without batches", config(scalar), ModelConfigMessage(scalar, "onnx")},
		{"config where any rows go", config(anyRows), ModelConfigMessage(anyRows, "onnx")},
		{"statistics", Statistics(stats), StatisticsMessage(stats)},
		{"no statistics", Statistics(nil), StatisticsMessage(nil)},
		{"index", index(false), RepositoryIndexMessage(versions, false)},
		{"index of what is ready", index(true), RepositoryIndexMessage(versions, true)},
	} {
		b, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(tc.msg)
		if err != nil {
			t.Fatal(err)
		}
		var rest, grpc any
		if json.Unmarshal(tc.rest, &rest) != nil || json.Unmarshal(b, &grpc) != nil {
			t.Fatalf("%s: %s %s", tc.name, tc.rest, b)
		}
		if diff := within(rest, grpc, tc.name); diff != "" {
			t.Error(diff)
		}
	}
	if c := ModelConfigMessage(scalar, "onnx").Config; c.GetDynamicBatching() != nil {
		t.Error("a model without batches has dynamic batching")
	}
}

// within tells where big lacks something of small, or has it otherwise. Lists have to be as long.
func within(small, big any, at string) string {
	switch s := small.(type) {
	case map[string]any:
		b, _ := big.(map[string]any)
		for key, v := range s {
			if _, ok := b[key]; !ok {
				return at + " lacks " + key
			}
			if diff := within(v, b[key], at+"."+key); diff != "" {
				return diff
			}
		}
	case []any:
		b, _ := big.([]any)
		if len(b) != len(s) {
			return fmt.Sprintf("%s has %d elements, want %d", at, len(b), len(s))
		}
		for i := range s {
			if diff := within(s[i], b[i], fmt.Sprint(at, "[", i, "]")); diff != "" {
				return diff
			}
		}
	default:
		if fmt.Sprint(small) != fmt.Sprint(big) {
			return fmt.Sprintf("%s is %v, want %v", at, big, small)
		}
	}
	return ""
}
