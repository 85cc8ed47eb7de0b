// Package kserve reads and writes the Open Inference Protocol (KServe v2) over REST: JSON, and the binary
// tensor extension that Triton defined.
//
// # Model
//
// [Decoder.Decode] turns a body into an infer.Request against the Model that it asks for, and
// [AppendResponse] turns an infer.Response into a body. Numbers go from text straight into the tensor's
// type, rounded once, and back as the shortest text that reads the same. Metadata, configuration,
// statistics and the repository index, which no inference waits for, go through encoding/json.
//
// Where the protocol is silent or Triton contradicts it, this package is strict about requests: an integer
// with a fraction, an exponent or a value out of range is refused, and so are duplicate keys, unknown
// outputs and bytes that are left over.
//
// # Concurrency
//
// The package does no IO and starts no goroutine. A Decoder belongs to one goroutine at a time; everything
// else is functions.
//
// # Ownership
//
// Binary tensors are views into the body's slabs and hold references of their own. Tensors that came as
// JSON, and answers, lie in slabs that the caller's pool charged.
package kserve
