//go:build !race && !sluicedebug

package server_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	tfpb "github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/server"
)

func TestUnaryCallsDoNotAllocate(t *testing.T) {
	raw := make([]byte, 1024)
	for _, tc := range []struct {
		name, path string
		message    proto.Message
	}{
		{"infer", pb.GRPCInferenceService_ModelInfer_FullMethodName, &pb.ModelInferRequest{
			ModelName:        "echo",
			Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{1, 256}}},
			RawInputContents: [][]byte{raw},
		}},
		{"predict", tfpb.PredictionService_Predict_FullMethodName, &tfpb.PredictRequest{
			ModelSpec: &tfpb.ModelSpec{Name: "echo", VersionChoice: &tfpb.ModelSpec_VersionLabel{VersionLabel: "stable"}},
			Inputs: map[string]*tfpb.TensorProto{"x": {
				Dtype:         tfpb.DataType_DT_FLOAT,
				TensorShape:   &tfpb.TensorShapeProto{Dim: []*tfpb.TensorShapeProto_Dim{{Size: 1}, {Size: 256}}},
				TensorContent: raw,
			}},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEdge(t, puppet.Options{}, server.Options{})
			const warm, runs = 200, 2000
			c := newRPCClient(t, e)
			c.prepare(t, warm+runs+1, tc.path, tc.message)
			for range warm {
				if data, err := c.exchange(); err != nil || data < 1024 {
					t.Fatalf("%d bytes of data, %v", data, err)
				}
			}
			var failed error
			n := testing.AllocsPerRun(runs, func() {
				if _, err := c.exchange(); err != nil {
					failed = err
				}
			})
			if failed != nil || n != 0 {
				t.Errorf("%v allocations a call, want 0; %v", n, failed)
			}
		})
	}
}
