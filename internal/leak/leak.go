// Package leak fails tests that leave goroutines, descriptors or counted
// memory behind.
//
// # Model
//
// [Main] belongs in TestMain of every package that starts goroutines or holds
// slabs: it runs the package's tests, then asks whether every goroutine is gone
// and whether each registered check (a pool back at zero, no call in flight)
// holds. [Goroutines] and [FDs] ask the same of one test.
//
// # Concurrency
//
// The package starts no goroutine. What ends asynchronously is given up to
// [Patience] to do so: the questions are asked again, at growing intervals,
// until they are answered well or the time is over.
package leak

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

// Patience is how long a goroutine, descriptor or check has to come back to its
// baseline after the test that used it ended.
const Patience = 5 * time.Second

// Main runs the tests of a package and exits the process: with the tests' own
// status if they failed, else with 1 if goroutines are left or one of checks
// still returns an error when Patience is over.
func Main(m *testing.M, checks ...func() error) {
	before := stacks()
	code := m.Run()
	if code == 0 && !report(os.Stderr, before, Patience, checks) {
		code = 1
	}
	os.Exit(code)
}

// report tells w what was left behind since before, and whether that is nothing.
func report(w io.Writer, before []goroutine, patience time.Duration, checks []func() error) bool {
	var left []goroutine
	var failed []error
	clean := settle(patience, func() bool {
		left, failed = since(before, stacks()), failed[:0]
		for _, check := range checks {
			if err := check(); err != nil {
				failed = append(failed, err)
			}
		}
		return len(left) == 0 && len(failed) == 0
	})
	if clean {
		return true
	}
	for _, g := range left {
		fmt.Fprintf(w, "leak: goroutine %d is left after the tests:\n%s\n\n", g.id, g.stack)
	}
	for _, err := range failed {
		fmt.Fprintf(w, "leak: %v\n", err)
	}
	return false
}

// Goroutines fails t if a goroutine that t started outlives it. Call it first:
// cleanups run last to first, so that what t itself registers has ended by then.
// It sees the whole process and so does not go with t.Parallel.
func Goroutines(t testing.TB) {
	t.Helper()
	before := stacks()
	t.Cleanup(func() { goroutines(t, before, Patience) })
}

func goroutines(t testing.TB, before []goroutine, patience time.Duration) {
	t.Helper()
	var left []goroutine
	if settle(patience, func() bool {
		left = since(before, stacks())
		return len(left) == 0
	}) {
		return
	}
	for _, g := range left {
		t.Errorf("goroutine %d is left:\n%s", g.id, g.stack)
	}
}

// settle asks until the answer is yes, and reports whether it was in time. The
// first question comes at once, so that a clean test costs nothing.
func settle(patience time.Duration, done func() bool) bool {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if done() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
}
