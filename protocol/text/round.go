package text

import (
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// A format is a binary floating-point type: its significant bits, the implicit one included, and the
// exponent of its smallest normal value.
type format struct {
	prec int
	emin int
}

var (
	fp64 = format{prec: 53, emin: -1022}
	fp32 = format{prec: 24, emin: -126}
	fp16 = format{prec: 11, emin: -14}
	bf16 = format{prec: 8, emin: -126}
)

// infinity is the pattern of +Inf, which is also the first one out of range.
func (t format) infinity() uint64 { return uint64(3-2*t.emin) << (t.prec - 1) }

// round returns the pattern of t nearest to q * 2^x, ties to even. q is not 0 and has more bits than t.
// side tells where the true value lies: a little above (1) or below (-1) q * 2^x, or just there (0).
func (t format) round(q uint64, x, side int) uint64 {
	e := x + bits.Len64(q) - 1
	drop := bits.Len64(q) - t.prec
	normal := e >= t.emin
	if !normal {
		drop += t.emin - e
	}
	if drop > 64 {
		return 0
	}
	n := q >> drop
	half := uint64(1) << (drop - 1)
	rest := q & (half<<1 - 1)
	if rest > half || rest == half && (side > 0 || side == 0 && n&1 == 1) {
		n++
	}
	if normal {
		n += uint64(e-t.emin) << (t.prec - 1)
	}
	return min(n, t.infinity())
}

// powersOfFive are those that fit 64 bits.
var powersOfFive = [...]uint64{
	1, 5, 25, 125, 625, 3125, 15625, 78125, 390625, 1953125, 9765625, 48828125, 244140625, 1220703125,
	6103515625, 30517578125, 152587890625, 762939453125, 3814697265625, 19073486328125, 95367431640625,
	476837158203125, 2384185791015625, 11920928955078125, 59604644775390625, 298023223876953125,
	1490116119384765625, 7450580596923828125,
}

// scale returns mant * 10^exp as (q + r) * 2^x, where q has 62 bits or more, 0 <= r < 1, and more tells
// that r is not 0. mant is not 0 and exp within the powers of five.
func scale(mant uint64, exp int) (q uint64, x int, more bool) {
	shift := bits.LeadingZeros64(mant)
	mant <<= shift
	five := powersOfFive[max(exp, -exp)]
	lift := bits.LeadingZeros64(five)
	five <<= lift
	if exp < 0 {
		// mant/2 < five, as Div64 demands; the quotient is mant * 2^63 / five.
		q, rest := bits.Div64(mant>>1, mant<<63, five)
		return q, exp + lift - shift - 63, rest != 0
	}
	q, rest := bits.Mul64(mant, five)
	return q, exp - lift - shift + 64, rest != 0
}

// nearest returns the pattern of t nearest to |d|, rounded once. ok is false where 128 bits of
// arithmetic do not settle it. The pattern of infinity means out of range.
func (d Decimal) nearest(t format) (pattern uint64, ok bool) {
	if d.mant == 0 {
		return 0, true
	}
	if max(d.Exp, -d.Exp) >= len(powersOfFive) {
		return 0, false
	}
	side := 0
	q, x, more := scale(d.mant, d.Exp)
	if more {
		side = 1
	}
	pattern = t.round(q, x, side)
	if !d.cut {
		return pattern, true
	}
	// The true value lies between this and the next mantissa: enough, if both round alike.
	q, x, more = scale(d.mant+1, d.Exp)
	if side = 0; more {
		side = 1
	}
	return pattern, pattern == t.round(q, x, side)
}

// powersOfTen are those that a float64 holds exactly.
var powersOfTen = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// near returns |d| as a float64 that is at most two units in the last place off: the conversion of mant,
// the dropped digits and the one multiplication or division each cost half a unit or less. If mant has 53
// bits at most and none was dropped, all but the one operation is exact, and the result is the float64
// nearest to |d|. ok is false where a single power of ten does not reach.
func (d Decimal) near() (f float64, ok bool) {
	switch {
	case d.Exp == 0:
		return float64(d.mant), true
	case d.Exp < 0 && d.Exp >= -22:
		return float64(d.mant) / powersOfTen[-d.Exp], true
	case d.Exp > 0 && d.Exp <= 22:
		return float64(d.mant) * powersOfTen[d.Exp], true
	}
	return 0, false
}

// Float64 returns the float64 nearest to d. lit is the literal.
func (d Decimal) Float64(lit []byte) (float64, bool) {
	if d.mant < 1<<53 && !d.cut {
		if f, ok := d.near(); ok {
			return signed(f, d.neg), true
		}
	}
	if p, ok := d.nearest(fp64); ok {
		return signed(math.Float64frombits(p), d.neg), p < fp64.infinity()
	}
	return slowFloat(lit, 64)
}

// float32 returns the float32 nearest to d, rounded once. A float64 in between settles everything but
// the values beside a middle of two float32s; doubt is four times the error that it can have.
func (d Decimal) float32(lit []byte) (float32, bool) {
	const half, doubt = 1 << 28, 8
	if f, ok := d.near(); ok && f >= 0x1p-126 && f <= math.MaxFloat32 {
		if rest := math.Float64bits(f) & (half<<1 - 1); rest-half+doubt > 2*doubt {
			return float32(signed(f, d.neg)), true
		}
	}
	if p, ok := d.nearest(fp32); ok {
		return float32(signed(float64(math.Float32frombits(uint32(p))), d.neg)), p < fp32.infinity()
	}
	f, ok := slowFloat(lit, 32)
	return float32(f), ok
}

func signed(f float64, neg bool) float64 {
	if neg {
		return -f
	}
	return f
}

// slowFloat asks strconv, which allocates only for its error. lit is not zero.
func slowFloat(lit []byte, size int) (float64, bool) {
	var buf [maxDigits + 64]byte
	if len(lit) > maxDigits {
		lit = shorten(buf[:0], lit)
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(lit), len(lit)), size)
	return f, err == nil
}

// maxDigits is more than any middle of two float64s has. Up to go1.26, strconv takes a literal of more
// than 800 digits and no point for one of 800 digits, which is smaller by powers of ten.
const maxDigits = 780

// shorten appends a literal of the same rounding that has at most maxDigits digits and one that stands for
// all that were dropped.
func shorten(dst, lit []byte) []byte {
	if lit[0] == '-' {
		dst = append(dst, '-')
	}
	digits, exp, _ := splitExponent(lit)
	r := digitReader{lit: digits, exp: exp}
	r.start()
	dst = append(dst, r.next(), '.')
	for range maxDigits - 1 {
		dst = append(dst, r.next())
	}
	for !r.done() {
		if r.next() != '0' {
			dst = append(dst, '1')
			break
		}
	}
	return strconv.AppendInt(append(dst, 'e'), int64(r.exp), 10)
}

// sixteen returns the pattern of t, a 16-bit type, nearest to d, rounded once.
func (d Decimal) sixteen(lit []byte, t format) (uint16, bool) {
	p, ok := d.nearest(t)
	if !ok {
		f, in := slowFloat(lit, 64)
		if !in {
			return 0, false
		}
		p = t.narrow(math.Abs(f), lit)
	}
	if p >= t.infinity() {
		return 0, false
	}
	if d.neg {
		p |= 1 << 15
	}
	return uint16(p), true
}

// narrow rounds f, the float64 nearest to lit. Where f is a middle of two values of t, the literal may
// still lie on either side of it and is compared digit by digit.
func (t format) narrow(f float64, lit []byte) uint64 {
	b := math.Float64bits(f)
	if b>>52 == 0 {
		return 0 // zero, or far below what 16 bits hold
	}
	q, x := b&(1<<52-1)|1<<52, int(b>>52)-1075
	low, high := t.round(q, x, -1), t.round(q, x, 1)
	if low == high {
		return low
	}
	return t.round(q, x, compareMagnitude(lit, f))
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
