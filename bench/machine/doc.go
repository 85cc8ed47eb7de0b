// Package machine is the machine that figures are made on, seen from outside the measured programs: the CPU time and
// memory of processes, what other work uses meanwhile, what the machine is, and how this program is started again.
package machine
