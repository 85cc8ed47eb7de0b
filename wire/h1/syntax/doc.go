// Package syntax is what both roles of HTTP/1.1 read alike, and strictly: the characters that may stand where
// (tokens, targets, hosts, values), the fields of a head, and the framing of a body in chunks. It reads nothing from
// sockets and knows neither requests nor answers; who finds something wrong says so in words of its own.
//
// # Ownership
//
// Nothing here holds bytes. [Fields] and [Span] are places in the buffer that a head lies in, which may grow and move
// but not change; what they return points into it.
package syntax
