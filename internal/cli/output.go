package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// The forms that commands write their data in.
const (
	formText = "text"
	formJSON = "json"
)

// outputFlag is --output: the form of what a command writes to standard output.
type outputFlag struct{ form string }

// register adds --output with the forms that the command knows; the first is the default.
func (o *outputFlag) register(cmd *cobra.Command, forms ...string) {
	o.form = forms[0]
	cmd.Flags().VarP(&formValue{&o.form, forms}, "output", "o", strings.Join(forms, " or "))
	// It fails for a flag that does not exist only.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp))
}

func (o *outputFlag) json() bool { return o.form == formJSON }

// formValue is a flag that takes one of a few words.
type formValue struct {
	form  *string
	forms []string
}

func (v *formValue) String() string { return *v.form }
func (v *formValue) Type() string   { return "form" }

func (v *formValue) Set(text string) error {
	if !slices.Contains(v.forms, text) {
		return fmt.Errorf("want %s", strings.Join(v.forms, " or "))
	}
	*v.form = text
	return nil
}

// writeJSON writes one value, indented, as `jq .` would.
func writeJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// table writes rows in aligned columns; the first is the heading.
func table(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		line := strings.TrimRight(strings.Join(row, "\t"), "\t")
		fmt.Fprintln(tw, line)
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// plural is "1 row", "2 rows".
func plural[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
