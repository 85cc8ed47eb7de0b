package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-serving/sluice/internal/leak"
)

// commandPath is where system tests build the command.
var commandPath string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-cli-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	commandPath = filepath.Join(dir, "sluice")
	leak.Main(m, func() error { return os.RemoveAll(dir) })
}
