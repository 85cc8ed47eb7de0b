//go:build cgo

package onnx

import (
	"github.com/sluice-serving/sluice/backends/onnx/ort"
	"github.com/sluice-serving/sluice/tensor"
)

// dtypeOf returns the protocol's type for the library's, Invalid where there is none.
func dtypeOf(e ort.Elem) tensor.DType {
	switch e {
	case ort.Bool:
		return tensor.Bool
	case ort.Int8:
		return tensor.Int8
	case ort.Int16:
		return tensor.Int16
	case ort.Int32:
		return tensor.Int32
	case ort.Int64:
		return tensor.Int64
	case ort.Uint8:
		return tensor.Uint8
	case ort.Uint16:
		return tensor.Uint16
	case ort.Uint32:
		return tensor.Uint32
	case ort.Uint64:
		return tensor.Uint64
	case ort.Float16:
		return tensor.FP16
	case ort.BFloat16:
		return tensor.BF16
	case ort.Float32:
		return tensor.FP32
	case ort.Float64:
		return tensor.FP64
	case ort.String:
		return tensor.Bytes
	}
	return tensor.Invalid
}
