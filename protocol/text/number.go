package text

import (
	"encoding/binary"
	"math/bits"
)

// A NumErr is the reason why a number could not be taken. It is an enum and
// not an error because the caller knows the element's index and words the text.
type NumErr uint8

const (
	NumOK      NumErr = iota
	NumSyntax         // not a JSON number
	NumRange          // outside the data type's range
	NumInteger        // has a fraction or an exponent, but the data type is an integer
)

// A Decimal is a scanned JSON number: mant * 10^exp, negated by neg. Beyond 19
// significant digits mant holds the first 19 and cut tells that a digit other
// than zero was dropped, so that the true value lies in (mant, mant+1) * 10^exp.
type Decimal struct {
	mant uint64
	Exp  int
	neg  bool
	cut  bool
}

// maxExponent bounds explicit exponents. It is far above any body's length, so
// that "0.000...1e1000" still cancels, and far below an int's overflow.
const maxExponent = 1 << 40

// ScanDecimal reads one number of RFC 8259's grammar at b[i:] and returns where
// it ends. With numSyntax the end is the offending offset.
func ScanDecimal(b []byte, i int) (d Decimal, end int, e NumErr) {
	if i < len(b) && b[i] == '-' {
		d.neg = true
		i++
	}
	first := i
	m := uint64(0)
	for i < len(b) && IsDigit(b[i]) {
		m = m*10 + uint64(b[i]-'0')
		i++
	}
	digits := i - first
	if digits == 0 {
		return d, i, NumSyntax
	}
	if b[first] == '0' && digits > 1 {
		return d, first + 1, NumSyntax
	}
	if i < len(b) && b[i] == '.' {
		i++
		frac := i
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			if !eightDigits(w) {
				break
			}
			m = m*100_000_000 + eightDigitValue(w)
			i += 8
		}
		for i < len(b) && IsDigit(b[i]) {
			m = m*10 + uint64(b[i]-'0')
			i++
		}
		if i == frac {
			return d, i, NumSyntax
		}
		d.Exp = frac - i
		digits += i - frac
	}
	d.mant = m
	if digits > 19 {
		d.rescan(b[first:i])
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		x, at, ok := scanExponent(b, i+1)
		if !ok {
			return d, at, NumSyntax
		}
		d.Exp += x
		i = at
	}
	return d, i, NumOK
}

// scanExponent reads what follows the letter e.
func scanExponent(b []byte, i int) (x, end int, ok bool) {
	neg := false
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		neg = b[i] == '-'
		i++
	}
	first := i
	for i < len(b) && IsDigit(b[i]) {
		if x < maxExponent {
			x = x*10 + int(b[i]-'0')
		}
		i++
	}
	if neg {
		x = -x
	}
	return x, i, i > first
}

// rescan sets mant, exp and cut from a literal without sign and exponent that
// has more digits than a uint64 holds for sure.
func (d *Decimal) rescan(lit []byte) {
	d.mant, d.Exp = 0, 0
	kept, point := 0, false
	for _, c := range lit {
		if c == '.' {
			point = true
			continue
		}
		switch {
		case kept == 0 && c == '0':
		case kept < 19:
			d.mant = d.mant*10 + uint64(c-'0')
			kept++
		default:
			d.cut = d.cut || c != '0'
			if !point {
				d.Exp++
			}
			continue
		}
		if point {
			d.Exp--
		}
	}
}

// IsDigit tells whether c is a decimal digit.
func IsDigit(c byte) bool { return c-'0' <= 9 }

// eightDigits reports whether all eight bytes of w are ASCII digits.
func eightDigits(w uint64) bool {
	return w&0xf0f0f0f0f0f0f0f0|(w+0x0606060606060606)&0xf0f0f0f0f0f0f0f0>>4 == 0x3333333333333333
}

// eightDigitValue turns eight ASCII digits, the first in the lowest byte, into
// their value by adding neighbours pairwise: digits, then pairs, then fours.
func eightDigitValue(w uint64) uint64 {
	w = (w & 0x0f0f0f0f0f0f0f0f) * (10<<8 + 1) >> 8
	w = (w & 0x00ff00ff00ff00ff) * (100<<16 + 1) >> 16
	return (w & 0x0000ffff0000ffff) * (10000<<32 + 1) >> 32
}

// ScanInteger reads one integer literal. A fraction or an exponent is refused
// even where the value would be whole (1.0, 1e2), as encoding/json refuses it.
// With numRange the end is still the literal's.
func ScanInteger(b []byte, i int) (mag uint64, neg bool, end int, e NumErr) {
	if i < len(b) && b[i] == '-' {
		neg = true
		i++
	}
	first := i
	for i < len(b) && IsDigit(b[i]) {
		mag = mag*10 + uint64(b[i]-'0')
		i++
	}
	digits := i - first
	if digits == 0 {
		return 0, neg, i, NumSyntax
	}
	if b[first] == '0' && digits > 1 {
		return 0, neg, first + 1, NumSyntax
	}
	if i < len(b) && (b[i] == '.' || b[i]|0x20 == 'e') {
		if _, end, e = ScanDecimal(b, first); e != NumOK {
			return 0, neg, end, e
		}
		return 0, neg, end, NumInteger
	}
	if digits > 19 {
		mag, e = wideInteger(b[first:i])
	}
	return mag, neg, i, e
}

// wideInteger reads 20 digits or more, which may or may not fit 64 bits.
func wideInteger(lit []byte) (mag uint64, e NumErr) {
	for _, c := range lit {
		hi, lo := bits.Mul64(mag, 10)
		sum, carry := bits.Add64(lo, uint64(c-'0'), 0)
		if hi != 0 || carry != 0 {
			return 0, NumRange
		}
		mag = sum
	}
	return mag, NumOK
}

// signedInteger reads an integer of the given width (8 to 64 bits).
func signedInteger(b []byte, i int, width uint) (v int64, end int, e NumErr) {
	mag, neg, end, e := ScanInteger(b, i)
	if e != NumOK {
		return 0, end, e
	}
	limit := uint64(1) << (width - 1)
	if neg {
		if mag > limit {
			return 0, end, NumRange
		}
		return -int64(mag), end, NumOK
	}
	if mag >= limit {
		return 0, end, NumRange
	}
	return int64(mag), end, NumOK
}

// unsignedInteger reads an unsigned integer of the given width. A sign is out of
// range, that of -0 too.
func unsignedInteger(b []byte, i int, width uint) (v uint64, end int, e NumErr) {
	mag, neg, end, e := ScanInteger(b, i)
	if e == NumOK && (neg || width < 64 && mag>>width != 0) {
		e = NumRange
	}
	return mag, end, e
}
