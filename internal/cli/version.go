package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/backends/onnx"
	"github.com/sluice-serving/sluice/telemetry"
)

// version is what the linker sets for a release; empty in builds of a checkout.
var version string

// build says what is running: from the linker, or from what the toolchain noted about the checkout.
func build() telemetry.Build {
	b := telemetry.Build{Version: version}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

// versionInfo answers version.
type versionInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Go       string `json:"go_version"`
	Platform string `json:"platform"`
	CGO      bool   `json:"cgo"`
	// ONNXRuntime is absent where the library cannot be used.
	ONNXRuntime *runtimeInfo `json:"onnx_runtime,omitempty"`
}

// runtimeInfo is the ONNX Runtime library that serve would use.
type runtimeInfo struct {
	Version string `json:"version"`
	Path    string `json:"path"`
}

func newVersion() *cobra.Command {
	var output outputFlag
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say what this build is",
		Long: `Version prints the version and revision of this build, what it was built with, and the ONNX Runtime library
that serve would load.`,
		Example: `  sluice version
  sluice version --output json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := build()
			info := versionInfo{
				Version: b.Version, Revision: b.Revision, Go: runtime.Version(),
				Platform: runtime.GOOS + "/" + runtime.GOARCH, CGO: onnx.Built,
			}
			if number, path, err := onnx.Runtime(); err == nil {
				info.ONNXRuntime = &runtimeInfo{Version: number, Path: path}
			}
			if output.json() {
				return writeJSON(cmd.OutOrStdout(), info)
			}
			return showVersion(cmd, info)
		},
	}
	output.register(cmd, formText, formJSON)
	return cmd
}

func showVersion(cmd *cobra.Command, info versionInfo) error {
	built := info.Go + ", " + info.Platform + ", without cgo"
	if info.CGO {
		built = info.Go + ", " + info.Platform + ", with cgo"
	}
	library := "not found; `sluice doctor` says where it was looked for"
	if r := info.ONNXRuntime; r != nil {
		library = fmt.Sprintf("%s, %s", r.Version, r.Path)
	}
	rows := [][]string{{"sluice", info.Version}}
	if info.Revision != "" {
		rows = append(rows, []string{"revision", info.Revision})
	}
	return table(cmd.OutOrStdout(), append(rows, []string{"built with", built}, []string{"ONNX Runtime", library}))
}
