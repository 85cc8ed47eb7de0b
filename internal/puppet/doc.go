// Package puppet is a model backend that does what a test tells it: it answers after a given time for each
// run and row, fails or refuses on script, or runs only when told. It is one in the process, [Puppet], or a
// server on a socket, [Triton] or [TFServing].
//
// # Model
//
// A [Puppet] is the contracts of a backend in one value: the [infer.Runner] of its models, their [infer.Slots]
// and their [infer.Catalog], and the [infer.Opener] of decoupled ones ([Repeat]), which says one thing for each
// time it is pulled and counts who pulls too often. A run answers each output with the input of the same index, so
// whoever sends rows that nobody else sends can see that he got his own back. With no delay a run ends
// inside Run: the fastest backend there can be, and the one that shows what everything else costs.
//
// A [Triton] speaks the v2 protocol over gRPC, as Triton does, on wire/h2. What it serves is described by
// models; what becomes of an inference, its connection included, is up to a script. A [TFServing] is the same for
// TensorFlow Serving, on generated messages alone.
//
// # Concurrency
//
// Any goroutine may call any method. One goroutine serves the delays of a Puppet, from a queue by due time
// with one timer; [New] starts it and [Puppet.Close] waits for it. A Triton answers on its connections'
// readers, and from timers what takes time; [Triton.Close] waits for all of them. A TFServing answers each call on a
// goroutine of its own, which [TFServing.Close] waits for.
//
// # Ownership
//
// An answer's outputs are views of the requests' slabs, with references of their own. Servers have a slab pool of their
// own each.
package puppet
