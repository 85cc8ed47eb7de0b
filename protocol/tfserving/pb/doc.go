// Package pb holds the messages and the services of TensorFlow Serving's gRPC interface, as generated from the
// .proto files beside this one by protocol/generate.sh.
package pb
