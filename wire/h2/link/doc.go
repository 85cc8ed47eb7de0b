// Package link is what a connection of HTTP/2 reads and writes with, in either role. The roles themselves, with their
// streams and their locks, are wire/h2 and wire/h2/h2client.
//
// # Model
//
// A [Reader] parses frames where they lie in its buffer and says what is to be done next: a frame is whole, a DATA frame
// begins, there are bytes of it. Its owner says where a large message has its place (Aim), and the bytes go there from the
// socket, those of further frames of the same message too (Guess); what turns out to be something else is put back in
// order. What came so is told to a [Taker].
//
//	Compact, Aim, Guess -> Read -> Arrived -> Taker
//	Next -> StepFrame | StepData | StepBytes: Chunk, Over -> ... -> StepRead
//
// An [Output] is bytes on their way, which an [Outbox] collects: frames that are appended to it, and views of slabs in between, which are written with
// them in one call. A [Socket] reads and writes without blocking who must not wait, and without holding a buffer while
// nothing comes. The scheduler is not told of system calls that cannot wait (wire/rawio), and the kernel does not pace what
// stays on the host.
//
// An [Inflow] is the window of a stream for what comes in, and [Turns] have the large messages of a connection come in
// one after the other, where the peer is near: each is whole sooner, is read straight to its place, and is still in the
// processor's caches when it is passed on. The window of the connection is wider than sockets are ([ConnWindow]), and so
// never what holds a peer back; a [Credit] says when it is to be given back.
//
// [Queues] are the streams that have something to send. A [Peer] is what the other side takes: a frame of DATA is as large
// as it and the [Outflow] of its stream allow. Frames of control are checked by their heads before the roles see them;
// what they mean is the roles' alone.
//
// A peer that is merely odd pays from [Budgets] that good use refills. A [Fault] ends a connection.
//
// # Concurrency
//
// A Reader, its Credit and its Budgets belong to the goroutine that reads; reading from a Socket is its alone. Writing to
// a Socket belongs to one goroutine at a time, as the roles see to. An Outbox, Queues, the Peer with what its streams may
// send, and Turns with what they may bring in are guarded by the mutex of their connection; [Turns].Due may be asked by
// the reader without it.
//
// # Ownership
//
//	object   holders                                                     reused
//	buffer   the Reader while bytes are in it, a wide one only while it   at once
//	         does not wait: a connection that waits holds none
//	Output   its connection until somebody takes it to write it, then he  when written, or dropped
//	view     the Output, by a reference of its own                        -
//	Held     who holds it, until Release                                  -
package link
