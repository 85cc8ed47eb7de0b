package generator

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/internal/leak"
)

// TestMain has the test binary stand in for `sluice bench generate` where a test starts it as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("SLUICE_BENCH_MAIN") == "" {
		leak.Main(m)
		return
	}
	if err := Generate(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// testSelf starts this test binary as `sluice bench`.
func testSelf(t *testing.T) machine.Self {
	t.Helper()
	t.Setenv("SLUICE_BENCH_MAIN", "1")
	return machine.Self{os.Args[0]}
}
