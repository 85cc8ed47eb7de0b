// Package rest is the Open Inference Protocol over REST: JSON, with the binary tensor extension that Triton defined.
//
// # Model
//
// [Decoder.Decode] and [Encoder.Encode] are a client's side, and [ParseGenerate] and [Encoder.EncodeGenerated] that of the
// generate extension. Numbers go from text straight into the tensor's type, rounded once, and back as the shortest text
// that reads the same.
//
// Towards a backend it is [RequestEncoder.Encode] and [ResponseDecoder.Decode]. What came over REST goes on as it came to
// a server that takes its form. What is written anew has binary tensors, as views, for servers that have the extension,
// and JSON for others, which has no form for floats of 16 bits and strings that are not UTF-8.
//
// Its tests are those of package kserve, which hold both encodings to the same.
//
// # Concurrency
//
// As in package kserve: no IO and no goroutines; a decoder or encoder belongs to one goroutine at a time.
//
// # Ownership
//
// Binary tensors are views into the body's slabs and hold references of their own. Tensors that came as JSON, and the text
// of answers, lie in slabs that the caller's pool charged.
package rest
