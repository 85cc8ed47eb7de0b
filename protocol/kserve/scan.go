package kserve

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

const (
	// maxDepth bounds how deep arrays and objects nest in a document. Nothing here recurses, so it
	// protects what reads the document after us.
	maxDepth = 100

	// maxMembers bounds the members of one object, and so the parameters of a request. Each key is compared with those before it, which
	// stays below ten nanoseconds a byte for any document with this many.
	maxMembers = 64
)

// A scanner walks a JSON document strictly as RFC 8259 has it, and refuses duplicate keys and text that
// is not UTF-8. The caller descends into what it knows and skips the rest; both ways check everything.
// The first fault sticks: what and at hold it, and every later step fails.
type scanner struct {
	b    []byte
	i    int
	what string
	at   int

	// nonfinite lets skip accept NaN, Infinity and -Infinity as values.
	nonfinite bool

	depth  int
	frames [maxDepth + 1]frame
	keys   [][]byte // of all open objects, outermost first
	text   []byte   // unescaped strings of this document
}

// A frame is an open array or object.
type frame struct {
	object bool
	some   bool // a member or element has been read
	keys   int  // the object's first entry in scanner.keys
}

// keepScratch bounds the scratch memory that a scanner keeps for its next document.
const keepScratch = 16 << 10

func (s *scanner) reset(b []byte) {
	if cap(s.text) > keepScratch || cap(s.keys) > keepScratch/8 {
		s.text, s.keys = nil, nil
	}
	clear(s.keys)
	s.b, s.i, s.what, s.at, s.depth, s.nonfinite = b, 0, "", 0, 0, false
	s.keys, s.text = s.keys[:0], s.text[:0]
}

// fail records the first fault and returns false.
func (s *scanner) fail(at int, what string) bool {
	if s.what == "" {
		s.at, s.what = at, what
	}
	return false
}

func (s *scanner) failed() bool { return s.what != "" }

// peek skips white space and returns the byte there, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// end checks that only white space is left.
func (s *scanner) end() bool {
	if s.peek(); s.i < len(s.b) {
		return s.fail(s.i, "unexpected text after the document")
	}
	return !s.failed()
}

// open enters an object or array, whose first byte c is.
func (s *scanner) open(c byte) bool {
	if s.failed() {
		return false
	}
	if s.peek() != c {
		if c == '{' {
			return s.fail(s.i, "expected an object")
		}
		return s.fail(s.i, "expected an array")
	}
	if s.depth == maxDepth {
		return s.fail(s.i, "nested deeper than 100 levels")
	}
	s.i++
	s.depth++
	s.frames[s.depth] = frame{object: c == '{', keys: len(s.keys)}
	return true
}

// shut leaves the innermost object or array at its last byte.
func (s *scanner) shut() {
	first := s.frames[s.depth].keys
	clear(s.keys[first:])
	s.keys = s.keys[:first]
	s.depth--
	s.i++
}

// key reads the next key of the innermost object and the colon behind it. It returns false behind the
// last one, having left the object, and on a fault.
func (s *scanner) key() (key []byte, ok bool) {
	f := &s.frames[s.depth]
	c := s.peek()
	if s.failed() {
		return nil, false
	}
	switch {
	case c == '}':
		s.shut()
		return nil, false
	case f.some && c != ',':
		return nil, s.fail(s.i, "expected a comma or the end of the object")
	case f.some:
		s.i++
		c = s.peek()
	}
	if c != '"' {
		return nil, s.fail(s.i, "expected a key")
	}
	at := s.i
	f.some = true
	if key, ok = s.string(); !ok {
		return nil, false
	}
	mine := s.keys[f.keys:]
	for _, k := range mine {
		if bytes.Equal(k, key) {
			return nil, s.fail(at, "duplicate key")
		}
	}
	if len(mine) == maxMembers {
		return nil, s.fail(at, "object with more than 64 members")
	}
	s.keys = append(s.keys, key)
	if s.peek() != ':' {
		return nil, s.fail(s.i, "expected a colon")
	}
	s.i++
	return key, true
}

// more moves to the next element of the innermost array. It returns false behind the last one, having
// left the array, and on a fault.
func (s *scanner) more() bool {
	f := &s.frames[s.depth]
	c := s.peek()
	switch {
	case s.failed():
		return false
	case c == ']':
		s.shut()
		return false
	case f.some && c != ',':
		return s.fail(s.i, "expected a comma or the end of the array")
	case f.some:
		s.i++
		if s.peek() == ']' {
			return s.fail(s.i, "expected a value")
		}
	}
	f.some = true
	return s.i < len(s.b) || s.fail(s.i, "unexpected end")
}

// string reads a string and returns its text: bytes of the document, or of s.text if it had escapes.
func (s *scanner) string() (text []byte, ok bool) {
	from, to, escaped, ok := s.quoted()
	if !ok {
		return nil, false
	}
	if !escaped {
		return s.b[from:to:to], true
	}
	at := len(s.text)
	s.text = unescape(s.text, s.b[from:to])
	return s.text[at:len(s.text):len(s.text)], true
}

// quoted reads a string, checks it, and returns where its text lies.
func (s *scanner) quoted() (from, to int, escaped, ok bool) {
	if s.failed() {
		return 0, 0, false, false
	}
	if s.peek() != '"' {
		return 0, 0, false, s.fail(s.i, "expected a string")
	}
	b, i := s.b, s.i+1
	from = i
	for {
		for i+8 <= len(b) && plainText(binary.LittleEndian.Uint64(b[i:])) {
			i += 8
		}
		if i >= len(b) {
			return 0, 0, false, s.fail(s.i, "string without an end")
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return from, i, escaped, true
		case c == '\\':
			escaped = true
			n := escapeLen(b[i:])
			if n == 0 {
				return 0, 0, false, s.fail(i, "invalid escape in a string")
			}
			i += n
		case c < 0x20:
			return 0, 0, false, s.fail(i, "control character in a string")
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n <= 1 {
				return 0, 0, false, s.fail(i, "invalid UTF-8 in a string")
			}
			i += n
		}
	}
}

// plainText reports whether none of the eight bytes of w is a quote, a backslash, a control character or
// above ASCII.
func plainText(w uint64) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote, slash := w^'"'*ones, w^'\\'*ones
	return ((quote-ones)|(slash-ones)|(w-0x20*ones)|w)&high == 0
}

// escapeLen returns the length of the valid escape that b starts with, both halves of a surrogate pair
// together, or 0.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		u, ok := hex4(b)
		switch {
		case !ok || u >= 0xdc00 && u < 0xe000:
			return 0
		case u < 0xd800 || u >= 0xe000:
			return 6
		case len(b) < 12 || b[6] != '\\' || b[7] != 'u':
			return 0
		}
		if low, ok := hex4(b[6:]); ok && low >= 0xdc00 && low < 0xe000 {
			return 12
		}
	}
	return 0
}

// hex4 reads the four hexadecimal digits of \uXXXX.
func hex4(b []byte) (u rune, ok bool) {
	if len(b) < 6 {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case isDigit(c):
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	return u, true
}

// unescape appends the text of a checked string.
func unescape(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '\\')
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i]...)
		b = b[i:]
		n := escapeLen(b)
		switch c := b[1]; c {
		case 'u':
			u, _ := hex4(b)
			if n == 12 {
				low, _ := hex4(b[6:])
				u = (u-0xd800)<<10 + (low - 0xdc00) + 0x10000
			}
			dst = utf8.AppendRune(dst, u)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		default:
			dst = append(dst, c)
		}
		b = b[n:]
	}
}

// literal reads the word w, which the next byte promised.
func (s *scanner) literal(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.fail(s.i, "invalid value")
	}
	s.i += len(w)
	return true
}

// skip reads one value of any kind and checks it.
func (s *scanner) skip() bool {
	base := s.depth
	for s.skipStart() {
		for {
			if s.depth == base {
				return true
			}
			if s.frames[s.depth].object {
				if _, ok := s.key(); ok {
					break
				}
			} else if s.more() {
				break
			}
			if s.failed() {
				return false
			}
		}
	}
	return false
}

// skipStart reads a scalar, or enters an array or object.
func (s *scanner) skipStart() bool {
	switch c := s.peek(); {
	case s.failed():
		return false
	case c == '{' || c == '[':
		return s.open(c)
	case c == '"':
		_, _, _, ok := s.quoted()
		return ok
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	case s.nonfinite && (c == 'N' || c == 'I' || c == '-' && s.i+1 < len(s.b) && s.b[s.i+1] == 'I'):
		if _, n := nonfinite(s.b[s.i:]); n > 0 {
			s.i += n
			return true
		}
		return s.fail(s.i, "invalid value")
	case c == '-' || isDigit(c):
		_, end, e := scanDecimal(s.b, s.i)
		if e != numOK {
			return s.fail(end, "invalid number")
		}
		s.i = end
		return true
	case s.i >= len(s.b):
		return s.fail(s.i, "unexpected end")
	}
	return s.fail(s.i, "expected a value")
}
