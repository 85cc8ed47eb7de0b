//go:build !race && !sluicedebug

package server_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// BenchmarkStream sends requests of 1 KiB over one stream, some in one write, and waits for all answers.
func BenchmarkStream(b *testing.B) {
	for _, together := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("together=%d", together), func(b *testing.B) {
			e := newEdge(b, puppet.Options{Models: []*infer.Model{puppet.Echo("echo", 32)}}, server.Options{})
			c := newRPCClient(b, e)
			open := rpcHead(1, pb.GRPCInferenceService_ModelStreamInfer_FullMethodName, "50S")
			open = append(open, frame.AppendWindow(nil, 1, 1<<30)...)
			if _, err := c.conn.Write(open); err != nil {
				b.Fatal(err)
			}
			q := ask("echo", "", 1, 1)
			q.Inputs[0].Shape, q.RawInputContents = []int64{1, 256}, [][]byte{make([]byte, 1024)}
			message, err := proto.Marshal(q)
			if err != nil {
				b.Fatal(err)
			}
			var requests []byte
			for range together {
				requests = rpcMessage(requests, 1, 0, message)
			}
			answer := 5 + proto.Size(&pb.ModelStreamInferResponse{InferResponse: &pb.ModelInferResponse{
				ModelName: "echo", ModelVersion: "1", RawOutputContents: [][]byte{make([]byte, 1024)},
				Outputs:    []*pb.ModelInferResponse_InferOutputTensor{{Name: "y", Datatype: "FP32", Shape: []int64{1, 256}}},
				Parameters: map[string]*pb.InferParameter{"triton_final_response": {ParameterChoice: &pb.InferParameter_BoolParam{BoolParam: true}}},
			}})
			// The client takes what it gets.
			requests = frame.AppendWindow(requests, 0, uint32(together*answer))
			requests = frame.AppendWindow(requests, 1, uint32(together*answer))
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += together {
				if _, err := c.conn.Write(requests); err != nil {
					b.Fatal(err)
				}
				if err := c.readData(together * answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
