// Package h2test is the other end of a connection in tests of HTTP/2: a [Peer] sends frames one by one, well formed or
// not, and checks what it is sent.
package h2test
