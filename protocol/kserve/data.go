package kserve

import (
	"encoding/binary"
	"math"

	"github.com/sluice-serving/sluice/tensor"
)

// nonfinite reads one of the tokens that Triton takes for numbers that JSON has no form for, and returns
// its length, or 0.
func nonfinite(b []byte) (f float64, n int) {
	for _, t := range [...]struct {
		token string
		sign  int
	}{{"NaN", 0}, {"Infinity", 1}, {"-Infinity", -1}} {
		if len(b) < len(t.token) || string(b[:len(t.token)]) != t.token {
			continue
		}
		if t.sign == 0 {
			return math.NaN(), len(t.token)
		}
		return math.Inf(t.sign), len(t.token)
	}
	return 0, 0
}

// A badValue says why an element of a tensor was refused.
type badValue uint8

const (
	valueOK      badValue = iota
	valueKind             // another kind of JSON value than the data type takes
	valueRange            // out of range
	valueInteger          // a fraction or an exponent where an integer is due
	valueExcess           // more elements than the shape has
)

// elements reads an array of scalars, nested as the client likes, into dst, which holds the tensor of
// fixed-size elements that the shape promises. It returns the number of elements read. With a badValue,
// s.i is at the element; a document that is no JSON is a fault of s.
func (s *scanner) elements(d tensor.DType, dst []byte) (n int, bad badValue) {
	if !s.open('[') {
		return 0, valueOK
	}
	base := s.depth - 1
	for s.depth > base {
		if !s.more() {
			if s.failed() {
				return n, valueOK
			}
			continue
		}
		if s.b[s.i] == '[' {
			s.open('[')
			continue
		}
		n, bad = s.run(d, dst, n)
		if bad != valueOK || s.failed() {
			return n, bad
		}
	}
	return n, valueOK
}

// run reads scalars separated by commas from the element at s.i on, up to one that is an array or the
// array's end. This is the loop in which a JSON request spends its time.
func (s *scanner) run(d tensor.DType, dst []byte, n int) (int, badValue) {
	b, i := s.b, s.i
	size := d.Size()
	for {
		if (n+1)*size > len(dst) {
			s.i = i
			if !s.skip() {
				return n, valueOK
			}
			s.i = i
			return n, valueExcess
		}
		end, e := element(d, dst[n*size:], b, i)
		if e != numOK {
			s.i = i
			return n, s.refuse(e)
		}
		i = end
		n++
		for i < len(b) && isSpace(b[i]) {
			i++
		}
		s.i = i
		if i >= len(b) || b[i] != ',' {
			return n, valueOK
		}
		i++
		for i < len(b) && isSpace(b[i]) {
			i++
		}
		if i >= len(b) || b[i] == '[' || b[i] == ']' {
			return n, valueOK
		}
	}
}

// refuse tells an element that is JSON, but not what the data type takes, from broken JSON.
func (s *scanner) refuse(e numErr) badValue {
	switch e {
	case numRange:
		return valueRange
	case numInteger:
		return valueInteger
	}
	at := s.i
	if s.skip(); s.failed() {
		return valueOK
	}
	s.i = at
	return valueKind
}

func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r') }

// element reads one scalar of type d at b[i:], writes it to dst and returns where it ends.
func element(d tensor.DType, dst, b []byte, i int) (end int, e numErr) {
	switch d {
	case tensor.FP32, tensor.FP64, tensor.FP16, tensor.BF16:
		return float(d, dst, b, i)
	case tensor.Bool:
		switch {
		case len(b)-i >= 4 && string(b[i:i+4]) == "true":
			dst[0] = 1
			return i + 4, numOK
		case len(b)-i >= 5 && string(b[i:i+5]) == "false":
			dst[0] = 0
			return i + 5, numOK
		}
		return i, numSyntax
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		v, end, e := signedInteger(b, i, uint(8*d.Size()))
		putInteger(dst, d.Size(), uint64(v))
		return end, e
	}
	v, end, e := unsignedInteger(b, i, uint(8*d.Size()))
	putInteger(dst, d.Size(), v)
	return end, e
}

func putInteger(dst []byte, size int, v uint64) {
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

// float reads one floating-point number.
func float(d tensor.DType, dst, b []byte, i int) (end int, e numErr) {
	num, end, e := scanDecimal(b, i)
	if e != numOK {
		f, n := nonfinite(b[i:])
		if n == 0 {
			return end, e
		}
		putNonfinite(d, dst, f)
		return i + n, numOK
	}
	ok := false
	switch lit := b[i:end]; d {
	case tensor.FP32:
		var f float32
		f, ok = num.float32(lit)
		binary.LittleEndian.PutUint32(dst, math.Float32bits(f))
	case tensor.FP64:
		var f float64
		f, ok = num.float64(lit)
		binary.LittleEndian.PutUint64(dst, math.Float64bits(f))
	case tensor.FP16:
		var h uint16
		h, ok = num.sixteen(lit, fp16)
		binary.LittleEndian.PutUint16(dst, h)
	default:
		var h uint16
		h, ok = num.sixteen(lit, bf16)
		binary.LittleEndian.PutUint16(dst, h)
	}
	if !ok {
		return end, numRange
	}
	return end, numOK
}

func putNonfinite(d tensor.DType, dst []byte, f float64) {
	switch d {
	case tensor.FP32:
		binary.LittleEndian.PutUint32(dst, math.Float32bits(float32(f)))
	case tensor.FP64:
		binary.LittleEndian.PutUint64(dst, math.Float64bits(f))
	default:
		t := fp16
		if d == tensor.BF16 {
			t = bf16
		}
		h := uint16(t.infinity())
		switch {
		case f != f:
			h |= 1 << (t.prec - 2) // a quiet NaN
		case f < 0:
			h |= 1 << 15
		}
		binary.LittleEndian.PutUint16(dst, h)
	}
}

// textSize reads an array of strings, nested as the client likes, and returns how many there are and the
// bytes that they take as BYTES elements, each behind its length.
func (s *scanner) textSize() (n, size int, bad badValue) {
	if !s.open('[') {
		return 0, 0, valueOK
	}
	base := s.depth - 1
	for s.depth > base {
		if !s.more() {
			if s.failed() {
				return n, size, valueOK
			}
			continue
		}
		switch s.b[s.i] {
		case '[':
			s.open('[')
			continue
		case '"':
		default:
			at := s.i
			if s.skip(); !s.failed() {
				s.i = at
				bad = valueKind
			}
			return n, size, bad
		}
		from, to, escaped, ok := s.quoted()
		if !ok {
			return n, size, valueOK
		}
		size += 4 + to - from
		if escaped {
			size -= shrink(s.b[from:to])
		}
		n++
	}
	return n, size, valueOK
}

// shrink returns by how many bytes a checked string gets shorter without its escapes.
func shrink(b []byte) int {
	saved := 0
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			i++
			continue
		}
		n := escapeLen(b[i:])
		saved += n - 1
		if b[i+1] == 'u' {
			u, _ := hex4(b[i:])
			switch {
			case n == 12:
				saved -= 3
			case u >= 0x800:
				saved -= 2
			case u >= 0x80:
				saved--
			}
		}
		i += n
	}
	return saved
}

// texts writes the strings of a range that textSize has read to dst, each behind its length.
func texts(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] != '"' {
			continue
		}
		at := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		from := i + 1
		escaped := false
		for i = from; b[i] != '"'; i++ {
			if b[i] == '\\' {
				escaped = true
				i++
			}
		}
		if escaped {
			dst = unescape(dst, b[from:i])
		} else {
			dst = append(dst, b[from:i]...)
		}
		binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst
}
