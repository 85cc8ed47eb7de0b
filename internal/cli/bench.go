package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/bench"
)

// away tells whether an error says that nobody is at an address.
func away(err error) bool {
	for _, none := range []syscall.Errno{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ETIMEDOUT} {
		if errors.Is(err, none) {
			return true
		}
	}
	return false
}

func newBench() *cobra.Command {
	return &cobra.Command{
		Use:   "bench COMMAND [FLAGS]",
		Short: "Measure this gateway and others",
		Long: `Bench generates load and measures. Its commands have flags of their own, written -flag or --flag, which
"sluice bench COMMAND -help" lists.

  grpc      make gRPC calls to any server, unary or streaming; report rates, latencies, errors and CPU time
  http      the same with HTTP/1.1 requests
  proxy     what it costs to pass a gRPC call on, beside HAProxy, nginx, Envoy and a proxy on grpc-go
  hop       what it costs to terminate a request, beside other servers
  batch     what merging requests gains, and what it costs
  idle      what an idle connection keeps of memory
  pressure  what healthy calls and memory suffer from clients and upstreams that take nothing
  gateway   run a gateway whose pools may be of kind puppet: models that answer after a set time`,
		Example: `  sluice bench grpc -target 127.0.0.1:8001 -model digits -input image -bytes 256 -connections 8 -streams 8 -duration 2s
  sluice bench http -target 127.0.0.1:8000 -path /v2/models/digits/infer -body @examples/digits/sample.json -duration 2s
  sluice bench http -target 127.0.0.1:8000 -connections 8 -duration 2s`,
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
			err = bench.Main(cmd.Context(), []string{self, "bench"}, args, cmd.OutOrStdout(), cmd.ErrOrStderr())
			var coded interface{ ExitCode() int }
			var child *exec.ExitError // it has a code too, which is another program's
			if errors.As(err, &coded) && !errors.As(err, &child) {
				return &exitError{coded.ExitCode(), err}
			}
			if away(err) {
				return &exitError{exitUnreachable, err}
			}
			return err
		},
	}
}
