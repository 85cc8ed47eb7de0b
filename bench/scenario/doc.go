// Package scenario holds what is measured: each scenario starts its servers, compares them in trials and holds the
// outcome against goals.
//
// # Model
//
// [Hop] is what it costs to terminate a request, [Proxy] to pass a call on; [Batch] what merging requests gains, in this
// process and in front of a real Triton; [Idle] what an idle connection keeps of memory; [Pressure] what healthy calls
// suffer from clients and upstreams that take nothing.
//
// # Concurrency
//
// Servers and generators are processes, which have ended when a scenario returns. The clients that misbehave in Pressure
// are a goroutine each, and end with their block.
package scenario
