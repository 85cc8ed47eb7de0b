package text

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/sluice-serving/sluice/tensor"
)

// Infinite is what is wrong with numbers that JSON has no form for, and null does not stand for.
const Infinite = "holds an infinity"

// NullElements is [Writer.Elements] for readers who keep to JSON: NaN becomes null, which they read as NaN.
func (w *Writer) NullElements(r *Reader, d tensor.DType, n int64) string {
	if d != tensor.FP32 && d != tensor.FP64 {
		return w.Elements(r, d, n)
	}
	for i := range n {
		b := r.Fixed(d.Size())
		if b == nil {
			return Broken
		}
		var f float64
		if d == tensor.FP32 {
			f = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		} else {
			f = math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
		w.Room(MaxNumber + 1)
		if i > 0 {
			w.Buf = append(w.Buf, ',')
		}
		switch {
		case f != f:
			w.Buf = append(w.Buf, "null"...)
		case math.IsInf(f, 0):
			return Infinite
		default:
			w.Buf = AppendFloat(w.Buf, f, 8*d.Size())
		}
	}
	return ""
}

const NotText = "holds bytes that are not UTF-8: request it as binary data"

// Elements writes the next n elements of type d that r has, with commas between. It returns what is wrong with them,
// if anything is.
func (w *Writer) Elements(r *Reader, d tensor.DType, n int64) string {
	if d == tensor.Bytes {
		return w.texts(r, n)
	}
	size := d.Size()
	for i := range n {
		b := r.Fixed(size)
		if b == nil {
			return Broken
		}
		w.Room(MaxNumber + 1)
		if i > 0 {
			w.Buf = append(w.Buf, ',')
		}
		w.Buf = AppendElement(w.Buf, d, b)
	}
	return ""
}

// MaxNumber is the length of the longest number that appendElement writes.
const MaxNumber = 32

// AppendElement writes the element of type d that b holds.
func AppendElement(dst []byte, d tensor.DType, b []byte) []byte {
	le := binary.LittleEndian
	switch d {
	case tensor.FP32:
		return AppendFloat(dst, float64(math.Float32frombits(le.Uint32(b))), 32)
	case tensor.FP64:
		return AppendFloat(dst, math.Float64frombits(le.Uint64(b)), 64)
	case tensor.FP16:
		return AppendFloat(dst, float64(HalfToFloat(le.Uint16(b))), 32)
	case tensor.BF16:
		return AppendFloat(dst, float64(BrainToFloat(le.Uint16(b))), 32)
	case tensor.Bool:
		return strconv.AppendBool(dst, b[0] != 0)
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		return strconv.AppendInt(dst, GetSigned(b), 10)
	}
	return strconv.AppendUint(dst, GetUnsigned(b), 10)
}

// GetUnsigned returns the number that an element of b's size is.
func GetUnsigned(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

// GetSigned returns the number that an element of b's size is, which has a sign.
func GetSigned(b []byte) int64 {
	shift := 64 - 8*len(b)
	return int64(GetUnsigned(b)) << shift >> shift
}

// texts writes BYTES elements as strings.
func (w *Writer) texts(r *Reader, n int64) string {
	for i := range n {
		size, ok := r.Prefix()
		if !ok {
			return Broken
		}
		w.Room(2)
		if i > 0 {
			w.Buf = append(w.Buf, ',')
		}
		w.Buf = append(w.Buf, '"')
		if what := w.runes(r, size); what != "" {
			return what
		}
		w.Room(1)
		w.Buf = append(w.Buf, '"')
	}
	return ""
}

// textChunk is how much of a string is written at a time: an escape takes up to six times its byte.
const textChunk = 4 << 10

// runes writes the text of one BYTES element of size bytes. A rune may straddle two views, so its first
// bytes wait in held for the others.
func (w *Writer) runes(r *Reader, size int) string {
	var held [utf8.UTFMax]byte
	kept := 0
	for size > 0 {
		if kept > 0 {
			b := r.Some(1)
			if b == nil {
				return Broken
			}
			held[kept] = b[0]
			kept, size = kept+1, size-1
			if utf8.FullRune(held[:kept]) {
				if !utf8.Valid(held[:kept]) {
					return NotText
				}
				w.Room(kept)
				w.Buf = append(w.Buf, held[:kept]...)
				kept = 0
			}
			continue
		}
		b := r.Some(min(size, textChunk))
		if b == nil {
			return Broken
		}
		size -= len(b)
		whole := len(b) - partialRune(b)
		if !utf8.Valid(b[:whole]) {
			return NotText
		}
		w.Room(6*whole + 2)
		w.Buf = AppendEscaped(w.Buf, b[:whole])
		kept = copy(held[:], b[whole:])
	}
	if kept > 0 {
		return NotText
	}
	return ""
}

// partialRune returns how many bytes at the end of b begin a rune that is not whole.
func partialRune(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if utf8.FullRune(b[len(b)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}

const Broken = "has data that does not agree with its shape"
