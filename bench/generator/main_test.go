package generator

import (
	"context"
	"os"
	"testing"

	"github.com/sluice-serving/sluice/bench/standin"
)

func TestMain(m *testing.M) {
	standin.Main(m, func() error { return Generate(context.Background(), os.Stdin, os.Stdout) })
}
