package kserve_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
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
	total := func(count, ns uint64) management.Total { return management.Total{Count: count, NS: ns} }
	stats := []management.ModelStats{{
		Name: "digits", Version: "2", LastInference: 5, InferenceCount: 64, ExecutionCount: 2,
		InferenceStats: management.InferenceStats{
			Success: total(1, 2), Fail: total(3, 4), Queue: total(5, 6), ComputeInput: total(7, 8),
			ComputeInfer: total(9, 10), ComputeOutput: total(11, 12), CacheHit: total(13, 14), CacheMiss: total(15, 16),
		},
		BatchStats: []management.BatchStats{{BatchSize: 8, ComputeInput: total(1, 2), ComputeInfer: total(3, 4), ComputeOutput: total(5, 6)}},
	}}
	versions := []infer.VersionStatus{{Name: "a", Version: "1", State: infer.Ready}, {Name: "a", Version: "2", State: infer.Loading}, {Name: "b", Version: "1", State: infer.Unavailable, Reason: "secret"}}
	index := func(readyOnly bool) []byte {
		return fmt.Appendf(nil, `{"models":%s}`, management.RepositoryIndex(versions, readyOnly))
	}
	config := func(m *infer.Model) []byte {
		return fmt.Appendf(nil, `{"config":%s}`, management.ModelConfig(m, "onnx"))
	}
	for _, tc := range []struct {
		name string
		rest []byte
		msg  proto.Message
	}{
		{"model", management.ModelMetadata(m, []string{"1", "2"}), management.ModelMetadataMessage(m, []string{"1", "2"})},
		{"model of scalars", management.ModelMetadata(scalar, nil), management.ModelMetadataMessage(scalar, nil)},
		{"config", config(m), management.ModelConfigMessage(m, "onnx")},
		{"config without batches", config(scalar), management.ModelConfigMessage(scalar, "onnx")},
		{"config where any rows go", config(anyRows), management.ModelConfigMessage(anyRows, "onnx")},
		{"statistics", management.Statistics(stats), management.StatisticsMessage(stats)},
		{"no statistics", management.Statistics(nil), management.StatisticsMessage(nil)},
		{"index", index(false), management.RepositoryIndexMessage(versions, false)},
		{"index of what is ready", index(true), management.RepositoryIndexMessage(versions, true)},
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
	if c := management.ModelConfigMessage(scalar, "onnx").Config; c.GetDynamicBatching() != nil {
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
