// Package text reads and writes JSON as the protocols of inference need it: a strict scanner, numbers from text straight
// into a tensor's type and back, strings, and the elements of tensors whose data lies in slabs.
//
// # Model
//
// A [Scanner] walks a document without a tree of it: its caller descends into what it knows and skips the rest, and both
// ways check everything. Numbers are rounded once, and written as the shortest text that reads the same; NaN and the
// infinities are the tokens that both Triton and TensorFlow Serving take and write. A [Writer] appends text to a list of
// slabs, a [Reader] yields the elements that it writes.
//
// # Concurrency
//
// Nothing here does IO or starts a goroutine. A Scanner, a Writer and a Reader belong to one goroutine at a time.
//
// # Ownership
//
// What a Scanner returns points into the document, or into its own memory until it is reset. A Writer's slabs are the
// list's that it writes to; a Reader borrows its list.
package text
