//go:build cgo

package ort

/*
#include <stdlib.h>
#include <string.h>
#include "api.h"
*/
import "C"

import (
	"fmt"
	"sync"
	"unsafe"
)

const (
	align = 64
	// keepStaging bounds the staging memory that a Frame keeps between runs.
	keepStaging = 64 << 20
)

// Frame carries runs, one at a time: Begin, Want for each output, Add for each input, Stage, Input to
// fill each one in, Run, then Output and Copy for what it answered, and Release.
type Frame struct {
	frame *C.sluice_frame // C memory
	ports int             // capacity of in, out, names and values

	staging unsafe.Pointer
	cap     int64
	used    int64

	running struct {
		sync.Mutex
		key   any // of the run under way; nil: none
		ended bool
	}
}

// NewFrame returns an empty frame.
func NewFrame() (*Frame, error) {
	f := &Frame{frame: (*C.sluice_frame)(C.calloc(1, C.sizeof_sluice_frame))}
	if err := take(C.sluice_new_options(&f.frame.options)); err != nil {
		C.free(unsafe.Pointer(f.frame))
		return nil, fmt.Errorf("make run options: %w", err)
	}
	return f, nil
}

// Close frees the frame.
func (f *Frame) Close() {
	C.sluice_free_options(f.frame.options)
	C.free(unsafe.Pointer(f.frame.in))
	C.free(unsafe.Pointer(f.frame.out))
	C.free(unsafe.Pointer(f.frame.names))
	C.free(unsafe.Pointer(f.frame.values))
	C.free(unsafe.Pointer(f.frame))
	C.free(f.staging)
	f.frame, f.staging = nil, nil
}

// Begin starts a run of s.
func (f *Frame) Begin(s *Session) {
	f.reserve(max(len(s.Inputs), len(s.Outputs)))
	f.frame.session = s.handle
	f.frame.ins, f.frame.outs, f.used = 0, 0, 0
}

// Want asks for an output. A run has at least one.
func (f *Frame) Want(p *Port) {
	t := &f.outs()[f.frame.outs]
	t.name, t.value = p.name, nil
	f.frame.outs++
}

func (f *Frame) reserve(n int) {
	if n <= f.ports {
		return
	}
	C.free(unsafe.Pointer(f.frame.in))
	C.free(unsafe.Pointer(f.frame.out))
	C.free(unsafe.Pointer(f.frame.names))
	C.free(unsafe.Pointer(f.frame.values))
	f.frame.in = (*C.sluice_tensor)(C.calloc(C.size_t(n), C.sizeof_sluice_tensor))
	f.frame.out = (*C.sluice_tensor)(C.calloc(C.size_t(n), C.sizeof_sluice_tensor))
	f.frame.names = (**C.char)(C.calloc(C.size_t(2*n), C.size_t(unsafe.Sizeof(uintptr(0)))))
	f.frame.values = (*unsafe.Pointer)(C.calloc(C.size_t(2*n), C.size_t(unsafe.Sizeof(uintptr(0)))))
	f.ports = n
}

func (f *Frame) ins() []C.sluice_tensor  { return unsafe.Slice(f.frame.in, f.ports) }
func (f *Frame) outs() []C.sluice_tensor { return unsafe.Slice(f.frame.out, f.ports) }

// Add gives the next input: its port, its shape, and the bytes it takes. For strings, count elements
// lie in those bytes, each with its length before it. The caller has checked that shape, count and
// size agree, and that the rank is at most MaxRank.
func (f *Frame) Add(p *Port, shape []int64, count int64, size int) {
	t := &f.ins()[f.frame.ins]
	t.name, t.value = p.name, nil
	t.elem = C.int32_t(p.Elem)
	t.size, t.count = C.int64_t(size), C.int64_t(count)
	t.rank = C.int32_t(len(shape))
	for i, d := range shape {
		t.shape[i] = C.int64_t(d)
	}
	f.frame.ins++
	f.used += (int64(size) + align - 1) / align * align
}

// Stage lays the inputs out in the staging memory.
func (f *Frame) Stage() {
	if f.used > f.cap || f.staging == nil {
		C.free(f.staging)
		f.cap = 4096
		for f.cap < f.used {
			f.cap *= 2
		}
		f.staging = C.aligned_alloc(align, C.size_t(f.cap))
		if f.staging == nil {
			panic("onnx: no memory for inputs")
		}
	}
	off := int64(0)
	for i := range f.ins()[:f.frame.ins] {
		t := &f.ins()[i]
		t.data = (*C.uint8_t)(unsafe.Add(f.staging, off))
		off += (int64(t.size) + align - 1) / align * align
	}
}

// Input returns the staging memory of input i, to be filled in before Run.
func (f *Frame) Input(i int) []byte {
	t := &f.ins()[i]
	return unsafe.Slice((*byte)(unsafe.Pointer(t.data)), int(t.size))
}

// Run runs the session. key names the run to Terminate and may be nil. Release must follow, whatever Run
// returns.
func (f *Frame) Run(key any) error {
	f.setRunning(key)
	status := C.sluice_run(f.frame)
	f.setRunning(nil)
	return take(status)
}

func (f *Frame) setRunning(key any) {
	f.running.Lock()
	f.running.key = key
	f.running.Unlock()
}

// Terminate makes the run that key names, if it is under way, end early with an error. Any goroutine may
// call it.
func (f *Frame) Terminate(key any) {
	f.running.Lock()
	defer f.running.Unlock()
	if key != nil && f.running.key == key {
		f.running.ended = true
		C.sluice_terminate(f.frame.options, 1)
	}
}

// Running tells whether a run that a key names is under way.
func (f *Frame) Running() bool {
	f.running.Lock()
	defer f.running.Unlock()
	return f.running.key != nil
}

// Output is what a run answered for one output. Its shape is valid until Release.
type Output struct {
	// Elem is 0 if the output holds no tensor.
	Elem  Elem
	Shape []int64
	Count int64
	// Size is how many bytes Copy writes.
	Size int
}

// Outputs returns how many outputs the run has.
func (f *Frame) Outputs() int { return int(f.frame.outs) }

// Output describes output i of the run.
func (f *Frame) Output(i int) Output {
	t := &f.outs()[i]
	o := Output{
		Elem:  Elem(t.elem),
		Shape: unsafe.Slice((*int64)(unsafe.Pointer(&t.shape[0])), int(min(t.rank, MaxRank))),
		Count: int64(t.count),
		Size:  int(t.size),
	}
	if o.Elem == String {
		o.Size += 4 * int(t.count)
	}
	return o
}

// Bytes returns the bytes of output i, which must not be of strings, in the library's memory. They are
// valid until Release.
func (f *Frame) Bytes(i int) []byte {
	t := &f.outs()[i]
	if t.size == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(t.data)), int(t.size))
}

// Copy writes all of output i to dst, which is exactly as long as its Size.
func (f *Frame) Copy(i int, dst []byte) error {
	t := &f.outs()[i]
	if Elem(t.elem) != String {
		copy(dst, f.Bytes(i))
		return nil
	}
	if len(dst) == 0 {
		return nil
	}
	return take(C.sluice_copy_strings(t, (*C.uint8_t)(unsafe.Pointer(&dst[0]))))
}

// Release gives back what the run holds in the library.
func (f *Frame) Release() {
	C.sluice_release(f.frame)
	if f.running.ended {
		f.running.ended = false
		C.sluice_terminate(f.frame.options, 0)
	}
	if f.cap > keepStaging {
		C.free(f.staging)
		f.staging, f.cap = nil, 0
	}
}
