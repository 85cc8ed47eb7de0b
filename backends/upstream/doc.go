// Package upstream sends batches to model servers elsewhere, over gRPC on wire/h2. What the kinds of servers have in
// common is here; how a kind tells what it has is its [Dialect].
//
// # Model
//
// A [Pool] has endpoints, which are taken to serve the same models. Each is looked at every interval: whether
// it is live, and which versions are ready there. What a version takes and gives is asked for once it is ready,
// and again in turns. The pool puts the looks together: a version is as the first endpoint that has it describes
// it; an endpoint that describes it otherwise gets none of its requests, and says why in its status.
//
// A version whose requests merge has as many slots at an endpoint as it has instances there. All others go the
// direct way ([backends.Fleet.Direct]).
//
// An attempt is one run of a batch at one endpoint: its call, its encoder and decoder, reused together. A call
// that the server has not worked on goes on to another endpoint. A merged batch that the server fails because
// of what is in it is run again, member by member, so that one client does not fail another.
//
//	Run -> attempt -> encode -> h2.Client.Start .... reader -> Answered -> decode -> Batch.Finish
//
// # Concurrency
//
// Every endpoint has a goroutine that looks at it, and the pool one that puts the looks together; New starts
// them, Close waits for them. Run does its work on the caller's goroutine, and Answered on the reader's of the
// connection that the answer came on, with a burst that is flushed when the reader's buffer is drained. An
// attempt belongs to whoever runs it, from Start to Answered to the client; Abort alone may come from anywhere,
// and holds a reference meanwhile.
//
// # Ownership
//
//	attempt   its run 1, an Abort 1 while it cancels        pooled at zero
//	message   the attempt; it refers to the members' slabs  released when the attempt is pooled
//	answer    the attempt's call; a response refers to it   released when the attempt is pooled
package upstream
