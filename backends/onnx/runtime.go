//go:build cgo

package onnx

import "github.com/sluice-serving/sluice/backends/onnx/ort"

// Built tells whether this binary can run models at all.
const Built = true

// Runtime loads the library that pools use, where that has not happened yet, and returns its version and path.
func Runtime() (version, path string, err error) {
	if err := loadLibrary(""); err != nil {
		return "", "", err
	}
	path, _ = FindLibrary()
	return ort.Version(), path, nil
}
