// Package h2 serves HTTP/2, gRPC and plain HTTP, over connections that somebody else accepted. The client's role is
// wire/h2/h2client, and what connections of both roles read and write with is wire/h2/link.
//
// # Model
//
// A connection has one reader. It parses frames where they lie in its buffer, copies DATA into slabs (or has
// the kernel write it there, where a frame is large) and, once a request is whole, hands it on: a raw gRPC
// call to [Calls].Unary on the reader's own stack, anything else to a goroutine. A stream whose content type
// is not gRPC is a [wire.Exchange] for the same handlers that HTTP/1.1 has.
//
//	bytes -> reader -> frames -> stream -> Unary | Serve | wire.Handler
//	bytes <- flush  <- output <- pump   <- Reply
//
// A call of any number of messages each way is Serve's from the moment its head is read: [Stream].Recv takes
// messages from an [inbox], Send queues them behind each other, and Reply ends what Send began.
//
//	reader -> inbox -> Recv
//	pump   <- queue <- Send, SendWait, Reply
//
// An answer in parts, [wire.Exchange].Begin, is queued the same way by the goroutine of its request.
//
// Reply puts a stream on its connection's queue; [Conn].Flush turns the queue into frames, as windows allow,
// and writes them in one system call that never blocks. What the socket does not take is parked for a writer
// that starts then and ends when all is written. So a burst of answers costs one write, and a reader never
// waits for a writer.
//
// Windows of streams are reservations: a stream starts with 128 KiB, and a message that says it is longer gets the
// rest at once, from the budget of bytes in flight. One for which the budget has no room waits for a second, or
// until its deadline, and is refused then ([waitingRoom]); a connection whose only call was refused so starts its next
// ones with less, until there is room ([firstWindow]). In a stream of messages the next one gets its window when
// the one before was taken. Of unary calls, the large messages of a connection get their windows in turn, where the
// peer is near: each is whole sooner, is read straight to its place, and is still in the processor's caches when it is
// passed on ([link.Turns]). Sending keeps to the same order. The connection's window is wider than sockets are, and
// so never what holds a peer back.
//
// A client that is merely odd pays from budgets ([link.Budgets]) that good use refills; one that is out of them is
// told to calm down, and its connection ends.
//
// # Concurrency
//
// What a connection reads with belongs to its reader. What is sent, and the table of streams, is guarded by
// the connection's mutex, which is never held across a system call or a callback. The mutex of a stream's inbox
// is taken before it. Whoever sets writing is the only one to write until it is cleared; others leave their bytes
// to him.
//
// What is due on connections is done in steps of 20 ms, so that one wake-up of the process does it for all of them.
//
// The reader of a connection that has no streams and brings nothing for a moment rests: its goroutine ends and leaves
// the wait to a new one, whose stack is as small as stacks are. What wakes a reader wakes it there: bytes, deadlines,
// pokes.
//
// # Ownership
//
//	object      holders                                                  reused
//	Stream      the table until both sides have ended, the handler        when all have let go
//	            from its call until Reply, Serve of a plain request or a
//	            stream of messages until it returns, the reader while it
//	            reads the body, whoever tells a watcher
//	message     the stream; a handler moves what it keeps                 -
//	answer      the stream until its views are in the output, then the    when written, or the
//	            output                                                    connection ended
//	buffers     the reader while bytes are in it, a wide one only while   at once
//	            it does not wait; the output while something is in it:
//	            an idle connection holds neither
package h2
