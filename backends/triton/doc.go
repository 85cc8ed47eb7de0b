// Package triton is the dialect of Triton inference servers: what they have is in their repository's index, and what
// a version takes, gives and merges is in its metadata and its configuration. Batches go there by backends/upstream.
//
// A version whose requests merge (max_batch_size above 0, no sequences, no decoupled answers, no ragged inputs)
// has as many slots at an endpoint as it has instances there. All others go the direct way.
package triton
