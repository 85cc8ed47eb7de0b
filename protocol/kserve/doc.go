// Package kserve reads and writes the Open Inference Protocol (KServe v2) over REST, in JSON with the binary
// tensor extension that Triton defined, and over gRPC.
//
// # Model
//
// [Decoder.Decode] and [MessageDecoder.Decode] turn a request into an infer.Request against the Model that it
// asks for; [Encoder.Encode] and [MessageEncoder.Encode] turn an infer.Response into an answer. A binder under
// both decoders holds requests against the model, so that the two encodings refuse the same in the same words,
// and a portion under both encoders cuts and classifies outputs. Over REST, numbers go from text straight into
// the tensor's type, rounded once, and back as the shortest text that reads the same. Over gRPC, the decoder
// walks ModelInferRequest by hand and accepts what generated code accepts, which its tests hold it against.
//
// Towards a backend the same messages go the other way: [RequestEncoder.Encode] writes a batch as ModelInferRequest,
// [ResponseDecoder.Decode] holds what comes back against the model. Where client and backend both speak the protocol
// over gRPC and a request travels alone, encoders pass on the bytes that came, and put right behind them what the
// other side is to read differently: the last value of a field stands. So nothing that this package does not know is
// lost, and a hop costs no more for a large message than for a small one.
//
// Over REST the other way is [RESTRequestEncoder.Encode] and [RESTResponseDecoder.Decode]. What came over REST goes on as
// it came to a server that takes its form. What is written anew has binary tensors, as views, for servers that have the
// extension, and JSON for others, which has no form for floats of 16 bits and strings that are not UTF-8. What no
// inference waits for is asked with the messages of gRPC, which [RESTQuestion] and [ParseRESTReply] translate.
//
// Metadata, configuration, statistics and the repository index, which no inference waits for, go through
// encoding/json and the generated messages of package pb, both from the same data.
//
// Where the protocol is silent or Triton contradicts it, this package is strict about requests: an integer
// with a fraction, an exponent or a value out of range is refused, and so are duplicate keys in JSON, unknown
// outputs and bytes that are left over. About answers it is as strict: outputs that the model does not have, or of
// another type, shape or size, and strings whose lengths do not add up, are the backend's failure and reach nobody.
//
// # Concurrency
//
// The package does no IO and starts no goroutine. A decoder or encoder belongs to one goroutine
// at a time; everything else is functions.
//
// # Ownership
//
// Binary tensors are views into the body's slabs and hold references of their own. Tensors that came as JSON or
// as typed contents, and what messages say around their tensors, lie in slabs that the caller's pool charged. A
// message to be sent holds references of its own to what it was made of.
package kserve
