package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/admin"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/internal/gateway"
)

// formYAML is the form of configurations.
const formYAML = "yaml"

// configKinds are what config knows of the kinds of pools.
func configKinds(kinds []gateway.Kind) []config.Kind {
	out := make([]config.Kind, len(kinds))
	for i, k := range kinds {
		out[i] = k.Config
	}
	return out
}

func newConfig(kinds []gateway.Kind) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and explain configurations",
		Long: `Config reads configuration files as serve would and talks to no gateway. Values come from the defaults, the
file, flags and what an operator changes over the admin API, in rising precedence; the last is seen in a running
gateway only.`,
		Example: `  sluice config check sluice.yaml
  sluice config show sluice.yaml --origins
  sluice config explain limits.body
  sluice config schema > sluice.schema.json`,
	}
	group(cmd)
	all := configKinds(kinds)
	cmd.AddCommand(newConfigCheck(all), newConfigShow(kinds), newConfigExplain(kinds), newConfigSchema(all))
	return cmd
}

func newConfigCheck(kinds []config.Kind) *cobra.Command {
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Report everything that is wrong with a file",
		Long: `Check reads a file as serve would and reports every problem at once, each with file, line and column, on
standard error. It exits with 0 where the file is right and 2 where it is not. What is legal but surely not
meant is a warning, which changes nothing about the exit code.`,
		Example: `  sluice config check sluice.yaml
  sluice config check sluice.yaml --output json`,
		Args: oneArg("the file's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return checkConfig(cmd, args[0], kinds, output)
		},
	}
	output.register(cmd, formText, formJSON)
	return cmd
}

func checkConfig(cmd *cobra.Command, file string, kinds []config.Kind, output outputFlag) error {
	cfg, err := config.Load(config.Sources{File: file}, kinds)
	var problems config.Errors
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	verdict := admin.Check{Valid: err == nil, Problems: admin.ViewProblems(problems), Warnings: []admin.Problem{}}
	if cfg != nil {
		verdict.Warnings = admin.ViewProblems(cfg.Warnings())
		for _, w := range cfg.Warnings() {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
		}
	}
	if output.json() {
		if err := writeJSON(cmd.OutOrStdout(), verdict); err != nil {
			return err
		}
	}
	if err == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s is right\n", file)
	}
	return err
}

func newConfigShow(kinds []gateway.Kind) *cobra.Command {
	var output outputFlag
	var origins bool
	var sources sourceFlags
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Print the configuration that serve would run with",
		Long: `Show prints every setting with its value: what the file and the flags say and the defaults of all else. The
YAML that it prints is a configuration file that says the same, but for secrets, which it hides. With --origins
each value is followed by where it came from.`,
		Example: `  sluice config show sluice.yaml
  sluice config show sluice.yaml --origins --http :9000
  sluice config show sluice.yaml --output json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return oneArg("a file")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				sources.file = args[0]
			}
			cfg, err := config.Load(sources.sources(), configKinds(kinds))
			if err != nil {
				return err
			}
			if output.json() {
				return writeJSON(cmd.OutOrStdout(), cfg.Entries())
			}
			return cfg.Show(cmd.OutOrStdout(), origins)
		},
	}
	sources.register(cmd, kinds)
	cmd.Flags().BoolVar(&origins, "origins", false, "say of each value where it came from")
	output.register(cmd, formYAML, formJSON)
	return cmd
}

func newConfigExplain(kinds []gateway.Kind) *cobra.Command {
	var output outputFlag
	var sources sourceFlags
	cmd := &cobra.Command{
		Use:   "explain PATH",
		Short: "Explain one setting",
		Long: `Explain says what a setting means, what it may hold, its default and what raising it does. With a file or
flags it also says which value is in force and where that came from. Items of lists are named, models[digits],
counted, models[0], or left open, models[].`,
		Example: `  sluice config explain limits.body
  sluice config explain 'models[].batching.max_batch_size'
  sluice config explain 'models[digits].deadline' -c sluice.yaml`,
		Args: oneArg("a setting's path (limits.body, say)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(sources.sources(), configKinds(kinds))
			if err != nil {
				return err
			}
			e, err := cfg.Explain(args[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			if output.json() {
				return writeJSON(cmd.OutOrStdout(), e)
			}
			fmt.Fprint(cmd.OutOrStdout(), e)
			return nil
		},
	}
	sources.register(cmd, kinds)
	output.register(cmd, formText, formJSON)
	return cmd
}

func newConfigSchema(kinds []config.Kind) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the file",
		Long: `Schema prints a JSON Schema (draft 2020-12) of exactly the keys that this build reads. Editors complete and
check configuration files with it.`,
		Example: `  sluice config schema > sluice.schema.json`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := config.Schema(kinds)
			if err != nil {
				return fmt.Errorf("make the schema: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", data)
			return err
		},
	}
}
