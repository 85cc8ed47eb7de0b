package hpack

import "errors"

// codeLengths holds the lengths of the codes of RFC 7541, appendix B, by symbol; the code of the end of the
// string, which may not occur, is the last of 30 bits. The codes are canonical: in the order of length, then
// symbol, each is the one before plus one. The lengths are therefore all there is to know.
var codeLengths = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

const (
	minCode  = 5
	maxCode  = 30
	fastBits = 10 // codes up to this length take one look-up; digits and letters have 5 to 8
)

// codeTable is what decoding looks up.
type codeTable struct {
	// fast maps the next fastBits bits to symbol<<8 | length; length 0: the code is longer.
	fast [1 << fastBits]uint16
	// For each length: the codes of it, left-aligned to 32 bits, lie below end; the first one is first,
	// and its symbol is symbols[offset].
	end     [maxCode + 1]uint64
	first   [maxCode + 1]uint32
	offset  [maxCode + 1]uint16
	symbols [256]uint8
}

// codes is built from codeLengths and never written after.
var codes = newCodeTable()

func newCodeTable() *codeTable {
	t := &codeTable{}
	code, n := uint32(0), 0
	for length := minCode; length <= maxCode; length++ {
		t.first[length] = code << (32 - length)
		t.offset[length] = uint16(n)
		for sym, l := range codeLengths {
			if int(l) != length {
				continue
			}
			t.symbols[n] = uint8(sym)
			n++
			if length <= fastBits {
				at := code << (fastBits - length)
				for i := range uint32(1) << (fastBits - length) {
					t.fast[at+i] = uint16(sym)<<8 | uint16(length)
				}
			}
			code++
		}
		t.end[length] = uint64(code) << (32 - length)
		code <<= 1
	}
	return t
}

var errHuffman = errors.New("hpack: a string is not Huffman-coded as it says")

// appendHuffman appends what src encodes to dst, at most limit bytes of it.
func appendHuffman(dst, src []byte, limit int) ([]byte, error) {
	var acc uint64 // bits not yet decoded, left-aligned
	bits := 0
	room := limit
	for {
		for bits <= 56 && len(src) > 0 {
			acc |= uint64(src[0]) << (56 - bits)
			src = src[1:]
			bits += 8
		}
		if bits < minCode {
			break
		}
		e := codes.fast[acc>>(64-fastBits)]
		length, sym := int(e&0xff), uint8(e>>8)
		if length == 0 {
			if length, sym = codes.long(uint32(acc >> 32)); length == 0 && bits >= maxCode {
				return dst, errHuffman // the end of the string, spelled out
			}
		}
		if length == 0 || length > bits {
			break
		}
		if room--; room < 0 {
			return dst, errTooLong
		}
		dst = append(dst, sym)
		acc <<= length
		bits -= length
	}
	// What is left pads the last byte: fewer than eight bits, all ones.
	if bits > 7 || bits > 0 && acc != ^uint64(0)<<(64-bits) {
		return dst, errHuffman
	}
	return dst, nil
}

// long finds the code at the start of a window of 32 bits that is longer than fastBits.
func (t *codeTable) long(window uint32) (length int, sym uint8) {
	for l := fastBits + 1; l <= maxCode; l++ {
		if uint64(window) < t.end[l] {
			i := int(t.offset[l]) + int((window-t.first[l])>>(32-l))
			return l, t.symbols[i]
		}
	}
	return 0, 0
}
