// Package h1 is HTTP/1.1 in both roles. [Server] serves it to [wire.Handler]: fasthttp behind a listener, a
// parser of heads and a reader of bodies of our own. [Client] makes calls to one server.
//
// # Model
//
// [Server.Serve] accepts connections and gives each one to fasthttp, wrapped. fasthttp runs the
// connection's loop and writes the heads of answers. What the client sent it never sees: its parser is
// lenient in ways that cannot be turned off (both framing headers at once, folded lines, spaces in
// names, any version), so the wrapper parses each head strictly ([head]), keeps it, and hands on a fixed
// one. The wrapper's Read is therefore where a connection waits between requests: it ends the exchange
// before, waits without holding a buffer, parses the next head and, if it must, refuses it.
//
// Bodies do not pass through fasthttp either: [wire.Exchange].ReadBody reads them from the socket into
// slabs, and the views of an answer go from the slabs to the socket, behind the head that fasthttp wrote. An answer
// in parts ([wire.Exchange].Begin) is written while its handler runs, its head included.
//
// Behind a balancer that passes bytes on, a connection begins with a header of the PROXY protocol. It is read first, by
// the goroutine that serves the connection then, from the socket itself and not a byte too far: what follows may be TLS.
// From then on the socket says that its peer is the client.
//
// What is refused is answered in JSON with "Connection: close", and the connection lingers: it is closed
// for writing first and read for a moment, so that no reset keeps the client from reading why.
//
// A client has a bounded number of connections, each with one call at a time; other calls queue. Of those that
// are idle the one used last is used first, and those at the other end are closed once they were idle for
// [ClientOptions].IdleTimeout. Nobody waits at an idle connection: whoever is about to use it reads it without
// waiting, and bytes that nobody asked for, or its end, have it closed and the call go on another one. Answers
// are parsed as strictly as requests are, and one that breaks a rule, or is followed by a byte more, is none.
// [Call].Sent is false only if nothing of the request was written: a connection that ends later leaves open
// whether the server worked on it.
//
// # Concurrency
//
// One goroutine serves one connection. Another one ([watch]) is told by the kernel when a client goes,
// and tells the [wire.Watcher] of the exchange that waits. Others may only mark a connection and wake it
// (drain, shortage of descriptors) or close it (end of grace).
//
// A call of a client has a goroutine from when it has a connection until it is over; it writes, reads, hands the
// connection on and then calls [Answered]. A request over 64 KiB is written by a second one, which the first one
// waits for. Starting a goroutine does not show beside the four system calls of a call, and an idle connection
// holds none, nor a buffer. [Call].Cancel takes the call from its connection by one compare-and-swap, which
// whoever reads the answer does as well before the connection is used again: the loser leaves it alone. No lock
// is held across IO.
//
// # Ownership
//
// The buffer that holds a head is pooled and belongs to the exchange; what [wire.Exchange] returns points
// into it and is valid until Serve returns. A body's slabs belong to the caller of ReadBody. Views of an
// answer are retained by Reply and released when they are written or the connection ends, whichever is
// first, once.
//
// A call's body stays its caller's, and is not read any more when Answered is called. The answer's slabs belong
// to the call until Reset, and so does the buffer that the fields of its head point into.
package h1
