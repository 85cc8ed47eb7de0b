// Package tfserving reads and writes TensorFlow Serving's protocol: Predict, Classify and Regress over REST in JSON and
// over gRPC, and what it tells of models.
//
// # Model
//
// [Decoder.Decode] and [MessageDecoder.Decode] turn a request into an infer.Request against the Model that it asks
// for; [Encoder.Encode] and [MessageEncoder.Encode] turn an infer.Response into an answer. Towards a backend
// [RequestEncoder.Encode] writes a batch as PredictRequest and [ResponseDecoder.Decode] holds the PredictResponse against
// the model; over REST [InstancesEncoder.Encode] and [PredictionsDecoder.Decode] do, row by row, as KServe's v1 servers
// want it too. What a request or an answer must fit is package fit's to say, as for every protocol; numbers are those of
// packages text and message.
//
// Classify and Regress are runs of a signature that takes Examples: [ParseExamples] and [ParseTasks] read them, still
// serialized, out of a body or a message, [DecodeExamples] makes a request of them, and [Classifications] and [Regressions]
// read what came back.
//
// A SavedModel is called by signatures. A model whose infer.Model names none has one, serving_default, whose inputs and
// outputs are the model's under their names: so it is with every model that is not TensorFlow's. The signature that a
// request asks for, unless it is serving_default, is its parameter signature_name, whichever protocol it came over.
//
// TensorProto has many forms. Of a request or an answer each is taken: tensor_content; the list of the type, packed or
// not, in pieces, and shorter than the shape, where the last element stands for the rest, or none is there and all are
// zero. Packed floats and tensor_content lie in a message as they do in a tensor and are sliced from it. Answers carry the
// lists, which clients read by name (float_val and its like), as TensorFlow Serving's own do; of those of floats and
// bools nothing is copied. Requests to a backend carry tensor_content, one length over the members' views, and strings
// string_val.
//
// Where client and backend both speak the protocol over gRPC and a request travels alone, encoders pass on the bytes
// that came; only model_spec is put right.
//
// Where TensorFlow Serving is silent or lenient, this package is strict: more elements than the shape has, two lists, a
// number that its type does not hold, duplicate keys and text behind the document are refused. It takes more than
// TensorFlow Serving in one thing: 16-bit floats and unsigned integers in JSON.
//
// # Concurrency
//
// The package does no IO and starts no goroutine. A decoder or encoder belongs to one goroutine at a time; everything
// else is functions.
//
// # Ownership
//
// Tensors that are sliced are views into the body's slabs and hold references of their own. Others lie in slabs that the
// caller's pool charged. A message to be sent holds references of its own to what it was made of.
package tfserving
