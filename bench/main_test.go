package bench

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"testing"

	"github.com/sluice-serving/sluice/internal/leak"
)

// The test binary stands in for `sluice bench` when a test starts it as a process of its own.
const asMain = "SLUICE_BENCH_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) == "" {
		leak.Main(m)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := Main(ctx, testSelf(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// testSelf starts this test binary as Main; the test has to set asMain in its environment.
func testSelf() Self { return Self{os.Args[0]} }
