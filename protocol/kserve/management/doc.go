// Package management is what no inference of the Open Inference Protocol waits for: health, metadata, configuration,
// statistics, the repository, settings of traces and logs, and regions of shared memory.
//
// Both encodings are made of the same data: the generated messages of package pb for gRPC, encoding/json for REST, which
// this package may use. A backend over REST is asked with the messages of gRPC, which [RESTQuestion] and [ParseRESTReply]
// translate. Its tests are those of package kserve.
package management
