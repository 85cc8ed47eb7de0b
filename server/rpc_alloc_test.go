//go:build !race && !sluicedebug

package server_test

import (
	"context"
	"encoding/binary"
	"net"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// rpcClient sends prepared calls and reads their answers without parsing or allocating.
type rpcClient struct {
	conn  net.Conn
	calls [][]byte
	buf   []byte
}

// newRPCClient prepares n calls of the echo model that differ in id, timeout and trace.
func newRPCClient(t *testing.T, e *edge, n int) *rpcClient {
	t.Helper()
	srv, err := h2.New(h2.Options{}, e.memory.Slabs, e.Server, e.RPC(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := ln.Accept()
		if err == nil {
			srv.ServeConn(conn, nil)
		}
	}()
	c := &rpcClient{buf: make([]byte, 64<<10)}
	if c.conn, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.conn.Close()
		_ = ln.Close()
		<-served
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	hello := append([]byte(frame.Preface), frame.AppendSettings(nil)...)
	hello = frame.AppendWindow(hello, 0, 1<<30)
	if _, err := c.conn.Write(frame.AppendSettingsAck(hello)); err != nil {
		t.Fatal(err)
	}
	message, err := proto.Marshal(&pb.ModelInferRequest{
		ModelName:        "echo",
		Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{1, 256}}},
		RawInputContents: [][]byte{make([]byte, 1024)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c.calls = append(c.calls, rpcCall(uint32(2*i+1), message))
	}
	return c
}

// rpcCall is the frames of one call, its header fields literal and unknown to any table.
func rpcCall(id uint32, message []byte) []byte {
	out := rpcHead(id, "/inference.GRPCInferenceService/ModelInfer")
	return rpcMessage(out, id, frame.EndStream, message)
}

func rpcHead(id uint32, path string) []byte {
	var block []byte
	for _, f := range [][2]string{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", path},
		{":authority", "localhost"},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
		{"grpc-timeout", strconv.Itoa(5_000_000+int(id)) + "u"},
		{"x-request-id", "id-" + strconv.Itoa(int(id))},
	} {
		block = append(block, 0, byte(len(f[0])))
		block = append(block, f[0]...)
		block = append(block, byte(len(f[1])))
		block = append(block, f[1]...)
	}
	out := frame.AppendHead(nil, frame.Head{Length: len(block), Type: frame.Headers, Flags: frame.EndHeaders, Stream: id})
	return append(out, block...)
}

func rpcMessage(out []byte, id uint32, flags uint8, message []byte) []byte {
	out = frame.AppendHead(out, frame.Head{Length: len(message) + 5, Type: frame.Data, Flags: flags, Stream: id})
	out = append(out, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(len(message)))
	return append(out, message...)
}

// exchange sends the next call and reads until its stream has ended. It returns the bytes of its DATA.
func (c *rpcClient) exchange() (int, error) {
	call := c.calls[0]
	c.calls = c.calls[1:]
	if _, err := c.conn.Write(call); err != nil {
		return 0, err
	}
	have, data := 0, 0
	for {
		n, err := c.conn.Read(c.buf[have:])
		if err != nil {
			return data, err
		}
		have += n
		b := c.buf[:have]
		for len(b) >= frame.HeadSize {
			h := frame.ParseHead(b)
			if len(b) < frame.HeadSize+h.Length {
				break
			}
			if h.Type == frame.Data {
				data += h.Length
			}
			if h.Type == frame.Headers && h.Has(frame.EndStream) {
				return data, nil
			}
			b = b[frame.HeadSize+h.Length:]
		}
		have = copy(c.buf, b)
	}
}

func TestUnaryCallsDoNotAllocate(t *testing.T) {
	e := newEdge(t, puppet.Options{}, server.Options{})
	const warm, runs = 200, 2000
	c := newRPCClient(t, e, warm+runs+1)
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
}
