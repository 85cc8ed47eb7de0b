// Package cli is the command line: the bodies of the commands, their flags, output and exit codes.
//
// Data goes to standard output and words to standard error. Exit codes: 0 done, 1 failed, 2 the command line or
// the configuration is wrong, 3 the server cannot be reached, 4 a goal was not met.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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

// usage makes an error one of the command line.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, stdio Stdio) int {
	return run(ctx, args, stdio, gateway.Kinds())
}

// run is Main with the kinds of pools that there are; tests bring further ones.
func run(ctx context.Context, args []string, stdio Stdio, kinds []gateway.Kind) int {
	root := newRoot(kinds)
	root.SetArgs(args)
	root.SetIn(stdio.In)
	root.SetOut(stdio.Out)
	root.SetErr(stdio.Err)
	err := execute(ctx, root, args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	var problems config.Errors
	if errors.As(err, &problems) {
		fmt.Fprintln(stdio.Err, problems)
		return exitUsage
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stdio.Err, "sluice:", text)
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return exitFailed
}

// execute runs a command line. Asked for help on a command that there is not, cobra would help with the one above it.
func execute(ctx context.Context, root *cobra.Command, args []string) error {
	if cmd, unknown := helpOf(root, args); cmd != nil {
		return unknownCommand(cmd, unknown)
	}
	return root.ExecuteContext(ctx)
}

func newRoot(kinds []gateway.Kind) *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "An inference gateway: batching, balancing and canaries in front of model servers",
		Long: `Sluice is a gateway for inference requests. It speaks the v2 protocol of KServe and Triton and TensorFlow
Serving's, over REST and gRPC, merges requests into batches, and runs them on ONNX Runtime in its own process or
on servers: Triton, TensorFlow Serving and others of the v2 protocol.

Data goes to standard output and words to standard error; --output json gives data for programs. Exit codes:
0 done, 1 failed, 2 the command line or the configuration is wrong, 3 the server cannot be reached, 4 a goal was
not met.`,
		Version: build().Version,
		Example: `  sluice serve --backend onnx=./models     serve every model found in ./models
  sluice serve -c sluice.yaml              serve what a configuration says
  sluice models list                       what a running gateway serves
  sluice predict digits --random           send a request made of random numbers`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	group(root)
	root.SetVersionTemplate("sluice {{.Version}}\n")
	root.SetHelpCommand(newHelp())
	root.SetUsageTemplate(usageTemplate)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newServe(kinds), newPredict(), newModels(), newPools(), newConfig(kinds), newDoctor(kinds), newBench(), newVersion())
	return root
}

// usageTemplate is how a command is called: like cobra's, without a line for groups that are called alone.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if or .IsAvailableCommand (eq .Name "help")}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableSubCommands}}

"{{.CommandPath}} COMMAND --help" tells more about a command.{{end}}
`

// group makes a command that only holds others: alone it shows its help, and what it does not hold is an error.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
}

// newHelp is cobra's help, but for what there is no help on: that is an error.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if about.HasSubCommands() && len(rest) > 0 {
				return unknownCommand(about, rest[0])
			}
			return about.Help()
		},
	}
}

// helpOf returns the command that help was asked for with a flag behind the name of none, and that name.
func helpOf(root *cobra.Command, args []string) (cmd *cobra.Command, unknown string) {
	cmd, rest, err := root.Find(args)
	if err != nil || !cmd.HasSubCommands() || len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
		return nil, ""
	}
	if !slices.Contains(rest, "--help") && !slices.Contains(rest, "-h") {
		return nil, ""
	}
	return cmd, rest[0]
}

func unknownCommand(cmd *cobra.Command, name string) error {
	hint := ""
	if close := cmd.SuggestionsFor(name); len(close) > 0 {
		hint = fmt.Sprintf(" (did you mean %q?)", close[0])
	}
	return usage("unknown command %.128q for %q%s; see %q", name, cmd.CommandPath(), hint, cmd.CommandPath()+" --help")
}

// flagError explains a flag that cannot be read.
func flagError(cmd *cobra.Command, err error) error {
	// A flag behind a misspelt command is looked for in the command before it.
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return unknownCommand(cmd, cmd.Flags().Arg(0))
	}
	hint := ""
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if close := closest(unknown.GetSpecifiedName(), cmd.Flags()); close != "" {
			hint = fmt.Sprintf(" (did you mean --%s?)", close)
		}
	}
	return usage("%w%s; see %q", err, hint, cmd.CommandPath()+" --help")
}

// closest returns the flag whose name is nearest to what was typed, empty if none is near.
func closest(typed string, flags *pflag.FlagSet) string {
	best, name := 3, ""
	flags.VisitAll(func(f *pflag.Flag) {
		if d := distance(typed, f.Name); d < best && d < len(typed) {
			best, name = d, f.Name
		}
	})
	return name
}

// distance is how many letters must be added, dropped or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("unexpected argument %.128q; see %q", args[0], cmd.CommandPath()+" --help")
	}
	return nil
}

// oneArg asks for exactly one argument, which the error calls what.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usage("%s is missing, as in %q", what, cmd.UseLine())
		case len(args) > 1:
			return usage("one argument is enough, got %.128q too, as in %q", args[1], cmd.UseLine())
		}
		return nil
	}
}
