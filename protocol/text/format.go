package text

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// BytesOf returns the bytes of a string, not to be written to.
func BytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// ValidUTF8 returns text with what is not UTF-8 replaced.
func ValidUTF8(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// AppendFloat writes the shortest text that reads back as f in size bits. Values
// that JSON has no form for become the tokens NaN, Infinity and -Infinity, as
// Triton writes them, and a whole number keeps ".0", so that languages which
// tell integers from floats read a float.
func AppendFloat(dst []byte, f float64, size int) []byte {
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	abs := math.Abs(f)
	if abs < 1<<24 && f == math.Trunc(f) {
		return appendWhole(dst, f)
	}
	form := byte('f')
	if abs < 1e-6 || abs >= 1e21 || size == 32 && (float32(abs) < 1e-6 || float32(abs) >= 1e21) {
		form = 'e'
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, form, -1, size)
	if form == 'f' && abs >= 1<<24 && f == math.Trunc(f) {
		dst = append(dst, ".0"...)
	}
	if n := len(dst); form == 'e' && n-at >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// appendWhole writes a small whole number, zeros with their sign.
func appendWhole(dst []byte, f float64) []byte {
	if math.Signbit(f) {
		dst = append(dst, '-')
	}
	dst = strconv.AppendUint(dst, uint64(math.Abs(f)), 10)
	return append(dst, ".0"...)
}

// HalfToFloat widens an FP16 pattern; every one is a float32 exactly.
func HalfToFloat(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	mant := uint32(h & 0x3ff)
	switch {
	case exp == 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | mant<<13)
	case exp == 0:
		f := float32(mant) * 0x1p-24
		return math.Float32frombits(math.Float32bits(f) | sign)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | mant<<13)
}

// BrainToFloat widens a BF16 pattern, which is the upper half of a float32.
func BrainToFloat(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

const hexDigits = "0123456789abcdef"

// AppendString writes s, which must be UTF-8, as a JSON string.
func AppendString(dst, s []byte) []byte {
	return append(AppendEscaped(append(dst, '"'), s), '"')
}

// AppendEscaped writes s without the quotes around it.
func AppendEscaped(dst, s []byte) []byte {
	from := 0
	for i, c := range s {
		if c < 0x20 || c == '"' || c == '\\' {
			dst = appendEscape(append(dst, s[from:i]...), c)
			from = i + 1
		}
	}
	return append(dst, s[from:]...)
}

// appendEscape writes one control character, quote or backslash.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
