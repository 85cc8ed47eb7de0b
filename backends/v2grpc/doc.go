// Package v2grpc is what servers of the v2 protocol over gRPC have in common as [upstream.Dialect]s: what travels
// ([NewCodec], [NewStreamCodec]), and the questions that tell what a server has, which are asked over REST too. Which of
// them a kind asks is its own.
package v2grpc
