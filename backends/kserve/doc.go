// Package kserve is the dialect of servers of the v2 protocol that are no Tritons: MLServer, the KServe SDK's model
// server, another Sluice. Batches go there by backends/upstream, over gRPC or REST.
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
// # Concurrency
//
// [Pool.Want] may be called at any time. Looks run on the goroutines of backends/upstream.
package kserve
