package h2

import (
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// Kind is how a gRPC method is served.
type Kind uint8

// The kinds of methods.
const (
	// Unknown is refused with UNIMPLEMENTED.
	Unknown Kind = iota
	// Unary is one message in, one out, served on the reader's stack.
	Unary
	// Generic is one message in, one out, served on a goroutine of its own.
	Generic
	// Streaming is any number of messages each way, served on a goroutine of its own from the moment its head
	// is read: see [Stream.Recv] and [Stream.Send].
	Streaming
)

// GRPC serves gRPC calls.
type GRPC interface {
	// Method tells how the method of a path, for instance /package.Service/Method, is served. It is asked on
	// readers' goroutines and must not block.
	Method(path []byte) Kind

	// Connect returns what serves the calls of one connection from its reader's goroutine.
	Connect(c *Conn) Calls

	// Serve serves one call on a goroutine of its own: of a Generic method, or of a Unary one whose message
	// came compressed, or of a Streaming one. It may wait. If it returns without an answer, the call fails
	// with INTERNAL.
	Serve(s *Stream)
}

// Calls serves the raw unary calls of one connection. Its methods are called by the connection's reader, one
// at a time.
type Calls interface {
	// Unary takes a call whose message is whole. It must not block; the answer may come later, from any
	// goroutine. After it has called Reply it does not touch s again.
	Unary(s *Stream)

	// Drained follows one or more calls of Unary, when all that was read has been handed on: now is the time
	// to flush. The reader flushes its own connection after it.
	Drained()
}

// callRefusal is why the engine itself answered a call. Refusals are values made once.
type callRefusal struct {
	status grpc.Status
	reason Reason
	ask    bool // refused for what it asks, not for how it asks
	text   string
}

// What is refused. The variables are never written.
var (
	callUnknown  = callRefusal{grpc.Unimplemented, "unimplemented", true, "the method is not served here"}
	callCodec    = callRefusal{grpc.Unimplemented, "codec", true, "messages must be in protobuf: the content type is application/grpc or application/grpc+proto"}
	callEncoding = callRefusal{grpc.Unimplemented, "encoding", true, "grpc-encoding must be identity, gzip or deflate"}
	callTimeout  = callRefusal{grpc.InvalidArgument, "grpc_timeout", false, "grpc-timeout is malformed"}
	callHeaders  = callRefusal{grpc.ResourceExhausted, "h2_headers", false, "the metadata is too large"}
	callTwin     = callRefusal{grpc.InvalidArgument, "underscore", false, wire.TwinText}
	callFlag     = callRefusal{grpc.InvalidArgument, "grpc_frame", false, "the message's compression flag is neither 0 nor 1"}
	callNotCoded = callRefusal{grpc.InvalidArgument, "grpc_frame", false, "the message is marked as compressed, but no grpc-encoding is named"}
	callTooLarge = callRefusal{grpc.ResourceExhausted, "too_large", true, "the message is larger than the limit"}
	callMemory   = callRefusal{grpc.ResourceExhausted, "memory", true, "the bytes in flight are at their limit"}
	callCut      = callRefusal{grpc.InvalidArgument, "grpc_frame", false, "the request ended within a message"}
	callNone     = callRefusal{grpc.InvalidArgument, "grpc_frame", false, "the request ended without a message"}
	callMany     = callRefusal{grpc.InvalidArgument, "grpc_frame", false, "a unary call has one message"}
	callCorrupt  = callRefusal{grpc.InvalidArgument, "inflate", true, "the compressed message is corrupt"}
	callRatio    = callRefusal{grpc.ResourceExhausted, "inflate", true, "the compressed message expands too much"}
	callSlow     = callRefusal{grpc.Cancelled, "min_rate", false, "the message came too slowly"}
	callPanicked = callRefusal{grpc.Internal, "panic", true, "the call could not be served"}
	callNoAnswer = callRefusal{grpc.Internal, "no_answer", true, "the call was not answered"}
)
