// Package bench measures Sluice beside what it is compared with: a load generator, the servers beside it, blocks in
// turn, and reports.
//
// # Model
//
// A generator (Run) sends one prebuilt request over and over, in a closed loop or at a fixed rate, and reports
// latencies, errors and the CPU time of the processes under test. Compare measures several subjects in blocks of a few
// seconds, in the order A B C D, D C B A and so on, drops the blocks in which other work disturbed the machine, and
// gives each subject's cost and its ratio to an anchor as a median with a bootstrap interval. The figure that counts is
// CPU time per request: on a small machine it moves far less with the load generator and with other work than
// throughput and latency do.
//
// # Concurrency
//
// A run is one locked OS thread over one epoll set. Comparisons start the generator and every server as processes of
// their own, each with one worker, and end them before they return.
package bench
