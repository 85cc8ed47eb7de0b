// Package h1client makes calls over HTTP/1.1 to one server.
//
// # Model
//
// A [Client] has a bounded number of connections, each with one call at a time; other calls queue. Of those that
// are idle the one used last is used first, and those at the other end are closed once they were idle for
// [Options].IdleTimeout. Nobody waits at an idle connection: whoever is about to use it reads it without
// waiting, and bytes that nobody asked for, or its end, have it closed and the call go on another one. Answers
// are parsed as strictly as requests are, and one that breaks a rule, or is followed by a byte more, is none.
// [Call].Sent is false only if nothing of the request was written: a connection that ends later leaves open
// whether the server worked on it.
//
// # Concurrency
//
// A call has a goroutine from when it has a connection until it is over; it writes, reads, hands the
// connection on and then calls [Answered]. A request over 64 KiB is written by a second one, which the first one
// waits for. Starting a goroutine does not show beside the four system calls of a call, and an idle connection
// holds none, nor a buffer. [Call].Cancel takes the call from its connection by one compare-and-swap, which
// whoever reads the answer does as well before the connection is used again: the loser leaves it alone. No lock
// is held across IO.
//
// # Ownership
//
// A call's body stays its caller's, and is not read any more when Answered is called. The answer's slabs belong
// to the call until Reset, and so does the buffer that the fields of its head point into.
package h1client
