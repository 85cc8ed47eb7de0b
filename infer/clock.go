package infer

import "time"

// start is the zero of the data plane's clock.
var start = time.Now()

// Now returns the nanoseconds of the data plane's monotonic clock, whose zero is the start of the process.
// Every stamp and deadline is one of these.
func Now() int64 { return int64(time.Since(start)) }

// Wall returns the wall-clock time of a stamp, for logs.
func Wall(stamp int64) time.Time { return start.Add(time.Duration(stamp)) }
