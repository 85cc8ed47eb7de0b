package text

import (
	"bytes"
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

// A BadValue says why an element of a tensor was refused.
type BadValue uint8

const (
	ValueOK      BadValue = iota
	ValueKind             // another kind of JSON value than the data type takes
	ValueRange            // out of range
	ValueInteger          // a fraction or an exponent where an integer is due
	ValueExcess           // more elements than the shape has
)

// Elements reads an array of scalars, nested as the client likes, into dst, which holds the tensor of
// fixed-size elements that the shape promises. It returns the number of elements read. With a badValue,
// s.i is at the element; a document that is no JSON is a fault of s.
func (s *Scanner) Elements(d tensor.DType, dst []byte) (n int, bad BadValue) {
	if !s.Open('[') {
		return 0, ValueOK
	}
	base := s.depth - 1
	for s.depth > base {
		if !s.More() {
			if s.Failed() {
				return n, ValueOK
			}
			continue
		}
		if s.Text[s.Pos] == '[' {
			s.Open('[')
			continue
		}
		n, bad = s.Run(d, dst, n)
		if bad != ValueOK || s.Failed() {
			return n, bad
		}
	}
	return n, ValueOK
}

// Run reads scalars separated by commas from the element at s.i on, up to one that is an array or the
// array's end. This is the loop in which a JSON request spends its time.
func (s *Scanner) Run(d tensor.DType, dst []byte, n int) (int, BadValue) {
	b, i := s.Text, s.Pos
	size := d.Size()
	for {
		if (n+1)*size > len(dst) {
			s.Pos = i
			if !s.Skip() {
				return n, ValueOK
			}
			s.Pos = i
			return n, ValueExcess
		}
		end, e := element(d, dst[n*size:], b, i)
		if e != NumOK && s.null(d, dst[n*size:], i) {
			end, e = i+len(null), NumOK
		}
		if e != NumOK {
			s.Pos = i
			return n, s.refuse(e)
		}
		i = end
		n++
		for i < len(b) && isSpace(b[i]) {
			i++
		}
		s.Pos = i
		if i >= len(b) || b[i] != ',' {
			return n, ValueOK
		}
		i++
		for i < len(b) && isSpace(b[i]) {
			i++
		}
		if i >= len(b) || b[i] == '[' || b[i] == ']' {
			return n, ValueOK
		}
	}
}

// Element reads the scalar at s.i, which stands by itself, to dst.
func (s *Scanner) Element(d tensor.DType, dst []byte) BadValue {
	s.Peek()
	end, e := element(d, dst, s.Text, s.Pos)
	if e != NumOK && s.null(d, dst, s.Pos) {
		end, e = s.Pos+len(null), NumOK
	}
	if e != NumOK {
		return s.refuse(e)
	}
	s.Pos = end
	return ValueOK
}

// refuse tells an element that is JSON, but not what the data type takes, from broken JSON.
func (s *Scanner) refuse(e NumErr) BadValue {
	switch e {
	case NumRange:
		return ValueRange
	case NumInteger:
		return ValueInteger
	}
	at := s.Pos
	if s.Skip(); s.Failed() {
		return ValueOK
	}
	s.Pos = at
	return ValueKind
}

const null = "null"

// null writes a NaN to dst if null stands at a place of the text, and for that.
func (s *Scanner) null(d tensor.DType, dst []byte, at int) bool {
	b := s.Text[at:]
	if !s.NullNaN || len(b) < len(null) || string(b[:len(null)]) != null {
		return false
	}
	switch d {
	case tensor.FP32, tensor.FP64, tensor.FP16, tensor.BF16:
		putNonfinite(d, dst, math.NaN())
		return true
	}
	return false
}

// HasNonfinite tells whether the text of numbers, which have been read, has one of the tokens for what is no number of
// JSON's.
func HasNonfinite(b []byte) bool { return bytes.IndexByte(b, 'N') >= 0 || bytes.IndexByte(b, 'I') >= 0 }

func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r') }

// element reads one scalar of type d at b[i:], writes it to dst and returns where it ends.
func element(d tensor.DType, dst, b []byte, i int) (end int, e NumErr) {
	switch d {
	case tensor.FP32, tensor.FP64, tensor.FP16, tensor.BF16:
		return float(d, dst, b, i)
	case tensor.Bool:
		switch {
		case len(b)-i >= 4 && string(b[i:i+4]) == "true":
			dst[0] = 1
			return i + 4, NumOK
		case len(b)-i >= 5 && string(b[i:i+5]) == "false":
			dst[0] = 0
			return i + 5, NumOK
		}
		return i, NumSyntax
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		v, end, e := signedInteger(b, i, uint(8*d.Size()))
		tensor.PutInteger(dst, d.Size(), uint64(v))
		return end, e
	}
	v, end, e := unsignedInteger(b, i, uint(8*d.Size()))
	tensor.PutInteger(dst, d.Size(), v)
	return end, e
}

// float reads one floating-point number.
func float(d tensor.DType, dst, b []byte, i int) (end int, e NumErr) {
	num, end, e := ScanDecimal(b, i)
	if e != NumOK {
		f, n := nonfinite(b[i:])
		if n == 0 {
			return end, e
		}
		putNonfinite(d, dst, f)
		return i + n, NumOK
	}
	ok := false
	switch lit := b[i:end]; d {
	case tensor.FP32:
		var f float32
		f, ok = num.float32(lit)
		binary.LittleEndian.PutUint32(dst, math.Float32bits(f))
	case tensor.FP64:
		var f float64
		f, ok = num.Float64(lit)
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
		return end, NumRange
	}
	return end, NumOK
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

// TextSize reads an array of strings, nested as the client likes, and returns how many there are and the
// bytes that they take as BYTES elements, each behind its length.
func (s *Scanner) TextSize() (n, size int, bad BadValue) {
	if !s.Open('[') {
		return 0, 0, ValueOK
	}
	base := s.depth - 1
	for s.depth > base {
		if !s.More() {
			if s.Failed() {
				return n, size, ValueOK
			}
			continue
		}
		switch s.Text[s.Pos] {
		case '[':
			s.Open('[')
			continue
		case '"':
		default:
			at := s.Pos
			if s.Skip(); !s.Failed() {
				s.Pos = at
				bad = ValueKind
			}
			return n, size, bad
		}
		from, to, escaped, ok := s.Quoted()
		if !ok {
			return n, size, ValueOK
		}
		size += 4 + to - from
		if escaped {
			size -= Shrink(s.Text[from:to])
		}
		n++
	}
	return n, size, ValueOK
}

// Shrink returns by how many bytes a checked string gets shorter without its escapes.
func Shrink(b []byte) int {
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

// Texts writes the strings of a range that textSize has read to dst, each behind its length.
func Texts(dst, b []byte) []byte {
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
			dst = Unescape(dst, b[from:i])
		} else {
			dst = append(dst, b[from:i]...)
		}
		binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst
}
