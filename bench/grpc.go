package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

const grpcHelp = `Makes gRPC calls and reports what became of them. The server may be any: Sluice, Triton, a proxy, or, with -method and
-message, one of quite another service. HTTP/2 is without TLS.

  How many at once: -connections sockets with -streams calls in flight on each.
  How fast:         as fast as answers come (closed loop), or -rate calls a second (open loop). A closed loop finds what a
                    server can do, and hides its stalls: while it stalls nothing is asked. An open loop keeps asking, and
                    latency runs from the moment a call was due, so that a stall is charged to every call behind it.
  What:             -model with one FP32 -input of shape [1, bytes/4], or -message with the encoded message of a file.
  Streaming:        -streaming sends each request as a message of one ModelStreamInfer a connection; answers come in order.

  sluice bench grpc -target 127.0.0.1:8001 -model digits -input image -bytes 256 -connections 8 -streams 8
  sluice bench grpc -target 127.0.0.1:8001 -model echo -connections 4 -streams 16 -rate 5000 -duration 30s -plot latency.svg
  sluice bench grpc -target 127.0.0.1:8001 -model echo -streaming -streams 4 -output json
  sluice bench grpc -target 127.0.0.1:8001 -method /grpc.health.v1.Health/Check -message @empty
`

func grpcCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flags("grpc", "grpc -target 127.0.0.1:8001 -model NAME [-connections 8 -streams 8] [-rate 5000]\n\n"+grpcHelp, stderr)
	var rf runFlags
	opts := rf.options()
	opts.GRPC = &client.GRPC{}
	rf.register(fs, "127.0.0.1:8001")
	fs.IntVar(&opts.Streams, "streams", 1, "calls in flight on each connection; in an open loop the most of them")
	model := fs.String("model", "", "model to ask, with one input of FP32")
	input := fs.String("input", "x", "input of -model")
	size := fs.Int("bytes", 1024, "bytes of the tensor that -model is asked with")
	fs.StringVar(&opts.GRPC.Path, "method", "", "/SERVICE/METHOD (default ModelInfer of the v2 protocol, ModelStreamInfer with -streaming)")
	message := fs.String("message", "", "the encoded message to send, or @file, instead of -model's")
	fs.BoolVar(&opts.GRPC.Streaming, "streaming", false, "one call a connection, requests and answers as its messages")
	fs.IntVar(&opts.GRPC.Status, "status", 0, "gRPC status of a right answer")
	if err := parse(fs, args); err != nil {
		return err
	}
	if opts.GRPC.Path == "" {
		opts.GRPC.Path = pb.GRPCInferenceService_ModelInfer_FullMethodName
		if opts.GRPC.Streaming {
			opts.GRPC.Path = pb.GRPCInferenceService_ModelStreamInfer_FullMethodName
		}
	}
	var err error
	if opts.GRPC.Message, err = grpcMessage(*model, *input, *size, *message); err != nil {
		return usageError{err}
	}
	for i := 0; i+1 < len(rf.headers); i += 2 {
		opts.GRPC.Metadata = append(opts.GRPC.Metadata, strings.ToLower(rf.headers[i]), rf.headers[i+1])
	}
	return rf.run(ctx, stdout, stderr)
}

// grpcMessage is what the flags want to be sent.
func grpcMessage(model, input string, size int, message string) ([]byte, error) {
	switch {
	case message != "" && model != "":
		return nil, errors.New("-message and -model: one of them")
	case message != "":
		return textOrFile("-message", message)
	case model == "":
		return nil, errors.New("-model or -message: what is to be sent?")
	case size < 4 || size%4 != 0 || size > 1<<30:
		return nil, fmt.Errorf("-bytes: %d is not a number of bytes that FP32 fills", size)
	}
	return client.InferMessage(model, input, tensor.FP32, size)
}
