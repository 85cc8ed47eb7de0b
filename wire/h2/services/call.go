package services

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
)

// call is one call of a method. It is what its context knows as the transport's stream.
type call struct {
	registry *Registry
	method   *method
	stream   *h2.Stream
	conn     *h2.Conn
	ctx      context.Context
	cancel   context.CancelFunc
	users    sync.WaitGroup // goroutines that have the stream

	mu struct {
		sync.Mutex
		head, trailer []wire.Header
		headSent      bool // nothing can be added
		answered      bool // nobody takes the stream up any more
	}
}

// begin makes the context, which ends with the deadline and when the client hangs up.
func (c *call) begin() error {
	root := context.Background() //nolint:forbidigo // a call is where a context begins
	if timeout, ok := c.stream.Timeout(); ok {
		c.ctx, c.cancel = context.WithDeadline(root, c.stream.Arrived().Add(timeout))
	} else {
		c.ctx, c.cancel = context.WithCancel(root)
	}
	if c.registry.opts.Head != nil {
		c.mu.head = c.registry.opts.Head(c.stream)
	}
	md, err := incoming(c.stream)
	if err != nil {
		return err
	}
	c.ctx = grpc.NewContextWithServerTransportStream(metadata.NewIncomingContext(c.ctx, md), c)
	if !c.stream.Watch(c) {
		c.cancel()
	}
	return nil
}

// end frees what the context holds, also behind a panic.
func (c *call) end() { c.cancel() }

// HangUp implements [wire.Watcher].
func (c *call) HangUp(wire.HangUp) { c.cancel() }

// decode parses the message of a unary call.
func (c *call) decode(into any) error { return c.parse(c.stream.Message(), into) }

// parse parses a message.
func (c *call) parse(message *slab.List, into any) error {
	m, ok := into.(proto.Message)
	if !ok {
		return status.Error(codes.Internal, "the method takes no protobuf message")
	}
	if err := proto.Unmarshal(message.Flatten(c.registry.pool), m); err != nil {
		return &MessageError{Type: m.ProtoReflect().Descriptor().FullName()}
	}
	return nil
}

// write appends an encoded message.
func (c *call) write(message any, to *slab.List) error {
	m, ok := message.(proto.Message)
	if !ok {
		return status.Error(codes.Internal, "the method gives no protobuf message")
	}
	size := proto.Size(m)
	if size == 0 {
		return nil
	}
	s := c.registry.pool.Get(size)
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(s.Bytes()[:0], m)
	if err != nil {
		s.Release()
		return err
	}
	to.AppendOwned(s.View(0, len(b)))
	return nil
}

// answer replies with what a handler returned.
func (c *call) answer(out any, err error) {
	var message slab.List
	if err == nil {
		err = c.write(out, &message)
	}
	var a h2.Answer
	if err != nil {
		c.registry.explain(&a, c.method.path, err)
	} else {
		a.Message = &message
	}
	c.reply(&a)
}

// reply gives the stream back to the engine, once.
func (c *call) reply(a *h2.Answer) {
	m := &c.mu
	m.Lock()
	twice := m.answered
	m.answered, m.headSent = true, true
	a.Head, a.Trailer = m.head, m.trailer
	m.Unlock()
	if !twice {
		c.stream.Reply(a)
	}
}
