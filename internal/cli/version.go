package cli

import (
	"runtime/debug"

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
