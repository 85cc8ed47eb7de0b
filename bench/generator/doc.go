// Package generator is the load generator: it sends one prebuilt request over and over, in a closed loop or at a fixed
// rate, and reports latencies, errors and the CPU time of the processes under test.
//
// # Model
//
// A fleet decides, without sockets or clock, which request is due, which connection sends it and what an answer means; a
// driver moves it with real ones. In an open loop latency runs from the moment a request was due, so that a server that
// stalls is charged for every request that had to wait. [Run] sends from this process and [RunProcess] from one of its
// own, so that generator and server share neither a Go scheduler nor a garbage collector. [Call] does the same as
// goroutines of this process that call a front without any wire.
//
// # Concurrency
//
// A run is one locked OS thread over one epoll set; it allocates nothing per request. The callers of Call are a
// goroutine each and have ended when it returns.
package generator
