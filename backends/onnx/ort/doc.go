// Package ort is the boundary to ONNX Runtime: sessions, and frames that carry one run through one
// call into C.
//
// # Model
//
// github.com/yalue/onnxruntime_go loads the library, owns its environment, the options of sessions
// and execution providers, and the sessions. What it cannot carry goes through the library's own
// function table here: tensors of rank 0, half floats of unknown shape, strings with NUL bytes,
// initializers that a caller may override, error codes, and runs that allocate nothing in Go.
// The table is addressed by position, which the library's ABI fixes for ever; a test compares the
// positions with the header that the binding bundles.
//
// A [Frame] is the working set of one worker: staging memory for inputs, and the descriptors of one
// run. Inputs are values made over the staging memory for the run at hand, not values bound once:
// making them costs less than a microsecond, any shape is as fast as any other, and a binding would
// copy its inputs to a CUDA device when they are bound rather than when the session runs.
//
// # Concurrency
//
// A [Session] may be run from many goroutines, each with a Frame of its own, and must be closed after
// the last run. A Frame belongs to one goroutine, but for [Frame.Terminate].
//
// # Ownership
//
// No Go memory is kept by C: staging is C memory of the Frame, and what a run answers is the library's
// until [Frame.Release].
package ort
