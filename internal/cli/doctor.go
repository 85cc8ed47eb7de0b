package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/internal/gateway"
)

// The verdicts of a check.
const (
	verdictOK   = "ok"
	verdictWarn = "warn"
	verdictFail = "fail"
)

// finding is one line of the doctor's.
type finding struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict"`
	Detail  string `json:"detail"`
	// Advice says what to do about it.
	Advice string `json:"advice,omitempty"`
}

// findings collects what the checks find.
type findings struct{ list []finding }

func (f *findings) ok(check, format string, args ...any) {
	f.list = append(f.list, finding{Check: check, Verdict: verdictOK, Detail: fmt.Sprintf(format, args...)})
}

func (f *findings) warn(check, advice, format string, args ...any) {
	f.list = append(f.list, finding{check, verdictWarn, fmt.Sprintf(format, args...), advice})
}

func (f *findings) fail(check, advice, format string, args ...any) {
	f.list = append(f.list, finding{check, verdictFail, fmt.Sprintf(format, args...), advice})
}

func (f *findings) failed() int {
	n := 0
	for _, one := range f.list {
		if one.Verdict == verdictFail {
			n++
		}
	}
	return n
}

func newDoctor(kinds []gateway.Kind) *cobra.Command {
	var sources sourceFlags
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what would keep serve from serving",
		Long: `Doctor checks what serve needs, with the flags that serve would get: the build, the ONNX Runtime library, cores,
memory, descriptors, the clock, the configuration, certificates, free ports, and whether every model of every
pool loads. Each line says ok, warn or fail, and what to do. It exits with 1 where a check fails. It changes
nothing; run it before serve, since a gateway that runs already holds the ports.`,
		Example: `  sluice doctor --backend onnx=./models
  sluice doctor -c sluice.yaml
  sluice doctor -c sluice.yaml --output json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return doctor(cmd, sources.sources(), kinds, output)
		},
	}
	sources.register(cmd, kinds)
	output.register(cmd, formText, formJSON)
	return cmd
}

func doctor(cmd *cobra.Command, sources config.Sources, kinds []gateway.Kind, output outputFlag) error {
	f := examine(cmd.Context(), sources, kinds)
	if err := f.write(cmd, output); err != nil {
		return err
	}
	if n := f.failed(); n > 0 {
		return fmt.Errorf("%s failed", plural(n, "check"))
	}
	return nil
}

// examine runs all checks.
func examine(ctx context.Context, sources config.Sources, kinds []gateway.Kind) *findings {
	f := &findings{}
	checkBuild(f)
	checkRuntime(f)
	checkCores(f)
	checkClock(f)
	cfg := checkConfiguration(f, sources, kinds)
	if cfg == nil {
		return f
	}
	checkMemory(f, cfg)
	checkDescriptors(f, cfg)
	checkCertificates(f, cfg)
	checkPorts(ctx, f, cfg)
	checkPools(ctx, f, cfg, kinds)
	return f
}

func (f *findings) write(cmd *cobra.Command, output outputFlag) error {
	if output.json() {
		return writeJSON(cmd.OutOrStdout(), struct {
			Healthy bool      `json:"healthy"`
			Checks  []finding `json:"checks"`
		}{f.failed() == 0, f.list})
	}
	var rows [][]string
	for _, one := range f.list {
		rows = append(rows, []string{fmt.Sprintf("%-4s", one.Verdict), one.Check, one.Detail})
		if one.Advice != "" {
			rows = append(rows, []string{"", "", "-> " + one.Advice})
		}
	}
	return table(cmd.OutOrStdout(), rows)
}
