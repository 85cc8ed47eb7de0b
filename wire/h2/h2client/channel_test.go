package h2client

import (
	"context"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	wiregrpc "github.com/sluice-serving/sluice/wire/grpc"
)

// channel has generated stubs make their calls over a Client.
type channel struct{ a *asker }

// Invoke makes a unary call.
func (ch channel) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	call := newStubCall(ctx, ch.a, method)
	b, err := proto.Marshal(args.(proto.Message))
	if err != nil {
		return err
	}
	call.Call.Message.AppendOwned(slab.View{B: b})
	if err := call.start(); err != nil {
		return err
	}
	err = call.one(reply)
	for _, o := range opts {
		switch o := o.(type) {
		case grpc.HeaderCallOption:
			*o.HeaderAddr = call.fields(call.NumHead(), call.Head)
		case grpc.TrailerCallOption:
			*o.TrailerAddr = call.Trailer()
		}
	}
	return err
}

// NewStream makes a call of any number of messages.
func (ch channel) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	call := newStubCall(ctx, ch.a, method)
	call.Streaming, call.Room = true, call
	if desc.ServerStreams {
		call.Messages = call
	}
	return call, call.start()
}

// stubCall is a call as grpc-go has it: those who use it wait.
type stubCall struct {
	*Call
	a        *asker
	ctx      context.Context
	stop     func() bool   // has the call not end with ctx
	messages chan []byte   // 1-slot: no message comes before it was pulled
	room     chan struct{} // 1-slot
	done     chan struct{}
	ahead    []byte // a message that came while its head was awaited
}

func newStubCall(ctx context.Context, a *asker, method string) *stubCall {
	c := &stubCall{
		Call: &Call{Path: method}, a: a, ctx: ctx, stop: func() bool { return true },
		messages: make(chan []byte, 1), room: make(chan struct{}, 1), done: make(chan struct{}),
	}
	c.Done = c
	md, _ := metadata.FromOutgoingContext(ctx)
	for name, values := range md {
		for _, v := range values {
			c.Metadata = append(c.Metadata, wire.Header{Name: name, Value: []byte(v)})
		}
	}
	return c
}

func (c *stubCall) start() error {
	if at, ok := c.ctx.Deadline(); ok {
		c.Timeout = max(time.Until(at), 1)
	}
	conn, err := c.a.cl.Start(c.Call)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	if conn != nil {
		conn.Flush()
	}
	c.stop = context.AfterFunc(c.ctx, c.Cancel)
	return nil
}

func (c *stubCall) Message(_ *Call, m *slab.List, _ Drainer) { c.messages <- flat(m) }

func (c *stubCall) Emptied(*Call, Drainer) {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

func (c *stubCall) Answered(*Call, Drainer) { close(c.done) }

// one waits for the only answer.
func (c *stubCall) one(reply any) error {
	<-c.done
	defer c.stop()
	defer c.Answer.Release()
	if err := c.err(); err != io.EOF {
		return err
	}
	return proto.Unmarshal(flat(&c.Answer), reply.(proto.Message))
}

// err returns how the call ended. The deadline is the caller's: a server whose clock is the first to end the call
// may say so with a reset.
func (c *stubCall) err() error {
	at, timed := c.ctx.Deadline()
	switch {
	case c.Status == wiregrpc.OK:
		return io.EOF
	case c.Local && timed && !at.After(time.Now()):
		return status.FromContextError(context.DeadlineExceeded).Err()
	}
	return status.Error(codes.Code(c.Status), c.Text)
}

func (c *stubCall) fields(n int, field func(int) (name, value []byte)) metadata.MD {
	md := metadata.MD{}
	for i := range n {
		name, value := field(i)
		if strings.HasSuffix(string(name), "-bin") {
			value, _ = wiregrpc.AppendBinary(nil, value)
		}
		md.Append(string(name), string(value))
	}
	return md
}

// Header waits for the head of the answer, which is known with its first message or its end.
func (c *stubCall) Header() (metadata.MD, error) {
	if c.ahead == nil {
		select {
		case c.ahead = <-c.messages:
		case <-c.done:
		}
	}
	return c.fields(c.NumHead(), c.Head), nil
}

func (c *stubCall) Trailer() metadata.MD { return c.fields(c.NumTrailer(), c.Call.Trailer) }

func (c *stubCall) Context() context.Context { return c.ctx }

func (c *stubCall) CloseSend() error {
	if c.ctx.Err() != nil { // what cancels is a goroutine that may be late
		c.Cancel()
	}
	if conn := c.Call.CloseSend(); conn != nil {
		conn.Flush()
	}
	return nil
}

func (c *stubCall) SendMsg(m any) error {
	b, err := proto.Marshal(m.(proto.Message))
	if err != nil {
		return err
	}
	var l slab.List
	l.AppendOwned(slab.View{B: b})
	if conn := c.Send(&l); conn != nil {
		conn.Flush()
	}
	for c.Unsent() > 1<<20 {
		select {
		case <-c.room:
		case <-c.done:
			return io.EOF
		}
	}
	return nil
}

func (c *stubCall) RecvMsg(m any) error {
	if c.Messages == nil {
		return c.one(m)
	}
	b := c.ahead
	c.ahead = nil
	if b == nil {
		select {
		case b = <-c.messages:
		case <-c.done:
			select {
			case b = <-c.messages:
			default:
				c.stop()
				return c.err()
			}
		}
	}
	c.Pull()
	return proto.Unmarshal(b, m.(proto.Message))
}
