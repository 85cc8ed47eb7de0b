// Package tfserving is the dialect of TensorFlow Serving over gRPC: PredictionService and ModelService. Batches go there
// by backends/upstream.
//
// # Model
//
// TensorFlow Serving cannot list its models. Those of a pool are the ones that the configuration names, in targets or as
// the pool's own: see [Pool.Want]. Of each the server is asked which versions it has and how they stand, which is also how
// it shows that it is live. What a version takes and gives is what its signatures do, as its metadata tell
// (protocol/tfserving.Describe); signatures that the gateway cannot call are left out, which the log says once.
//
// Every run is a Predict, of the signature that the request asks for: TensorFlow Serving runs signatures that classify and
// regress by Predict too, on the serialized Examples that the front has made of such a request. A request that came as
// PredictRequest goes as it came but for its model_spec, which names the version by number: a label is the
// gateway's to resolve, whether the configuration has it or a server does ([Options].Labels).
//
// Nothing tells how requests merge. They do where the configuration says so, and every input and output of every signature
// has a free first axis.
//
// # Concurrency
//
// [Pool.Want] may be called at any time. Looks run on the goroutines of backends/upstream.
package tfserving
