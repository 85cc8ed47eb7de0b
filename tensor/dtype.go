// Package tensor describes tensors: element types, checked shapes, and data as lists of byte views.
//
// Shapes come from clients, so every product is checked. Data is little endian and row-major and lies in
// counted slabs (package slab); nothing here promises alignment, so bytes are never reinterpreted as
// numbers in place.
package tensor

import "encoding/binary"

// DType is an element type of the v2 protocol.
type DType uint8

// The element types. Bytes elements are of variable length, each behind a 4-byte length.
const (
	Invalid DType = iota
	Bool
	Int8
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	FP16
	BF16
	FP32
	FP64
	Bytes

	dtypes
)

// dtypeNames are the names on the wire, which the v2 protocol fixes.
var dtypeNames = [dtypes]string{
	Invalid: "INVALID", Bool: "BOOL",
	Int8: "INT8", Int16: "INT16", Int32: "INT32", Int64: "INT64",
	Uint8: "UINT8", Uint16: "UINT16", Uint32: "UINT32", Uint64: "UINT64",
	FP16: "FP16", BF16: "BF16", FP32: "FP32", FP64: "FP64", Bytes: "BYTES",
}

var dtypeSizes = [dtypes]int{
	Bool: 1, Int8: 1, Int16: 2, Int32: 4, Int64: 8, Uint8: 1, Uint16: 2, Uint32: 4, Uint64: 8,
	FP16: 2, BF16: 2, FP32: 4, FP64: 8,
}

// ParseDType returns the type that the v2 protocol calls name (upper case), or Invalid.
func ParseDType(name []byte) DType {
	for d := Bool; d < dtypes; d++ {
		if dtypeNames[d] == string(name) {
			return d
		}
	}
	return Invalid
}

// String returns the name on the wire.
func (d DType) String() string {
	if d >= dtypes {
		return dtypeNames[Invalid]
	}
	return dtypeNames[d]
}

// Size returns the bytes of an element, 0 for Bytes and Invalid.
func (d DType) Size() int {
	if d >= dtypes {
		return 0
	}
	return dtypeSizes[d]
}

// IsFloat tells whether elements are floating-point numbers.
func (d DType) IsFloat() bool { return d >= FP16 && d <= FP64 }

// IsInteger tells whether elements are integers; Bool is not.
func (d DType) IsInteger() bool { return d >= Int8 && d <= Uint64 }

// PutInteger writes the low size bytes of v, an element of that size, to dst.
func PutInteger(dst []byte, size int, v uint64) {
	switch size {
	case 1:
		dst[0] = byte(v)
	case 2:
		binary.LittleEndian.PutUint16(dst, uint16(v))
	case 4:
		binary.LittleEndian.PutUint32(dst, uint32(v))
	default:
		binary.LittleEndian.PutUint64(dst, v)
	}
}
