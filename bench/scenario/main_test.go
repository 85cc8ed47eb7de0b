package scenario_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/sluice-serving/sluice/bench"
	"github.com/sluice-serving/sluice/internal/leak"
)

// TestMain has the test binary stand in for `sluice bench` where a test starts it as a process of its own: see testSelf.
func TestMain(m *testing.M) {
	if os.Getenv("SLUICE_BENCH_MAIN") == "" {
		leak.Main(m)
		return
	}
	if err := bench.Main(context.Background(), []string{os.Args[0]}, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
