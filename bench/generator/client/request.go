package client

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// NewRequest builds the bytes of an HTTP/1.1 request. Content-Length is added when there is a body; headers are pairs
// of name and value.
func NewRequest(method, path, host string, body []byte, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host)
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	if body != nil {
		b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// InferRequest is a binary v2 request over HTTP/1.1: one FP32 tensor x of one row, all of it binary, and binary output
// asked for. The values are small and exact, so that any model can take them.
func InferRequest(model string, width int) []byte {
	head := fmt.Appendf(nil, `{"inputs":[{"name":"x","shape":[1,%d],"datatype":"FP32","parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`,
		width, 4*width)
	return NewRequest("POST", "/v2/models/"+model+"/infer", "bench", append(head, RowOf(4*width)...),
		"Content-Type", "application/octet-stream", "Inference-Header-Content-Length", strconv.Itoa(len(head)))
}

// InferMessage is a ModelInferRequest with one input of one row, size bytes in all, as raw contents. The values are
// small and exact, so that any model can take them.
func InferMessage(model, input string, dtype tensor.DType, size int) ([]byte, error) {
	b, err := proto.Marshal(&pb.ModelInferRequest{
		ModelName: model,
		Inputs: []*pb.ModelInferRequest_InferInputTensor{{
			Name: input, Datatype: dtype.String(), Shape: []int64{1, int64(size / max(dtype.Size(), 1))},
		}},
		RawInputContents: [][]byte{RowOf(size)},
	})
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	return b, nil
}

// RowOf is size bytes that are small whole numbers as FP32.
func RowOf(size int) []byte {
	row := make([]byte, 0, size+4)
	for i := 0; len(row) < size; i++ {
		row = binary.LittleEndian.AppendUint32(row, math.Float32bits(float32(i%256)))
	}
	return row[:size]
}

// AuthorityOf is what a request says about whom it is for.
func AuthorityOf(target string) string {
	if strings.HasPrefix(target, "unix:") {
		return "localhost"
	}
	return target
}
