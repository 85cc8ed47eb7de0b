// Package cli is the command line: the bodies of the commands, their flags, output and exit codes.
//
// Data goes to standard output and words to standard error. Exit codes: 0 done, 1 failed, 2 the command line or
// the configuration is wrong, 3 the server cannot be reached, 4 a goal was not met.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/internal/gateway"
)

// Stdio is where a command reads and writes.
type Stdio struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// exitError carries the exit code of an error.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, stdio Stdio) int {
	return run(ctx, args, stdio, gateway.Kinds())
}

// run is Main with the kinds of pools that serve and config know.
func run(ctx context.Context, args []string, stdio Stdio, kinds []gateway.Kind) int {
	root := newRoot(kinds)
	root.SetArgs(args)
	root.SetIn(stdio.In)
	root.SetOut(stdio.Out)
	root.SetErr(stdio.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var problems config.Errors
	if errors.As(err, &problems) {
		fmt.Fprintln(stdio.Err, problems)
		return exitUsage
	}
	fmt.Fprintln(stdio.Err, "sluice:", err)
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitFailed
}

func newRoot(kinds []gateway.Kind) *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "An inference gateway: batching, balancing and canaries in front of model servers",
		Long: `Sluice is a gateway for inference requests. It answers the v2 (KServe, Triton) protocol, merges requests
into batches and runs them on ONNX Runtime in its own process.`,
		Example: `  sluice serve --backend onnx=./models     serve every model found in ./models
  sluice serve -c sluice.yaml              serve what a configuration says
  sluice models list                       what a running gateway serves
  sluice predict digits --random           send a request made of random numbers`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitError{exitUsage, err} })
	root.AddCommand(newServe(kinds))
	return root
}
