package peer_test

import (
	"context"
	"os"
	"testing"

	"github.com/sluice-serving/sluice/bench"
	"github.com/sluice-serving/sluice/bench/standin"
)

func TestMain(m *testing.M) {
	standin.Main(m, func() error {
		return bench.Main(context.Background(), []string{os.Args[0]}, os.Args[1:], os.Stdout, os.Stderr)
	})
}
