// Package h1 serves HTTP/1.1: [Server] gives requests to a [wire.Handler]. It is fasthttp behind a listener, a
// parser of heads and a reader of bodies of our own. Its children are the other role, wire/h1/h1client, and what both
// roles read alike, wire/h1/syntax.
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
// for writing first and read for a moment, so that no reset keeps the client from reading why. So is plain HTTP on a port
// of TLS, in clear, and TLS on a port without it: clients of TLS know an answer of HTTP by its first bytes, and say so.
//
// # Concurrency
//
// One goroutine serves one connection. A connection that is idle for a moment rests ([rest]): fasthttp's loop and the
// goroutine end, and a new one waits for the next request and goes on. Another one ([watch]) is told by the kernel when a client goes,
// and tells the [wire.Watcher] of the exchange that waits. Others may only mark a connection and wake it
// (drain, shortage of descriptors) or close it (end of grace).
//
// # Ownership
//
// The buffer that holds a head is pooled and belongs to the exchange; what [wire.Exchange] returns points
// into it and is valid until Serve returns. A body's slabs belong to the caller of ReadBody. Views of an
// answer are retained by Reply and released when they are written or the connection ends, whichever is
// first, once.
package h1
