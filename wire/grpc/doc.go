// Package grpc is gRPC's own words, which both roles of a transport speak: status codes, content types, timeouts, the
// escapes of metadata, and the prefix that each message has. It reads and writes nothing itself, and shares nothing with
// the module of that name.
//
// # Ownership
//
// An [Assembly] holds a reference to the slab that its message comes to lie in; whoever takes the message takes that over.
package grpc
