// Package services serves gRPC services from their generated stubs over the streams of wire/h2: health,
// reflection, and every method that is not worth reading by hand. No server or transport of grpc-go runs: of
// it there is only what generated code refers to.
//
// # Model
//
// A [Registry] is what generated code registers with, a [grpc.ServiceRegistrar]. Its Method and Serve are two
// thirds of an [h2.GRPC]; whoever owns the port decides which paths come here. A handler gets a context that
// carries the deadline of grpc-timeout and the client's metadata, and that ends when the client hangs up; head
// and trailers are set through it as with grpc-go. What a handler returns is answered as its status, details
// included; an error that is none is logged, and the client is told nothing of it.
//
// # Concurrency
//
// Services are registered before the first call. A call runs on the goroutine that the engine gave it. A panic
// is the engine's to isolate.
//
// # Ownership
//
// A message on its way in lies in slabs until it is parsed; one on its way out is written into a slab that the
// engine releases when it has left. Messages themselves are the garbage collector's.
package services
