// Package kserve reads and writes the Open Inference Protocol (KServe v2): what its requests and answers mean, however
// they are encoded, and its messages over gRPC.
//
// # Model
//
// The protocol has two encodings. The messages of gRPC are read and written here; JSON with the binary tensor extension
// that Triton defined is package rest. Both stand on what is common to them: a [Source] is a request as it came, a [Head]
// what it says beside its tensors, an [Answer] what it takes to write one. A [Binder] under both decoders holds requests
// against the model, so that the two encodings refuse the same in the same words, and a [Portion] under both encoders cuts
// and classifies outputs. What no inference waits for, such as metadata, statistics and the repository, is package
// management.
//
// [MessageDecoder.Decode] turns a message into an infer.Request against the Model that it asks for, and
// [MessageEncoder.Encode] an infer.Response into an answer. The decoder walks ModelInferRequest by hand and accepts what
// generated code accepts, which its tests hold it against.
//
// Towards a backend the same messages go the other way: [RequestEncoder.Encode] writes a batch as ModelInferRequest,
// [ResponseDecoder.Decode] holds what comes back against the model. Where client and backend both speak the protocol
// over gRPC and a request travels alone, encoders pass on the bytes that came, and put right behind them what the
// other side is to read differently: the last value of a field stands. So nothing that this package does not know is
// lost, and a hop costs no more for a large message than for a small one.
//
// Where the protocol is silent or Triton contradicts it, both encodings are strict about requests: an integer
// with a fraction, an exponent or a value out of range is refused, and so are duplicate keys in JSON, unknown
// outputs and bytes that are left over. About answers they are as strict: outputs that the model does not have, or of
// another type, shape or size, and strings whose lengths do not add up, are the backend's failure and reach nobody.
//
// # Concurrency
//
// The package does no IO and starts no goroutine. A decoder or encoder belongs to one goroutine
// at a time; everything else is functions.
//
// # Ownership
//
// Binary tensors are views into the body's slabs and hold references of their own. Tensors that came as
// typed contents, and what messages say around their tensors, lie in slabs that the caller's pool charged. A
// message to be sent holds references of its own to what it was made of.
package kserve
