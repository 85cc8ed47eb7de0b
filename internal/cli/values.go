package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/sluice-serving/sluice/tensor"
)

// array is a tensor on the command line's side: data as the binary extension carries it.
type array struct {
	name  string
	dtype tensor.DType
	shape []int64
	data  []byte
}

// parseArray reads nested JSON lists, or one value, as elements of a type.
func parseArray(text []byte, dtype tensor.DType) (shape []int64, data []byte, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, nil, fmt.Errorf("not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("not JSON: something follows the value at byte %d", dec.InputOffset())
	}
	for v := value; ; {
		list, ok := v.([]any)
		if !ok {
			break
		}
		shape = append(shape, int64(len(list)))
		if len(list) == 0 || len(shape) > tensor.MaxRank {
			break
		}
		v = list[0]
	}
	if len(shape) > tensor.MaxRank {
		return nil, nil, tensor.ErrRank
	}
	data, err = appendNested(nil, value, shape, dtype)
	return shape, data, err
}

// appendNested appends the elements of lists that are nested as shape says.
func appendNested(dst []byte, value any, shape []int64, dtype tensor.DType) ([]byte, error) {
	list, isList := value.([]any)
	if len(shape) == 0 {
		if isList {
			return nil, errors.New("lists of one level differ in depth")
		}
		return appendElement(dst, value, dtype)
	}
	if !isList || int64(len(list)) != shape[0] {
		return nil, errors.New("lists of one level differ in length")
	}
	var err error
	for _, v := range list {
		if dst, err = appendNested(dst, v, shape[1:], dtype); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// appendElement appends one JSON value as an element.
func appendElement(dst []byte, value any, dtype tensor.DType) ([]byte, error) {
	le := binary.LittleEndian
	switch v := value.(type) {
	case bool:
		if dtype == tensor.Bool {
			if v {
				return append(dst, 1), nil
			}
			return append(dst, 0), nil
		}
	case string:
		if dtype == tensor.Bytes {
			return append(le.AppendUint32(dst, uint32(len(v))), v...), nil
		}
		if dtype.IsFloat() && (v == "NaN" || v == "Infinity" || v == "-Infinity") {
			return appendNumber(dst, v, dtype)
		}
	case json.Number:
		if dtype.IsInteger() || dtype.IsFloat() {
			return appendNumber(dst, v.String(), dtype)
		}
	}
	text, _ := json.Marshal(value) // what was decoded encodes
	return nil, fmt.Errorf("%.64s is no %s", text, dtype)
}

func appendNumber(dst []byte, text string, dtype tensor.DType) ([]byte, error) {
	size := dtype.Size()
	var bits uint64
	var err error
	switch dtype {
	case tensor.FP16, tensor.BF16, tensor.FP64:
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		bits = floatBits(f, dtype)
	case tensor.FP32:
		var f float64
		f, err = strconv.ParseFloat(text, 32)
		bits = uint64(math.Float32bits(float32(f)))
	case tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64:
		bits, err = strconv.ParseUint(text, 10, 8*size)
	default:
		var i int64
		i, err = strconv.ParseInt(text, 10, 8*size)
		bits = uint64(i)
	}
	if err != nil {
		return nil, fmt.Errorf("%.64s is no %s", text, dtype)
	}
	return appendBits(dst, bits, size), nil
}

// appendBits appends the low size bytes of an element.
func appendBits(dst []byte, bits uint64, size int) []byte {
	for range size {
		dst = append(dst, byte(bits))
		bits >>= 8
	}
	return dst
}

// floatBits rounds f to a floating-point type.
func floatBits(f float64, dtype tensor.DType) uint64 {
	switch dtype {
	case tensor.FP16:
		return roundFloat(f, 5, 10)
	case tensor.BF16:
		return roundFloat(f, 8, 7)
	case tensor.FP32:
		return uint64(math.Float32bits(float32(f)))
	}
	return math.Float64bits(f)
}

// roundFloat rounds f, half to even, to a binary floating-point format with so many bits for exponent and fraction.
func roundFloat(f float64, expBits, fracBits int) uint64 {
	bias := 1<<(expBits-1) - 1
	infinity := uint64(1<<expBits-1) << fracBits
	var sign uint64
	if math.Signbit(f) {
		sign = 1 << (expBits + fracBits)
	}
	a := math.Abs(f)
	switch {
	case math.IsNaN(f):
		return infinity | 1<<(fracBits-1)
	case math.IsInf(f, 0):
		return sign | infinity
	case a < math.Ldexp(1, 1-bias):
		// Subnormal: units of the least fraction. Rounding up to the first normal gives its bits too.
		return sign | uint64(math.RoundToEven(math.Ldexp(a, fracBits+bias-1)))
	}
	frac, exp := math.Frexp(a)
	m := uint64(math.RoundToEven(math.Ldexp(frac, fracBits+1)))
	bits := uint64(exp-1+bias)<<fracBits + m - 1<<fracBits
	return sign | min(bits, infinity)
}

// widenFloat is the value of the bits of such a format.
func widenFloat(bits uint64, expBits, fracBits int) float64 {
	bias := 1<<(expBits-1) - 1
	exp := int(bits>>fracBits) & (1<<expBits - 1)
	frac := bits & (1<<fracBits - 1)
	var a float64
	switch {
	case exp == 1<<expBits-1 && frac != 0:
		return math.NaN()
	case exp == 1<<expBits-1:
		a = math.Inf(1)
	case exp == 0:
		a = math.Ldexp(float64(frac), 1-bias-fracBits)
	default:
		a = math.Ldexp(float64(frac|1<<fracBits), exp-bias-fracBits)
	}
	if bits>>(expBits+fracBits)&1 != 0 {
		a = -a
	}
	return a
}

// elements splits the data of a tensor into its elements.
func elements(a *array) ([][]byte, error) {
	count, err := tensor.Elements(a.shape)
	if err != nil {
		return nil, err
	}
	size := a.dtype.Size()
	if size > 0 {
		if int64(len(a.data)) != count*int64(size) {
			return nil, fmt.Errorf("%d bytes of data for %d elements of %s", len(a.data), count, a.dtype)
		}
	} else if int64(len(a.data))/4 < count {
		return nil, tensor.ErrBytes
	}
	out := make([][]byte, 0, count)
	rest := a.data
	for range count {
		n := size
		if size == 0 {
			if len(rest) < 4 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-4) {
				return nil, tensor.ErrBytes
			}
			n = int(binary.LittleEndian.Uint32(rest))
			rest = rest[4:]
		}
		out, rest = append(out, rest[:n]), rest[n:]
	}
	if len(rest) > 0 {
		return nil, tensor.ErrBytes
	}
	return out, nil
}

// maxText is how much of a string a table shows.
const maxText = 48

// elementText is an element as a person reads it: floats with four digits.
func elementText(e []byte, dtype tensor.DType) string {
	if dtype == tensor.Bytes {
		if len(e) > maxText {
			return strconv.Quote(string(e[:maxText])) + "..."
		}
		return strconv.Quote(string(e))
	}
	if f, ok := floatOf(e, dtype); ok {
		return strconv.FormatFloat(f, 'g', 4, 64)
	}
	return exactText(e, dtype)
}

// exactText is a number or truth value so that nothing of it is lost.
func exactText(e []byte, dtype tensor.DType) string {
	bits := uint64(0)
	for i, b := range e {
		bits |= uint64(b) << (8 * i)
	}
	shift := 64 - 8*len(e)
	switch dtype {
	case tensor.Bool:
		return strconv.FormatBool(bits != 0)
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		return strconv.FormatInt(int64(bits<<shift)>>shift, 10)
	case tensor.FP32:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(bits))), 'g', -1, 32)
	case tensor.FP16, tensor.BF16, tensor.FP64:
		f, _ := floatOf(e, dtype)
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return strconv.FormatUint(bits, 10)
}

// floatOf is the value of an element of a floating-point type.
func floatOf(e []byte, dtype tensor.DType) (float64, bool) {
	le := binary.LittleEndian
	switch dtype {
	case tensor.FP16:
		return widenFloat(uint64(le.Uint16(e)), 5, 10), true
	case tensor.BF16:
		return widenFloat(uint64(le.Uint16(e)), 8, 7), true
	case tensor.FP32:
		return float64(math.Float32frombits(le.Uint32(e))), true
	case tensor.FP64:
		return math.Float64frombits(le.Uint64(e)), true
	}
	return 0, false
}
