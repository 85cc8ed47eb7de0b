//go:build cgo

package ort

/*
#include <stdlib.h>
#include "api.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"unsafe"

	"github.com/yalue/onnxruntime_go"
)

// MaxRank bounds the rank of every tensor.
const MaxRank = C.SLUICE_MAX_RANK

// CPU is the device of sessions that run on the processor; devices from 0 on are CUDA's.
const CPU = -1

// Elem is ONNX Runtime's element type.
type Elem int32

// The element types that have a counterpart in the v2 protocol.
const (
	Float32  Elem = 1
	Uint8    Elem = 2
	Int8     Elem = 3
	Uint16   Elem = 4
	Int16    Elem = 5
	Int32    Elem = 6
	Int64    Elem = 7
	String   Elem = 8
	Bool     Elem = 9
	Float16  Elem = 10
	Float64  Elem = 11
	Uint32   Elem = 12
	Uint64   Elem = 13
	BFloat16 Elem = 16
)

// SessionOptions says how a session runs.
type SessionOptions struct {
	// Device is CPU, or the number of a CUDA device.
	Device int
	// Threads is how many threads one operator of a CPU session may use, the worker's own included.
	Threads int
}

// Port is an input or output of a session.
type Port struct {
	Name string
	Elem Elem
	// Tensor is false for sequences, maps and sparse tensors, which no request can carry.
	Tensor bool
	// Ranked is false if not even the number of dims is known.
	Ranked bool
	// Dims holds -1 for each free axis.
	Dims []int64
	// Optional inputs may be left out of a run: initializers that a caller may override.
	Optional bool

	name *C.char
}

// Session is a loaded model on one device.
type Session struct {
	// Immutable after NewSession.
	Inputs  []Port
	Outputs []Port

	session *onnxruntime_go.DynamicAdvancedSession
	handle  unsafe.Pointer
}

// NewSession loads the model in the file at path.
func NewSession(path string, opts SessionOptions) (*Session, error) {
	options, err := newOptions(opts)
	if err != nil {
		return nil, err
	}
	defer destroy(options)
	session, err := onnxruntime_go.NewDynamicAdvancedSession(path, nil, nil, options)
	if err != nil {
		return nil, cause(err)
	}
	s := &Session{session: session}
	if s.handle, err = handleOf(session); err == nil {
		err = s.describe()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Probe tells whether the library can use a device at all.
func Probe(device int) error {
	options, err := newOptions(SessionOptions{Device: device, Threads: 1})
	if err != nil {
		return err
	}
	destroy(options)
	return nil
}

// destroy frees what the binding made. Its destructors always return nil.
func destroy(v interface{ Destroy() error }) { _ = v.Destroy() }

// cause drops the words that the binding puts before the library's own.
func cause(err error) error {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}

func newOptions(opts SessionOptions) (*onnxruntime_go.SessionOptions, error) {
	o, err := onnxruntime_go.NewSessionOptions()
	if err != nil {
		return nil, fmt.Errorf("make session options: %w", err)
	}
	threads := opts.Threads
	if opts.Device != CPU {
		threads = 1 // the processor only launches kernels
	}
	// A pattern of memory use is kept for every shape ever seen, without bound: clients choose shapes.
	err = errors.Join(
		o.SetIntraOpNumThreads(threads),
		o.SetInterOpNumThreads(1),
		o.SetExecutionMode(onnxruntime_go.ExecutionModeSequential),
		o.SetGraphOptimizationLevel(onnxruntime_go.GraphOptimizationLevelEnableAll),
		o.SetLogSeverityLevel(onnxruntime_go.LoggingLevelFatal),
		o.SetMemPattern(false),
		o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		o.AddSessionConfigEntry("session.inter_op.allow_spinning", "0"),
	)
	if err == nil && opts.Device != CPU {
		err = useCUDA(o, opts.Device)
	}
	if err != nil {
		destroy(o)
		return nil, err
	}
	return o, nil
}

// useCUDA puts the CUDA provider first. HEURISTIC, because the default search tries every algorithm
// again for each new shape.
func useCUDA(o *onnxruntime_go.SessionOptions, device int) error {
	cuda, err := onnxruntime_go.NewCUDAProviderOptions()
	if err != nil {
		return fmt.Errorf("device cuda:%d: this ONNX Runtime has no CUDA provider: %w", device, cause(err))
	}
	defer destroy(cuda)
	err = cuda.Update(map[string]string{
		"device_id":                    strconv.Itoa(device),
		"cudnn_conv_algo_search":       "HEURISTIC",
		"cudnn_conv_use_max_workspace": "1",
		"do_copy_in_default_stream":    "1",
		"arena_extend_strategy":        "kSameAsRequested",
	})
	if err == nil {
		err = o.AppendExecutionProviderCUDA(cuda)
	}
	if err != nil {
		return fmt.Errorf("device cuda:%d: %w", device, cause(err))
	}
	return nil
}

// handleOf finds the library's session inside the binding's, which does not show it. The binding's
// version is fixed in go.mod; another one that keeps it elsewhere is an error here, not a crash later.
func handleOf(session *onnxruntime_go.DynamicAdvancedSession) (unsafe.Pointer, error) {
	v := reflect.ValueOf(session).Elem().FieldByName("s")
	if v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Struct {
		v = v.Elem().FieldByName("ortSession")
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			return v.UnsafePointer(), nil
		}
	}
	return nil, errors.New("onnxruntime_go keeps its session in an unknown place: use the version that go.mod names")
}

func (s *Session) describe() error {
	var err error
	if s.Inputs, err = s.ports(C.SLUICE_INPUT); err != nil {
		return fmt.Errorf("describe inputs: %w", err)
	}
	overridable, err := s.ports(C.SLUICE_INITIALIZER)
	if err != nil {
		return fmt.Errorf("describe initializers: %w", err)
	}
	for i := range overridable {
		overridable[i].Optional = true
	}
	s.Inputs = append(s.Inputs, overridable...)
	if s.Outputs, err = s.ports(C.SLUICE_OUTPUT); err != nil {
		return fmt.Errorf("describe outputs: %w", err)
	}
	return nil
}

func (s *Session) ports(which C.int) ([]Port, error) {
	var n C.size_t
	if err := take(C.sluice_count(s.handle, which, &n)); err != nil {
		return nil, err
	}
	ports := make([]Port, n)
	for i := range ports {
		var d C.sluice_port
		if err := take(C.sluice_describe(s.handle, which, C.size_t(i), &d)); err != nil {
			return nil, err
		}
		p := &ports[i]
		p.Name = C.GoString(d.name)
		p.name = C.CString(p.Name)
		C.sluice_free_name(d.name)
		p.Elem = Elem(d.elem)
		p.Tensor = d.kind == 1
		p.Ranked = d.has_shape != 0
		if d.rank > MaxRank {
			p.Tensor = false
			continue
		}
		p.Dims = make([]int64, d.rank)
		for k := range p.Dims {
			p.Dims[k] = max(int64(d.dims[k]), -1)
		}
	}
	return ports, nil
}

// Close frees the session. No run may be under way.
func (s *Session) Close() {
	destroy(s.session)
	for _, ports := range [][]Port{s.Inputs, s.Outputs} {
		for i := range ports {
			C.free(unsafe.Pointer(ports[i].name))
			ports[i].name = nil
		}
	}
}

// Trim gives memory that closed sessions held back to the system. It is slow, and for after a whole model.
func Trim() { C.sluice_trim() }
