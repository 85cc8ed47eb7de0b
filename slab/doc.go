// Package slab holds the bytes of requests and answers: reference-counted buffers from power-of-two
// classes, lists of views into them, and the budget of bytes in flight.
//
// # Model
//
// A [Slab] is a buffer with a count. A [View] is a run of its bytes. A [List] is an ordered list of
// views and stands for one logical run of bytes (a body, a tensor) that nobody has to copy together:
// appending merges, ranging splits. A [Pool] hands slabs out dirty, and charges each one to its
// [Budget] until the last reference is gone. Who finds the budget full may take a place in its line ([Waiter]).
//
// # Ownership
//
// Who calls [Pool.Get] holds reference 1. Whoever keeps a view beyond the call that gave it to him
// calls Retain first and Release when done; a List does both for the views it holds. The buffer goes
// back to its class at zero and nowhere else. Bytes may be written only by the holder of the single
// reference; once shared they are read-only.
//
// # Concurrency
//
// Slab, Pool and Budget may be used from any goroutine. A List belongs to one goroutine at a time.
//
// With the build tag sluicedebug, released bytes are poisoned, touching a released slab panics, and
// [Pool.Leaks] tells where each slab that is still out was taken.
package slab
