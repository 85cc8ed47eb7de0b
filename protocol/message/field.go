package message

import (
	"encoding/binary"
	"math/bits"
)

// PrefixSize is the length of what gRPC puts before a message: a flag and the message's length.
const PrefixSize = 5

// AppendPrefix appends gRPC's prefix of an uncompressed message of n bytes.
func AppendPrefix(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(n))
}

// AppendField appends a field of bytes, unless it is empty.
func AppendField[T []byte | string](dst []byte, key byte, s T) []byte {
	if len(s) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(append(dst, key), uint64(len(s)))
	return append(dst, s...)
}

// FieldSize returns the encoded length of a field of n bytes whose number is below 16.
func FieldSize(n int) int { return 1 + VarintSize(uint64(n)) + n }

// StringSize returns the encoded length of a field of n bytes that is left out when empty.
func StringSize(n int) int {
	if n == 0 {
		return 0
	}
	return FieldSize(n)
}

// VarintSize returns the encoded length of a varint.
func VarintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// OverrideSize returns what AppendOverride appends.
func OverrideSize[T []byte | string](said []byte, want T) int {
	if string(said) == string(want) {
		return 0
	}
	return FieldSize(len(want))
}

// AppendOverride appends a field that overrides what the message said, if that is not what is wanted. Here an empty
// value must be written too.
func AppendOverride[T []byte | string](b []byte, key byte, said []byte, want T) []byte {
	if string(said) == string(want) {
		return b
	}
	b = binary.AppendUvarint(append(b, key), uint64(len(want)))
	return append(b, want...)
}
