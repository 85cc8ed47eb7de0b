// Package message reads protobuf messages that lie in slabs, and puts together such as carry tensors, without a copy of
// what is large.
//
// # Model
//
// A [Reader] walks a message field by field and accepts what proto.Unmarshal accepts. [Lists] reads the repeated fields in
// which messages hold the elements of a tensor. A [Composer] appends a message to a list: bytes of its own, and views of
// what others hold between; a [Merger] does so for the inputs of all members of a batch, one behind the other.
//
// # Concurrency
//
// Nothing here does IO or starts a goroutine. A Reader, Lists, a Composer and a Merger belong to one goroutine at a time.
//
// # Ownership
//
// A Reader borrows its list; what it returns points into the list's slabs, or into its own memory until it is reset. What
// a Composer appends holds references of its own.
package message
