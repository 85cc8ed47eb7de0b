package v2grpc

import (
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

func TestDescribe(t *testing.T) {
	one := upstream.Listed{Name: "m", Version: "1", Number: "1"}
	meta := func() *pb.ModelMetadataResponse {
		return &pb.ModelMetadataResponse{
			Platform: "p",
			Inputs: []*pb.ModelMetadataResponse_TensorMetadata{
				{Name: "x", Datatype: "FP32", Shape: []int64{-1, 4}}, {Name: "y", Datatype: "BYTES", Shape: []int64{-1, 1}},
			},
			Outputs: []*pb.ModelMetadataResponse_TensorMetadata{{Name: "z", Datatype: "INT64", Shape: []int64{-1}}},
		}
	}
	for _, tc := range []struct {
		name      string
		config    *pb.ModelConfig
		merge     string
		instances int
		sequences bool
	}{
		{"no config", nil, "never: its server does not tell how its requests merge", 0, false},
		{"merging", &pb.ModelConfig{MaxBatchSize: 8, InstanceGroup: []*pb.ModelInstanceGroup{{Count: 2}, {Count: 1, Gpus: []int32{0, 1}}}}, "up to 8 rows: the server's max_batch_size", 4, false},
		{"sequences", &pb.ModelConfig{MaxBatchSize: 8, SchedulingChoice: &pb.ModelConfig_SequenceBatching{SequenceBatching: &pb.ModelSequenceBatching{}}}, "never: its requests belong to sequences, which the server keeps apart", 0, true},
		{"decoupled", &pb.ModelConfig{MaxBatchSize: 8, ModelTransactionPolicy: &pb.ModelTransactionPolicy{Decoupled: true}}, "never: its answers are decoupled from its requests", 0, false},
		{"ragged", &pb.ModelConfig{MaxBatchSize: 8, Input: []*pb.ModelInput{{Name: "x", AllowRaggedBatch: true}}}, `never: the rows of its input "x" may differ in shape`, 0, false},
		{"shapes", &pb.ModelConfig{MaxBatchSize: 8, Input: []*pb.ModelInput{{Name: "y", IsShapeTensor: true}}}, `never: its input "y" is a shape, which has no rows`, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := describe(one, meta(), tc.config)
			if err != nil {
				t.Fatal(err)
			}
			if d.Model.Merge != tc.merge || d.Instances != tc.instances || d.Sequences != tc.sequences || d.Model.Alone == strings.HasPrefix(tc.merge, "up to") {
				t.Errorf("got %+v", d)
			}
		})
	}
	d, err := describe(one, meta(), &pb.ModelConfig{Input: []*pb.ModelInput{{Name: "y", Optional: true}}})
	if err != nil || d.Model.Inputs[0].Optional || !d.Model.Inputs[1].Optional {
		t.Errorf("optional inputs: %+v, %v", d, err)
	}
	for _, config := range []*pb.ModelConfig{nil, {}, {MaxBatchSize: 1}} {
		if d, err = describe(one, meta(), config); err != nil || d.Model.Rowless != (config != nil && config.GetMaxBatchSize() == 0) {
			t.Errorf("rowless, with %v: %+v, %v", config, d, err)
		}
	}
	anyRows := map[string]*pb.ModelParameter{management.AnyRowsParameter: {StringValue: "true"}}
	for size, want := range map[int32]bool{0: false, 8: true} {
		if d, err = describe(one, meta(), &pb.ModelConfig{MaxBatchSize: size, Parameters: anyRows}); err != nil || d.Model.AnyRows != want {
			t.Errorf("any rows, with a batch of %d: %+v, %v", size, d, err)
		}
	}
	for name, spoil := range map[string]func(*pb.ModelMetadataResponse){
		"datatype": func(m *pb.ModelMetadataResponse) { m.Inputs[0].Datatype = "COMPLEX" },
		"name":     func(m *pb.ModelMetadataResponse) { m.Outputs[0].Name = "" },
		"rank":     func(m *pb.ModelMetadataResponse) { m.Inputs[0].Shape = make([]int64, tensor.MaxRank+1) },
	} {
		m := meta()
		spoil(m)
		if _, err := describe(one, m, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestNumbersSequences(t *testing.T) {
	const start, id = pb.ModelSequenceBatching_Control_CONTROL_SEQUENCE_START, pb.ModelSequenceBatching_Control_CONTROL_SEQUENCE_CORRID
	for _, tc := range []struct {
		name     string
		kind     pb.ModelSequenceBatching_Control_Kind
		dataType pb.DataType
		want     bool
	}{
		{"no id", start, pb.DataType_TYPE_INT32, false},
		{"text", id, pb.DataType_TYPE_STRING, false},
		{"number", id, pb.DataType_TYPE_UINT64, true},
	} {
		control := &pb.ModelSequenceBatching_Control{Kind: tc.kind, DataType: tc.dataType}
		batching := &pb.ModelSequenceBatching{ControlInput: []*pb.ModelSequenceBatching_ControlInput{
			{Name: "id", Control: []*pb.ModelSequenceBatching_Control{control}},
		}}
		d, err := describe(upstream.Listed{Name: "m", Version: "1", Number: "1"}, &pb.ModelMetadataResponse{}, &pb.ModelConfig{
			SchedulingChoice: &pb.ModelConfig_SequenceBatching{SequenceBatching: batching},
		})
		if err != nil || d.Model.NumberedSequences != tc.want {
			t.Errorf("%s: got %+v, %v", tc.name, d, err)
		}
	}
}
