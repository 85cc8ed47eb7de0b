package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// InferMessage is a ModelInferRequest with one input of one row, size bytes in all, as raw contents. The values are
// small and exact, so that any model can take them.
func InferMessage(model, input string, dtype tensor.DType, size int) ([]byte, error) {
	b, err := proto.Marshal(&pb.ModelInferRequest{
		ModelName: model,
		Inputs: []*pb.ModelInferRequest_InferInputTensor{{
			Name: input, Datatype: dtype.String(), Shape: []int64{1, int64(size / max(dtype.Size(), 1))},
		}},
		RawInputContents: [][]byte{rowOf(size)},
	})
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	return b, nil
}

// AskGRPC makes one call and returns the answer's message: to see that a server is up and what it says. The client is
// grpc-go's, so that what the generator then repeats has been understood by somebody else first.
func AskGRPC(ctx context.Context, target string, call *GRPC) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	address := target
	if !strings.HasPrefix(target, "unix:") {
		address = "passthrough:///" + target
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent("sluice-bench"))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", target, err)
	}
	defer func() { _ = conn.Close() }()
	for i := 0; i+1 < len(call.Metadata); i += 2 {
		ctx = metadata.AppendToOutgoingContext(ctx, call.Metadata[i], call.Metadata[i+1])
	}
	var answer []byte
	err = conn.Invoke(ctx, call.Path, call.Message, &answer,
		grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(1<<30), grpc.WaitForReady(true))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", target, err)
	}
	return answer, nil
}

// rawCodec passes messages as bytes.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
