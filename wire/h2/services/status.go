package services

import (
	"context"
	"errors"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
)

// MessageError says that a client's message cannot be parsed.
type MessageError struct {
	Type protoreflect.FullName // that it should have been of
}

func (e *MessageError) Error() string { return "the message cannot be parsed as " + string(e.Type) }

// GRPCStatus makes it a status.
func (e *MessageError) GRPCStatus() *status.Status {
	return status.New(codes.InvalidArgument, e.Error())
}

const (
	textExpired   = "the deadline passed while the call was served"
	textCancelled = "the call was cancelled"
)

// explain makes an answer of an error.
func (r *Registry) explain(a *h2.Answer, method string, err error) {
	st := r.status(method, err)
	a.Status = grpc.Status(codes.Unknown)
	if code := st.Code(); code <= codes.Unauthenticated {
		a.Status = grpc.Status(code)
	}
	a.Text = st.Message()
	if p := st.Proto(); len(p.GetDetails()) > 0 {
		// What cannot be encoded is left out: the status itself says more than a failure to explain it.
		a.Details, _ = proto.Marshal(p)
	}
}

// status returns what a client is told of an error.
func (r *Registry) status(method string, err error) *status.Status {
	if r.opts.Status != nil {
		if st := r.opts.Status(err); st != nil {
			return st
		}
	}
	st, ok := status.FromError(err)
	switch {
	case ok && st.Code() != codes.OK:
		return st
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, textExpired)
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, textCancelled)
	}
	// Its text was not written for clients.
	r.log.Error("a call failed", zap.String("method", method), zap.Error(err))
	return status.New(codes.Unknown, "the call failed")
}
