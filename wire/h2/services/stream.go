package services

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/h2"
)

// stream is a call of a streaming method, as its handler sees it. It implements [grpc.ServerStream].
type stream struct {
	*call
	asked bool // of a method that takes one message: it was asked for
}

// serveStream serves a call of a streaming method.
func (c *call) serveStream() {
	// Whoever waits in RecvMsg or SendMsg knows nothing of the deadline: answering the call wakes him.
	unarmed := context.AfterFunc(c.ctx, c.expire)
	err := errPanicked
	defer func() {
		unarmed()
		c.finish(err)
		c.users.Wait()
	}()
	err = c.method.streaming(c.method.impl, &stream{call: c})
}

// errPanicked is what a client is told while the panic goes on to the engine, which logs it.
var errPanicked = status.Error(codes.Internal, "the call could not be served")

// expire answers a call whose deadline has passed. A call that was cancelled has nobody to answer.
func (c *call) expire() {
	if !errors.Is(c.ctx.Err(), context.DeadlineExceeded) || !c.enter() {
		return
	}
	defer c.users.Done()
	c.finish(context.DeadlineExceeded)
	c.conn.Flush()
}

// finish ends the stream with what a handler returned, unless the deadline did.
func (c *call) finish(err error) {
	var a h2.Answer
	if err != nil {
		c.registry.explain(&a, c.method.path, err)
	}
	c.reply(&a)
}

// enter keeps the stream for its caller, who calls users.Done, unless the call is over.
func (c *call) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.answered {
		return false
	}
	c.users.Add(1)
	return true
}

// Context implements [grpc.ServerStream].
func (s *stream) Context() context.Context { return s.ctx }

// SetTrailer implements [grpc.ServerStream].
func (s *stream) SetTrailer(md metadata.MD) {
	_ = s.call.SetTrailer(md) // the interface has no room for an error
}

// SendMsg implements [grpc.ServerStream]. It returns when the message has left, so that a handler is no faster
// than its client.
func (s *stream) SendMsg(m any) error {
	if !s.enter() {
		return s.over()
	}
	defer s.users.Done()
	var message slab.List
	if err := s.write(m, &message); err != nil {
		return err
	}
	s.sendHead()
	if err := s.stream.SendWait(&message); err != nil {
		return s.lost(err)
	}
	return nil
}

// RecvMsg implements [grpc.ServerStream].
func (s *stream) RecvMsg(m any) error {
	if !s.enter() {
		return s.over()
	}
	defer s.users.Done()
	switch {
	case s.method.many:
		return s.receive(m)
	case s.asked:
		return io.EOF
	}
	s.asked = true
	return s.receiveOnly(m)
}

// receiveOnly receives the one message that there must be. It waits until the client has said that it was all.
func (s *stream) receiveOnly(m any) error {
	if err := s.receive(m); errors.Is(err, io.EOF) {
		return errNone
	} else if err != nil {
		return err
	}
	if err := s.receive(nil); err == nil {
		return errMany
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// What a client of a method that takes one message does wrong. The variables are never written.
var (
	errNone = status.Error(codes.InvalidArgument, "the request ended without a message")
	errMany = status.Error(codes.InvalidArgument, "the call has one request message")
)

// receive waits for a message and parses it.
func (s *stream) receive(into any) error {
	var message slab.List
	defer message.Release()
	if err := s.stream.Recv(&message); err != nil {
		return s.lost(err)
	}
	if into == nil {
		return nil
	}
	return s.parse(&message, into)
}

// lost returns an error of the engine as handlers know it.
func (c *call) lost(err error) error {
	var e *h2.CallError
	switch {
	case !errors.As(err, &e):
		return err
	case e.Refused:
		return status.Error(codes.Code(e.Status), e.Text)
	}
	return c.over()
}

// over is why nothing can be sent or received any more, though the engine refused nothing.
func (c *call) over() error {
	switch err := c.ctx.Err(); {
	case errors.Is(err, context.DeadlineExceeded):
		return errExpired
	case err == nil && c.isAnswered():
		return errAnswered
	}
	return errCancelled
}

func (c *call) isAnswered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.answered
}

var _ grpc.ServerStream = (*stream)(nil)
