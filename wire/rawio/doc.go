// Package rawio reads and writes sockets by system calls of which the Go scheduler is not told.
//
// # Model
//
// The scheduler takes its place away from a thread that has been in a system call for 20 us, and the thread has to win it
// back when it returns. To send something over the loopback takes as long as that, since the peer's side of it is done in
// the same call; and a place that is taken and won back costs more than the others' wait. Descriptors here do not block: a
// call takes as long as its bytes do, half a megabyte at most, which is 0.2 ms. A collection may have to wait for as long.
//
// [Read] and [Write] and their like are the calls; [Socket] waits, by its connection's deadlines, where they cannot go on.
// Elsewhere than on Linux there is no Socket, and its users do with the connection itself.
//
// # Ownership
//
// Bytes belong to the caller; nothing is kept when a call returns.
package rawio
