//go:build !race && !sluicedebug

package server_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

func TestStreamedRequestsDoNotAllocate(t *testing.T) {
	for _, tc := range []struct {
		model string
		rows  int
	}{{"echo", 1}, {"repeat", 1}, {"repeat", 4}} {
		t.Run(tc.model, func(t *testing.T) {
			e := newEdge(t, puppet.Options{Models: []*infer.Model{puppet.Echo("echo", 32), puppet.Repeat("repeat")}}, server.Options{})
			c := newRPCClient(t, e)
			open := rpcHead(1, pb.GRPCInferenceService_ModelStreamInfer_FullMethodName, "50S")
			open = append(open, frame.AppendWindow(nil, 1, 1<<30)...)
			if _, err := c.conn.Write(open); err != nil {
				t.Fatal(err)
			}
			q := ask(tc.model, "the id", 1, tc.rows)
			message, err := proto.Marshal(q)
			if err != nil {
				t.Fatal(err)
			}
			request := rpcMessage(nil, 1, 0, message)
			answer := tc.rows * (5 + proto.Size(&pb.ModelStreamInferResponse{InferResponse: &pb.ModelInferResponse{
				ModelName: tc.model, ModelVersion: "1", Id: q.GetId(), RawOutputContents: [][]byte{make([]byte, 8)},
				Outputs:    []*pb.ModelInferResponse_InferOutputTensor{{Name: "y", Datatype: "FP32", Shape: []int64{1, 2}}},
				Parameters: map[string]*pb.InferParameter{"triton_final_response": {ParameterChoice: &pb.InferParameter_BoolParam{BoolParam: true}}},
			}}))
			exchange := func() error {
				if _, err := c.conn.Write(request); err != nil {
					return err
				}
				return c.readData(answer)
			}
			for range 200 {
				if err := exchange(); err != nil {
					t.Fatal(err)
				}
			}
			var failed error
			n := testing.AllocsPerRun(2000, func() {
				if err := exchange(); err != nil {
					failed = err
				}
			})
			if failed != nil || n != 0 {
				t.Errorf("%v allocations a request, want 0; %v", n, failed)
			}
		})
	}
}
