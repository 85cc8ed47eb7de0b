package kserve

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// A numErr is the reason why a number could not be taken. It is an enum and
// not an error because the caller knows the element's index and words the text.
type numErr uint8

const (
	numOK      numErr = iota
	numSyntax         // not a JSON number
	numRange          // outside the data type's range
	numInteger        // has a fraction or an exponent, but the data type is an integer
)

// A decimal is a scanned JSON number: mant * 10^exp, negated by neg. Beyond 19
// significant digits mant holds the first 19 and cut tells that a digit other
// than zero was dropped, so that the true value lies in (mant, mant+1) * 10^exp.
type decimal struct {
	mant uint64
	exp  int
	neg  bool
	cut  bool
}

// maxExponent bounds explicit exponents. It is far above any body's length, so
// that "0.000...1e1000" still cancels, and far below an int's overflow.
const maxExponent = 1 << 40

// scanDecimal reads one number of RFC 8259's grammar at b[i:] and returns where
// it ends. With numSyntax the end is the offending offset.
func scanDecimal(b []byte, i int) (d decimal, end int, e numErr) {
	if i < len(b) && b[i] == '-' {
		d.neg = true
		i++
	}
	first := i
	m := uint64(0)
	for i < len(b) && isDigit(b[i]) {
		m = m*10 + uint64(b[i]-'0')
		i++
	}
	digits := i - first
	if digits == 0 {
		return d, i, numSyntax
	}
	if b[first] == '0' && digits > 1 {
		return d, first + 1, numSyntax
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
		for i < len(b) && isDigit(b[i]) {
			m = m*10 + uint64(b[i]-'0')
			i++
		}
		if i == frac {
			return d, i, numSyntax
		}
		d.exp = frac - i
		digits += i - frac
	}
	d.mant = m
	if digits > 19 {
		d.rescan(b[first:i])
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		x, at, ok := scanExponent(b, i+1)
		if !ok {
			return d, at, numSyntax
		}
		d.exp += x
		i = at
	}
	return d, i, numOK
}

// scanExponent reads what follows the letter e.
func scanExponent(b []byte, i int) (x, end int, ok bool) {
	neg := false
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		neg = b[i] == '-'
		i++
	}
	first := i
	for i < len(b) && isDigit(b[i]) {
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
func (d *decimal) rescan(lit []byte) {
	d.mant, d.exp = 0, 0
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
				d.exp++
			}
			continue
		}
		if point {
			d.exp--
		}
	}
}

func isDigit(c byte) bool { return c-'0' <= 9 }

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

// powersOfTen are those that a float64 holds exactly.
var powersOfTen = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// near returns |d| as a float64 that is at most two units in the last place off.
// The conversion of mant, the dropped digits and the one multiplication or
// division each cost less than half a unit or so. ok is false where a single
// exact power of ten does not reach.
func (d decimal) near() (f float64, ok bool) {
	switch {
	case d.exp == 0:
		return float64(d.mant), true
	case d.exp < 0 && d.exp >= -22:
		return float64(d.mant) / powersOfTen[-d.exp], true
	case d.exp > 0 && d.exp <= 22:
		return float64(d.mant) * powersOfTen[d.exp], true
	}
	return 0, false
}

// doubt is how close to the middle between two neighbours of a narrower type
// near's result may come before the digits themselves must decide. It is four
// times the error that near can have.
const doubt = 8

// float64 returns the float64 nearest to d. lit is the literal.
func (d decimal) float64(lit []byte) (float64, bool) {
	if d.mant < 1<<53 && !d.cut {
		// Both operands are exact, so the one operation rounds correctly.
		if f, ok := d.near(); ok {
			return signed(f, d.neg), true
		}
	}
	return slowFloat(lit, 64)
}

// float32 returns the float32 nearest to d, rounded once: a float64 in between
// decides everything but the values beside a middle of two float32s.
func (d decimal) float32(lit []byte) (float32, bool) {
	f, ok := d.near()
	if ok && f >= 0x1p-126 && f <= math.MaxFloat32 {
		const half = 1 << 28
		rest := math.Float64bits(f) & (half<<1 - 1)
		exact := d.exp == 0 && d.mant < 1<<53 && !d.cut
		if rest-half+doubt > 2*doubt || exact {
			return float32(signed(f, d.neg)), true
		}
	}
	if d.mant == 0 {
		return float32(signed(0, d.neg)), true
	}
	f, ok = slowFloat(lit, 32)
	return float32(f), ok
}

func signed(f float64, neg bool) float64 {
	if neg {
		return -f
	}
	return f
}

// slowFloat asks strconv, which allocates only for its error.
func slowFloat(lit []byte, size int) (float64, bool) {
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(lit), len(lit)), size)
	return f, err == nil
}

// A narrow describes a 16-bit float: its significant bits, the implicit one
// included, and the exponent of its smallest normal value.
type narrow struct {
	prec int
	emin int
}

var (
	fp16 = narrow{prec: 11, emin: -14}
	bf16 = narrow{prec: 8, emin: -126}
)

// infinity is the pattern of +Inf, which is also the first one out of range.
func (t narrow) infinity() uint16 { return uint16(1<<15 - 1<<(t.prec-1)) }

// round returns the pattern of t nearest to f >= 0, ties to even, and how far
// the dropped bits lie above (or, wrapped, below) the middle. drop is never
// under 42 for t, and one above 55 leaves nothing.
func (t narrow) round(f float64) (pattern uint16, above uint64) {
	if f == 0 {
		return 0, math.MaxUint64 / 2
	}
	b := math.Float64bits(f)
	e := int(b>>52) - 1023
	mant := b&(1<<52-1) | 1<<52
	drop := 53 - t.prec
	normal := e >= t.emin
	if !normal {
		drop += t.emin - e
	}
	if drop > 55 {
		return 0, math.MaxUint64 / 2
	}
	if e > 128 {
		return t.infinity(), math.MaxUint64 / 2
	}
	half := uint64(1) << (drop - 1)
	rest := mant & (half<<1 - 1)
	n := mant >> drop
	if normal {
		n += uint64(e-t.emin) << (t.prec - 1)
	}
	if n >= uint64(t.infinity()) {
		return t.infinity(), math.MaxUint64 / 2
	}
	if rest > half || rest == half && n&1 == 1 {
		n++
	}
	return uint16(n), rest - half
}

// sixteen returns the pattern of t nearest to d, rounded once from the decimal.
func (d decimal) sixteen(lit []byte, t narrow) (uint16, bool) {
	n, ok := uint16(0), false
	if f, in := d.near(); in {
		var above uint64
		n, above = t.round(f)
		ok = above+doubt > 2*doubt || d.exp == 0 && d.mant < 1<<53 && !d.cut
	}
	if !ok && d.mant != 0 {
		f, in := slowFloat(lit, 64)
		if !in {
			return 0, false
		}
		n = t.decide(math.Abs(f), lit)
	}
	if n >= t.infinity() {
		return 0, false
	}
	if d.neg {
		n |= 1 << 15
	}
	return n, true
}

// decide rounds f, the float64 nearest to lit. Where f is a middle of two values
// of t, the literal may still lie on either side of it and is compared exactly.
func (t narrow) decide(f float64, lit []byte) uint16 {
	n, above := t.round(f)
	if above != 0 {
		return n
	}
	down := n
	if up, _ := t.round(math.Nextafter(f, math.Inf(1))); up == n {
		down = n - 1
	}
	switch compareMagnitude(lit, f) {
	case -1:
		return down
	case 1:
		return down + 1
	}
	return n
}

// compareMagnitude compares the magnitude of the literal with f > 0, which must
// be a middle of two 16-bit floats: none has over 100 significant digits.
func compareMagnitude(lit []byte, f float64) int {
	var buf [160]byte
	want := strconv.AppendFloat(buf[:0], f, 'e', 128, 64)
	digits, exp, _ := splitExponent(want)
	got, gotExp, _ := splitExponent(lit)
	g := digitReader{lit: got, exp: gotExp}
	w := digitReader{lit: digits, exp: exp}
	g.start()
	w.start()
	if g.exp != w.exp {
		if g.exp < w.exp {
			return -1
		}
		return 1
	}
	for !g.done() || !w.done() {
		if a, b := g.next(), w.next(); a != b {
			if a < b {
				return -1
			}
			return 1
		}
	}
	return 0
}

// splitExponent parts a valid literal into what stands before the letter e, the
// sign gone, and the exponent.
func splitExponent(lit []byte) (rest []byte, exp int, ok bool) {
	if lit[0] == '-' {
		lit = lit[1:]
	}
	for i, c := range lit {
		if c|0x20 == 'e' {
			exp, _, ok = scanExponent(lit, i+1)
			return lit[:i], exp, ok
		}
	}
	return lit, 0, true
}

// A digitReader yields the significant digits of a literal, then zeros. After
// start, exp is the exponent of the first one.
type digitReader struct {
	lit []byte
	exp int
	pos int
}

func (r *digitReader) start() {
	point := len(r.lit)
	for i, c := range r.lit {
		if c == '.' {
			point = i
			break
		}
	}
	for r.pos < len(r.lit) && (r.lit[r.pos] == '0' || r.lit[r.pos] == '.') {
		r.pos++
	}
	if r.pos < point {
		r.exp += point - r.pos - 1
	} else {
		r.exp -= r.pos - point
	}
}

func (r *digitReader) done() bool { return r.pos >= len(r.lit) }

func (r *digitReader) next() byte {
	if !r.done() && r.lit[r.pos] == '.' {
		r.pos++
	}
	if r.done() {
		return '0'
	}
	r.pos++
	return r.lit[r.pos-1]
}

// scanInteger reads one integer literal. A fraction or an exponent is refused
// even where the value would be whole (1.0, 1e2), as encoding/json refuses it.
// With numRange the end is still the literal's.
func scanInteger(b []byte, i int) (mag uint64, neg bool, end int, e numErr) {
	if i < len(b) && b[i] == '-' {
		neg = true
		i++
	}
	first := i
	for i < len(b) && isDigit(b[i]) {
		mag = mag*10 + uint64(b[i]-'0')
		i++
	}
	digits := i - first
	if digits == 0 {
		return 0, neg, i, numSyntax
	}
	if b[first] == '0' && digits > 1 {
		return 0, neg, first + 1, numSyntax
	}
	if i < len(b) && (b[i] == '.' || b[i]|0x20 == 'e') {
		if _, end, e = scanDecimal(b, first); e != numOK {
			return 0, neg, end, e
		}
		return 0, neg, end, numInteger
	}
	if digits > 19 {
		mag, e = wideInteger(b[first:i])
	}
	return mag, neg, i, e
}

// wideInteger reads 20 digits or more, which may or may not fit 64 bits.
func wideInteger(lit []byte) (mag uint64, e numErr) {
	for _, c := range lit {
		hi, lo := bits.Mul64(mag, 10)
		sum, carry := bits.Add64(lo, uint64(c-'0'), 0)
		if hi != 0 || carry != 0 {
			return 0, numRange
		}
		mag = sum
	}
	return mag, numOK
}

// signedInteger reads an integer of the given width (8 to 64 bits).
func signedInteger(b []byte, i int, width uint) (v int64, end int, e numErr) {
	mag, neg, end, e := scanInteger(b, i)
	if e != numOK {
		return 0, end, e
	}
	limit := uint64(1) << (width - 1)
	if neg {
		if mag > limit {
			return 0, end, numRange
		}
		return -int64(mag), end, numOK
	}
	if mag >= limit {
		return 0, end, numRange
	}
	return int64(mag), end, numOK
}

// unsignedInteger reads an unsigned integer of the given width. A sign is out of
// range, that of -0 too.
func unsignedInteger(b []byte, i int, width uint) (v uint64, end int, e numErr) {
	mag, neg, end, e := scanInteger(b, i)
	if e == numOK && (neg || width < 64 && mag>>width != 0) {
		e = numRange
	}
	return mag, end, e
}
