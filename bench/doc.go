// Package bench is `sluice bench`: the commands that measure Sluice beside what it is compared with.
//
// # Model
//
// The commands read flags and print. What they do lies in the rooms below, which import downwards only:
//
//	scenario          what is measured: passing a call on, terminating a request, batching, idle connections, pressure
//	report            Markdown, JSON and plots of what was measured
//	peer              the servers beside Sluice, and Sluice itself, each a process of its own
//	trial             subjects measured in blocks in turn, medians with intervals, goals
//	generator         the load generator: closed and open loop, latencies, errors
//	generator/client  its ends of HTTP/1.1 and gRPC, and single requests
//	machine           processes, their CPU time and memory, and what other work disturbs
//
// README.md says how figures are made, and why so.
//
// # Concurrency
//
// The generator and every server are processes of their own, this program started again under commands that its usage
// does not list, each with one worker; they have ended when a command returns.
package bench
