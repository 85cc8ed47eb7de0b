// Package pb holds the messages and the service of the Open Inference Protocol over gRPC, with Triton's
// extensions, as generated from the .proto files beside this one by protocol/generate.sh.
package pb
