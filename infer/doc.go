// Package infer is the vocabulary of the data plane and the contracts between its layers.
//
// # Model
//
// A [Query] names a model; Lookup answers with a [Route], against which the edge decodes a [Request]: what
// was asked, immutable from then on. A [Call] is one execution of a request. It travels edge -> router ->
// lane or pool by Submit, rides in a [Batch] to a [Runner], and ends when somebody wins its Finish:
//
//	         Submit            Run (claims the members)
//	edge ------------> lane ----------------------------> runner
//	          Queued            Claimed                     |
//	edge <------------------------------------------- Finish: Done
//
// A call of a decoupled model is opened instead, as a [Stream]: its responses come one by one through a [Sink],
// each when a [Source] was asked for it, and Finish ends it.
//
// Six contracts cross layers and nothing else: Lookup, Submit, Open ([Front]), Run ([Runner]), [Slots] and
// [Catalog].
//
// # Concurrency
//
// Submit, Run and Open are asynchronous: nil means accepted, and whoever accepted calls Finish exactly
// once, from any goroutine, perhaps before the verb has returned and on the same stack. An error means
// that the callee never held it. Neither keeps the caller's goroutine longer than an enqueue or a socket
// write. Nobody calls a verb, Finish or Release under a lock; after nil a caller touches the call only
// through a reference of its own.
//
// Finish is one compare-and-swap to Done. The loser returns false. The winner writes the outcome, then
// runs the continuations in order of their roles (attempt, lane, router, edge) on its own stack; nobody
// reads the outcome before his own continuation has run.
//
// # Ownership
//
//	object     references                                             pooled again
//	Request    the edge 1, each call 1                                at zero
//	Call       the edge 1 until it has answered, a lane 1 while it    at zero
//	           queues, a batch 1 until the batch itself is over, who
//	           accepted its stream 1 until he ends it
//	Batch      the runner 1 until it finishes the batch, each member  at zero; it then drops its calls
//	           1 until that is done
//	Response   its maker 1, each call that it answers 1               at zero
//
// A request holds its slabs, its route and, through the route, the generation that made it. Calls, requests
// and responses come from one [Memory]; a call's epoch makes a late finish of a recycled call harmless.
package infer
