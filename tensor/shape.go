package tensor

import (
	"errors"
	"math"
	"math/bits"
	"strconv"
)

// MaxRank bounds the axes of a tensor.
const MaxRank = 32

// Errors of shapes. They carry no detail: the caller knows the tensor's name.
var (
	ErrRank     = errors.New("shape has more than 32 dimensions")
	ErrNegative = errors.New("shape has a negative dimension")
	ErrOverflow = errors.New("shape has more elements than fit 63 bits")
)

// Elements returns the number of elements of shape: 1 for rank 0, 0 if any dimension is 0. Every product
// is checked, also where a later 0 would hide that an earlier one overflowed.
func Elements(shape []int64) (int64, error) {
	if len(shape) > MaxRank {
		return 0, ErrRank
	}
	n, zero := uint64(1), false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, ErrNegative
		case d == 0:
			zero = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, ErrOverflow
		}
		n = lo
	}
	if zero {
		return 0, nil
	}
	return int64(n), nil
}

// ByteSize returns the bytes that a tensor of fixed-size elements takes. For Bytes, whose elements vary,
// it returns the least: 4 bytes each.
func ByteSize(d DType, shape []int64) (int64, error) {
	n, err := Elements(shape)
	if err != nil {
		return 0, err
	}
	size := int64(d.Size())
	if d == Bytes {
		size = 4
	}
	if size != 0 && n > math.MaxInt64/size {
		return 0, ErrOverflow
	}
	return n * size, nil
}

// AppendShape appends shape as [2,3].
func AppendShape(dst []byte, shape []int64) []byte {
	dst = append(dst, '[')
	for i, d := range shape {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, d, 10)
	}
	return append(dst, ']')
}

// ShapeString returns shape as [2,3].
func ShapeString(shape []int64) string { return string(AppendShape(nil, shape)) }
