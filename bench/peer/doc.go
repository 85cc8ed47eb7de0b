// Package peer starts the servers that are measured: nginx, HAProxy, Envoy and Triton as they are installed, a bare
// handler on fasthttp, a proxy on grpc-go, our own transport alone, and the whole gateway.
//
// # Model
//
// Each is a [Server]: a process with a socket that was open before it was, so that nobody polls for readiness. They
// stand in one of two places: answering by themselves what they are told to ([Answer]), or passing on to an upstream
// ([Hop]). Those that are ours are this program, started again: StartBare is one end, ServeBare the other. What is not
// on the machine is [ErrNotInstalled].
//
// # Concurrency
//
// A Server has one goroutine that waits for the process; Close returns when it has ended. A [Local] gateway runs in this
// process and has ended when its Close returns.
package peer
