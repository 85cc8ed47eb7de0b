package server_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// rpcClient sends prepared calls and reads their answers without parsing or allocating.
type rpcClient struct {
	conn  net.Conn
	calls [][]byte
	buf   []byte
	have  int // bytes in buf that are not read yet
}

// newRPCClient connects.
func newRPCClient(t testing.TB, e *edge) *rpcClient {
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
	c := &rpcClient{buf: make([]byte, 128<<10)}
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
	return c
}

// prepare prepares n calls of a method that differ in id and timeout: the first ones of the connection.
func (c *rpcClient) prepare(t testing.TB, n int, path string, message proto.Message) {
	t.Helper()
	b, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c.calls = append(c.calls, rpcCall(uint32(2*i+1), path, b))
	}
}

// rpcCall is the frames of one call, its header fields literal and unknown to any table.
func rpcCall(id uint32, path string, message []byte) []byte {
	out := rpcHead(id, path, strconv.Itoa(50_000_000+int(id))+"u")
	return rpcMessage(out, id, frame.EndStream, message)
}

// rpcHead is the head of a call.
func rpcHead(id uint32, path, timeout string) []byte {
	var block []byte
	for _, f := range [][2]string{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", path},
		{":authority", "localhost"},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
		{"grpc-timeout", timeout},
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

// rpcMessage appends a message of a call, which its frame has flags for.
func rpcMessage(out []byte, id uint32, flags uint8, message []byte) []byte {
	out = frame.AppendHead(out, frame.Head{Length: len(message) + 5, Type: frame.Data, Flags: flags, Stream: id})
	out = append(out, 0)
	out = binary.BigEndian.AppendUint32(out, uint32(len(message)))
	return append(out, message...)
}

// frames reads frames and shows them until done.
func (c *rpcClient) frames(show func(h frame.Head, payload []byte) (done bool)) error {
	for {
		at, done := 0, false
		for b := c.buf[:c.have]; !done && len(b)-at >= frame.HeadSize; {
			h := frame.ParseHead(b[at:])
			end := at + frame.HeadSize + h.Length
			if len(b) < end {
				break
			}
			done = show(h, b[at+frame.HeadSize:end])
			at = end
		}
		c.have = copy(c.buf, c.buf[at:c.have])
		if done {
			return nil
		}
		n, err := c.conn.Read(c.buf[c.have:])
		if err != nil {
			return err
		}
		c.have += n
	}
}

// exchange sends the next call and reads until its stream has ended. It returns the bytes of its DATA.
func (c *rpcClient) exchange() (data int, err error) {
	call := c.calls[0]
	c.calls = c.calls[1:]
	if _, err := c.conn.Write(call); err != nil {
		return 0, err
	}
	err = c.frames(func(h frame.Head, _ []byte) bool {
		if h.Type == frame.Data {
			data += h.Length
		}
		return h.Type == frame.Headers && h.Has(frame.EndStream)
	})
	return data, err
}

// readData reads until n bytes of DATA have come, whatever else comes.
func (c *rpcClient) readData(n int) error {
	err := c.frames(func(h frame.Head, _ []byte) bool {
		if h.Type == frame.Data {
			n -= h.Length
		}
		return n <= 0
	})
	if err == nil && n < 0 {
		err = errors.New("more came than was asked for")
	}
	return err
}
