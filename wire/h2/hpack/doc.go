// Package hpack reads and writes HTTP/2 header blocks (RFC 7541) over bytes.
//
// # Model
//
// A [Decoder] turns a header block into [Fields]: one buffer with all names and values, and where each lies
// in it. It checks the characters of a field when it meets the literal, and the dynamic table remembers the
// verdict, so that a field which comes by index costs a copy. An [Encoder] writes fields one by one; the
// caller says which ones repeat (they enter the dynamic table) and which ones vary.
//
// # Concurrency
//
// Nothing here is safe for concurrent use. A Decoder belongs to a connection's reader, an Encoder to whoever
// orders what the connection sends: both keep a table that the peer mirrors block by block.
//
// # Ownership
//
// Fields own their bytes: they refer neither to the block nor to the table, and may be kept. In steady state
// neither direction allocates.
package hpack
