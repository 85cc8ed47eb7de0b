// Package server is the edge of the data plane: protocol in, protocol out. It turns exchanges of the wire into
// calls of [infer.Front], and has the one table from codes to HTTP and gRPC status.
//
// # Model
//
// [Server.Serve] reads the path and hands the exchange to one of a few handlers. The one that matters is the
// inference: it looks the model up, reads the body into slabs, decodes it against the model, submits a call,
// waits for it, and writes the answer. Everything that this needs lives in one pooled object ([inference]), so
// that a request in steady state allocates nothing.
//
// [RPC] is the same for gRPC: an inference is an [rpc], one of the many of an [rpcStream], a [streamed], or one of the
// tasks of [examples].
//
// There are two families of protocols, v2 and TensorFlow Serving's, each over REST and gRPC. What differs between them is a
// [way] in which an exchange is decoded and answered, and a [codec] of messages; metrics tell them apart.
//
// # Concurrency
//
// One goroutine of the transport serves an exchange from end to end. Two others may touch its inference: the
// one that finishes the call (it only wakes the first), and the transport's watch over hang-ups (it only
// finishes the call).
//
// An inference over gRPC has no goroutine: it is submitted by its connection's reader, and answered by whoever
// finished its call. Examples have one, which waits for all of their tasks. A stream of inferences has one, which
// receives and submits. What stands on a stream is guarded by
// rpcStream.mu, whose holder may queue messages with the transport and does nothing else that others could wait
// for; streamed.mu comes before it.
//
// # Ownership
//
// The inference holds the first reference to its request, and to its call until the answer is written down.
// The views of an answer pass to the transport with Reply, and with Send.
package server
