package onnx

import (
	"os"
	"path/filepath"
	"runtime"
)

// libraryName is what the library is called on this system.
func libraryName() string {
	if runtime.GOOS == "darwin" {
		return "libonnxruntime.dylib"
	}
	return "libonnxruntime.so"
}

// FindLibrary returns the ONNX Runtime library to load, and the places it looked at, in order:
// SLUICE_ONNXRUNTIME, .cache/onnxruntime and lib beside the binary's folder, .cache/onnxruntime in the
// working directory. If none has it, the bare name is returned, for the system's loader to find.
func FindLibrary() (path string, looked []string) {
	name := libraryName()
	if path := os.Getenv("SLUICE_ONNXRUNTIME"); path != "" {
		return path, []string{path}
	}
	if exe, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(exe); err == nil {
			exe = resolved
		}
		home := filepath.Dir(filepath.Dir(exe))
		looked = append(looked, filepath.Join(home, ".cache", "onnxruntime", name), filepath.Join(home, "lib", name))
	}
	if cwd, err := os.Getwd(); err == nil {
		looked = append(looked, filepath.Join(cwd, ".cache", "onnxruntime", name))
	}
	for _, path := range looked {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, looked
		}
	}
	return name, append(looked, name+" (the system's loader)")
}
