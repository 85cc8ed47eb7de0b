//go:build cgo

package ort

/*
#cgo LDFLAGS: -ldl
#include <stdlib.h>
#include "api.h"
*/
import "C"

import (
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"github.com/yalue/onnxruntime_go"
)

// apiVersion is the version of the function table that the package and the binding were written
// against (ONNX Runtime 1.24). Later libraries offer it too.
const apiVersion = 24

// process guards the one ONNX Runtime that a process can hold. It is loaded at most once and stays
// for the life of the process: the library's own environment is global, and so is the binding's.
var process struct {
	sync.Mutex
	path string
}

// Load loads the library at path, or through the system's loader if path is a bare file name. A second
// call is free if it names the same library and an error if it names another.
func Load(path string) error {
	process.Lock()
	defer process.Unlock()
	if process.path != "" {
		if process.path != path {
			return fmt.Errorf("load %s: this process already runs %s", path, process.path)
		}
		return nil
	}
	onnxruntime_go.SetSharedLibraryPath(path)
	// Failed runs come back as errors; the library's own lines on stderr would only repeat them, with
	// file names and values in them.
	if err := onnxruntime_go.InitializeEnvironment(onnxruntime_go.WithLogLevelFatal()); err != nil {
		return fmt.Errorf("load ONNX Runtime: %w", cause(err))
	}
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	if rc := C.sluice_open(name, apiVersion); rc != 0 {
		return fmt.Errorf("load ONNX Runtime: %s offers no interface of version %d (step %d)", path, apiVersion, int(rc))
	}
	process.path = path
	return nil
}

// Version returns the version of the library that was loaded.
func Version() string { return onnxruntime_go.GetVersion() }

// Code is ONNX Runtime's class of an error.
type Code int

// The codes that mean something to a caller.
const (
	Fail            Code = 1
	InvalidArgument Code = 2
	NoSuchFile      Code = 3
	NoModel         Code = 4
	InvalidProtobuf Code = 7
	InvalidGraph    Code = 10
)

// Error is what the library answered.
type Error struct {
	Code Code
	Text string
}

func (e *Error) Error() string { return e.Text }

// take turns a status into an error and frees it.
func take(status unsafe.Pointer) error {
	if status == nil {
		return nil
	}
	err := &Error{
		Code: Code(C.sluice_code(status)),
		Text: strings.TrimSpace(C.GoString(C.sluice_message(status))),
	}
	C.sluice_free_status(status)
	return err
}

// position returns where the package looks for a function of the library's table, or -1.
func position(name string) int {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return int(C.sluice_position(c))
}
