// Package batching lets calls wait for slots and merges those that wait.
//
// # Model
//
// A [Group] stands between the router and one set of slots. Each model version has a [Queue] in it, and a
// queue has a lane for each kind of request that may be merged: those that differ in nothing but their rows.
// A call that finds a slot free is handed over at once, in the batch that it brings along. If all slots are
// busy it waits in its lane, and calls pile up there for free: a slot that becomes free goes to the lane
// whose head has waited longest, and takes as many calls from that head on as one batch holds.
//
// What runs when is decided by the [Scheduler], a deterministic state machine: events and times in, actions
// out. The Group is its driver. It takes the lock, tells the scheduler, lets go of the lock, and acts.
//
// # Concurrency
//
// A group has one lock, which guards its scheduler, its queues and the places of the calls in them. It is
// held for one step and across no verb, Finish or Release; inside it only the slots are asked whether there
// is room. Work is done on the goroutine that brought the event: the one that submits, or the one that ends a
// batch, which also starts the next. A runner may finish inside Run: who starts a batch while one is being
// started further down on the same stack leaves it to that one, so the stack stays flat. Each group has one
// goroutine, for the waits that queues bound; Close waits for it.
//
// # Ownership
//
// A lane holds one reference to each call that is linked in it, and whoever unlinks the call takes that over:
// a batch, or an action. A batch that was refused gives members back, with new references for the lane.
package batching
