package client

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
)

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

// Ask sends one request and returns status, headers and body: to see that a server is up and what it says.
func Ask(ctx context.Context, target string, request []byte) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	network, address := "tcp", target
	if path, ok := strings.CutPrefix(target, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		return nil, nil, fmt.Errorf("ask %s: %w", target, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer of %s: %w", target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer of %s: %w", target, err)
	}
	return resp, body, nil
}
