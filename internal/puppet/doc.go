// Package puppet is a model backend that does what a test tells it: it answers after a given time for each
// run and row, fails or refuses on script, or runs only when told.
//
// # Model
//
// A [Puppet] is the three contracts of a backend in one value: the [infer.Runner] of its models, their
// [infer.Slots] and their [infer.Catalog]. A run answers each output with the input of the same index, so
// whoever sends rows that nobody else sends can see that he got his own back. With no delay a run ends
// inside Run: the fastest backend there can be, and the one that shows what everything else costs.
//
// # Concurrency
//
// Any goroutine may call any method. One goroutine serves the delays, from a queue by due time with one
// timer; [New] starts it and [Puppet.Close] waits for it.
//
// # Ownership
//
// An answer's outputs are views of the requests' slabs, with references of their own.
package puppet
