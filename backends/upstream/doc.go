// Package upstream sends batches to model servers elsewhere, over gRPC on wire/h2 or REST on wire/h1. What the kinds of
// servers have in common is here; what a kind is spoken to in is its [Dialect].
//
// # Model
//
// A [Pool] has endpoints, which are taken to serve the same models. Each is looked at every interval: whether
// it is live, which versions it lists as ready, and whether those say that they are. What a version takes and
// gives is asked for once it is ready, and again in turns. The pool puts the looks together: a version is as the
// first endpoint that takes requests for it describes it; an endpoint that describes it otherwise gets none, and
// says why in its status. Between two looks, one that turns a request away gets no more of that version.
//
// A version whose requests merge has as many slots at an endpoint as it has instances there. All others go the
// direct way ([backends.Fleet.Direct]).
//
// An attempt is one run of a batch at one endpoint. A call that the server has not worked on goes on to another
// endpoint. A merged batch that the server fails because of what is in it is run again, member by member, so that
// one client does not fail another.
//
//	Run -> attempt -> Encode -> call.start -> client .... reader -> answered -> Decode -> Batch.Finish
//
// Of an attempt two parts know what travels, and are reused with it. Its [Codec] knows the kind's messages. Its call
// is the transport's: it starts, is cancelled, tells the attempt of its end, and hands over the answer or says how it
// failed. They meet in the [Question]: the codec names the path and appends to the call's body. gRPC is call.go, with
// its way of asking the questions of a look (ask.go) and of naming what was refused (judge.go); REST is restcall.go,
// where a dialect's [REST] translates those questions. Streams are gRPC's alone (stream.go).
//
// # Concurrency
//
// Every endpoint has a goroutine that looks at it, and the pool one that puts the looks together; New starts
// them, Close waits for them. Run does its work on the caller's goroutine, and answered on the reader's of the
// connection that the answer came on, with a burst that is flushed when the reader's buffer is drained; over REST, where
// an answer has a goroutine, when it is finished. An
// attempt belongs to whoever runs it, from start to answered to the client; Abort alone may come from anywhere,
// and holds a reference meanwhile.
//
// # Ownership
//
//	attempt   its run 1, an Abort 1 while it cancels        pooled at zero
//	message   the attempt; it refers to the members' slabs  released when the attempt is pooled
//	answer    the attempt's call; a response refers to it   released when the attempt is pooled
package upstream
