// Package kserve is the dialect of servers of KServe's protocols that are no Tritons: MLServer, the KServe SDK's model
// server, another Sluice. Batches go there by backends/upstream, as v2 over gRPC or REST, or as v1.
//
// # Model
//
// The protocol has neither an index of models nor their configurations; both are extensions. A server that has the
// index is asked for it. Of one that has not, the models are those that the configuration's targets name: see
// [Pool.Want], or over REST those that it lists; each is asked whether it is ready. Without a configuration nobody knows how requests merge, and they
// do not.
//
// A version that the server gives no name is version 1 here ([DefaultVersion]). Requests for it name no version, so
// that it is the server's default one, whatever that is.
//
// v1 has even less: :predict, and whether a model is ready. What a model takes and gives is asked for as it is of servers of
// v2, as which KServe's answer too, and of TensorFlow Serving, whose REST is the origin of v1.
//
// # Concurrency
//
// [Pool.Want] may be called at any time. Looks run on the goroutines of backends/upstream.
package kserve
