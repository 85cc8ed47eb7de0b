// Package standin has a test binary stand in for `sluice bench`, which scenarios start in processes of their own.
package standin

import (
	"fmt"
	"os"
	"testing"

	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/internal/leak"
)

// asked is set in the environment of a process that is to be `sluice bench`.
const asked = "SLUICE_BENCH_MAIN"

// Main is a package's TestMain: it runs the tests, or bench in a process that was started by [Self].
func Main(m *testing.M, bench func() error) {
	if os.Getenv(asked) == "" {
		leak.Main(m)
		return
	}
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Self starts this test binary as `sluice bench`, until t ends.
func Self(t *testing.T) machine.Self {
	t.Helper()
	t.Setenv(asked, "1")
	return machine.Self{os.Args[0]}
}
