package peer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// OwnVersion is the commit of this build, empty where the build does not say.
func OwnVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), 8)]
		}
	}
	return ""
}

// moduleVersion is the version of a module in this build, "unknown" where the build does not say.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "unknown"
}

// ErrNotInstalled is returned for a server whose program is not on this machine.
var ErrNotInstalled = errors.New("not installed")

// findProgram finds a server's program: in parts, where bench/parts/proxies.sh puts it, or on PATH.
func findProgram(parts, name string) (string, error) {
	path, err := filepath.Abs(filepath.Join(parts, "bin", name))
	if err != nil {
		return "", fmt.Errorf("find %s: %w", name, err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
		return path, nil
	}
	path, err = exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w: neither in %s/bin nor on PATH", name, ErrNotInstalled, parts)
	}
	return path, nil
}

// programVersion runs the program and returns the word behind the given text in its first line.
func programVersion(ctx context.Context, path, flag, behind string) string {
	out, err := exec.CommandContext(ctx, path, flag).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(out), "\n")
	_, v, ok := strings.Cut(line, behind)
	if !ok {
		return "unknown"
	}
	v, _, _ = strings.Cut(v, " ")
	return v
}
