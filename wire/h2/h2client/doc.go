// Package h2client makes gRPC calls to one endpoint over HTTP/2.
//
// # Model
//
// A [Client] has a few connections, which it opens when calls need them. A [Call] is its caller's: Start puts it on a
// connection's queue, or in the client's if none has room, and its Answered is called once, on the stack of the reader
// that read the answer. [Conn].Flush turns the queue into frames, as the server's windows allow, and writes them in one
// system call that never blocks; what the socket does not take is parked for a writer that starts then and ends when all
// is written. What is read and written with is wire/h2/link's, as on the side of the server.
//
//	Start, Send -> output -> flush -> bytes
//	Message, Answered <- stream <- frames <- reader <- bytes
//
// A Call may stream either way. The messages of an answer are handed on by the reader, each when it was pulled
// ([Call].Pull); windows are granted by message, so that a server is at most one message and 128 KiB ahead, while
// the connection's window is given back as bytes come: no call waits for another's caller. What Send queues waits
// for the server's windows; [Call].Unsent and [Emptied] say how far that is. Of answers with one message, the large ones of
// a connection get their windows in turn.
//
// # Concurrency
//
// What a connection reads with belongs to its reader. What is sent, and the table of streams, is guarded by the
// connection's mutex, which is never held across a system call or a callback. The client's mutex, which guards its queue
// and its list of connections, is taken before it. Whoever sets writing is the only one to write until it is cleared;
// others leave their bytes to him.
//
// A client's reader tells a call all that it is told but a cancellation: what others bring about, a pull of a
// message that waits or room for more of a request, is put on a list (resume) that the reader looks at before it
// reads on.
//
// # Ownership
//
//	object      holders                                                  reused
//	Call        its caller, who leaves it alone from Start to Answered    by its caller
//	asked       its caller; the output holds the views of the message     -
//	            that it refers to until they are written
//	answered    the stream, then the call until Reset; a message of       -
//	            many until Message returns
//	Send's      the call's queue, the stream, then the output until they  -
//	messages    are written
//	buffers     as in wire/h2/link                                        at once
package h2client
