// Package client is a measuring client's end of a connection, without its socket: HTTP/1.1 ([Plain]) and gRPC ([RPC]).
//
// # Model
//
// A [Talker] says what is to be written and reads what came, whoever moves the bytes. It reads answers strictly and
// compares each with what it must be. Its HTTP/2 is written for this one purpose and shares nothing with wire/h2, which
// it measures. [Ask] and [AskGRPC] make one request with somebody else's client, to see what a server says.
//
// # Ownership
//
// A request's bytes are shared by all connections and never changed. What Pending returns is the talker's, until Wrote;
// what Read is given it keeps no part of.
package client
