package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/bench"
)

func newBench() *cobra.Command {
	return &cobra.Command{
		Use:   "bench COMMAND [FLAGS]",
		Short: "Measure this gateway and others",
		Long: `Bench generates load and measures. Its commands have flags of their own, written -flag or --flag;
sluice bench COMMAND -help lists them.

  http      load a server with one request and report rates, latencies and CPU time
  hop       what it costs to terminate a request, beside other servers
  batch     what batching brings
  gateway   run a gateway whose pools may be of kind puppet: models that answer after a set time`,
		Example: `  sluice bench http -target 127.0.0.1:8000 -path /v2/models/digits/infer -body @examples/digits/sample.json -duration 2s
  sluice bench http -connections 32 -duration 2s`,
		DisableFlagParsing:    true,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "-help" {
				return cmd.Help()
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("bench starts this program again: %w", err)
			}
			err = bench.Main(cmd.Context(), bench.Self{self, "bench"}, args, cmd.OutOrStdout(), cmd.ErrOrStderr())
			var mistake interface{ Usage() bool }
			if errors.As(err, &mistake) && mistake.Usage() {
				return &exitError{exitUsage, err}
			}
			return err
		},
	}
}
