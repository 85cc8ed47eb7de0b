// Package trial compares subjects by measuring them in turn.
//
// A trial measures each subject in blocks of a few seconds, in the order A B C D, D C B A and so on, leaves out the
// blocks in which other work disturbed the machine, and gives each subject's cost and its ratio to an anchor as a median
// with a bootstrap interval. The figure that counts is CPU time per request: on a small machine it moves far less with
// the load generator and with other work than throughput and latency do. A [Goal] is a figure that was promised.
package trial
