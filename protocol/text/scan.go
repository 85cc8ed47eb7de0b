package text

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"unicode/utf8"

	"github.com/sluice-serving/sluice/infer"
)

const (
	// maxDepth bounds how deep arrays and objects nest in a document. Nothing here recurses, so it
	// protects what reads the document after us.
	maxDepth = 100

	// MaxMembers bounds the members of one object, and so the parameters of a request, where [Scanner.Members] does
	// not say otherwise. Each key is compared with those before it, which stays below ten nanoseconds a byte for any
	// document with this many.
	MaxMembers = 64

	// ManyMembers is a bound for objects of what a model takes and gives.
	ManyMembers = 4096
)

// A Scanner walks a JSON document strictly as RFC 8259 has it, and refuses duplicate keys and text that
// is not UTF-8. The caller descends into what it knows and skips the rest; both ways check everything.
// The first fault sticks: what and at hold it, and every later step fails.
type Scanner struct {
	// Text is the document, and Pos the place in it of what comes next: for a caller who reads values himself.
	Text []byte
	Pos  int

	what string
	at   int

	// Nonfinite lets Skip accept NaN, Infinity and -Infinity as values.
	Nonfinite bool
	// NullNaN lets Run and Element read null as NaN: servers that keep to JSON write NaN so.
	NullNaN bool
	// Members bounds the members of an object that is read or skipped, if it is above [MaxMembers].
	Members int
	// Of is the model that a request is for, which Fault names. Reset forgets it.
	Of string

	depth     int
	frames    [maxDepth + 1]frame
	keys      [][]byte // of all open objects, outermost first
	unescaped []byte   // unescaped strings of this document
	index     index    // of those keys whose objects are wide
}

// A frame is an open array or object.
type frame struct {
	object bool
	some   bool // a member or element has been read
	wide   bool // the object's keys are in the index
	keys   int  // the object's first entry in Scanner.keys
}

// keepScratch bounds the scratch memory that a scanner keeps for its next document.
const keepScratch = 16 << 10

// Reset begins a document; nil only lets go of the one before.
func (s *Scanner) Reset(b []byte) {
	if cap(s.unescaped) > keepScratch || cap(s.keys) > keepScratch/8 {
		s.unescaped, s.keys, s.index = nil, nil, index{}
	}
	clear(s.keys)
	if s.index.used > 0 { // the document before ended within a wide object
		clear(s.index.slots)
		s.index.used = 0
	}
	s.Text, s.Pos, s.what, s.at, s.depth, s.Nonfinite, s.NullNaN = b, 0, "", 0, 0, false, false
	s.keys, s.unescaped, s.Of = s.keys[:0], s.unescaped[:0], ""
}

// Fail records the first fault and returns false.
func (s *Scanner) Fail(at int, what string) bool {
	if s.what == "" {
		s.at, s.what = at, what
	}
	return false
}

// Fault words what was wrong with the document, which is a client's.
func (s *Scanner) Fault() *infer.Error {
	if s.Of != "" {
		return infer.Errorf(infer.Invalid, "the request for model %s cannot be parsed: %s", Quote(s.Of), s.Wrong())
	}
	return infer.Errorf(infer.Invalid, "the request cannot be parsed: %s", s.Wrong())
}

// Wrong says what was wrong with the document, and where.
func (s *Scanner) Wrong() string { return s.what + " at byte " + strconv.Itoa(s.at) }

// Failed tells whether there was a fault.
func (s *Scanner) Failed() bool { return s.what != "" }

// Peek skips white space and returns the byte there, 0 at the end.
func (s *Scanner) Peek() byte {
	for s.Pos < len(s.Text) {
		switch c := s.Text[s.Pos]; c {
		case ' ', '\t', '\r', '\n':
			s.Pos++
		default:
			return c
		}
	}
	return 0
}

// End checks that only white space is left.
func (s *Scanner) End() bool {
	if s.Peek(); s.Pos < len(s.Text) {
		return s.Fail(s.Pos, "unexpected text after the document")
	}
	return !s.Failed()
}

// Open enters an object or array, whose first byte c is.
func (s *Scanner) Open(c byte) bool {
	if s.Failed() {
		return false
	}
	if s.Peek() != c {
		if c == '{' {
			return s.Fail(s.Pos, "expected an object")
		}
		return s.Fail(s.Pos, "expected an array")
	}
	if s.depth == maxDepth {
		return s.Fail(s.Pos, "nested deeper than 100 levels")
	}
	s.Pos++
	s.depth++
	s.frames[s.depth] = frame{object: c == '{', keys: len(s.keys)}
	return true
}

// shut leaves the innermost object or array at its last byte.
func (s *Scanner) shut() {
	first := s.frames[s.depth].keys
	if s.frames[s.depth].wide {
		s.forget()
	}
	clear(s.keys[first:])
	s.keys = s.keys[:first]
	s.depth--
	s.Pos++
}

// Key reads the next key of the innermost object and the colon behind it. It returns false behind the
// last one, having left the object, and on a fault.
func (s *Scanner) Key() (key []byte, ok bool) {
	f := &s.frames[s.depth]
	c := s.Peek()
	if s.Failed() {
		return nil, false
	}
	switch {
	case c == '}':
		s.shut()
		return nil, false
	case f.some && c != ',':
		return nil, s.Fail(s.Pos, "expected a comma or the end of the object")
	case f.some:
		s.Pos++
		c = s.Peek()
	}
	if c != '"' {
		return nil, s.Fail(s.Pos, "expected a key")
	}
	at := s.Pos
	f.some = true
	if key, ok = s.String(); !ok {
		return nil, false
	}
	if !s.add(key, at) {
		return nil, false
	}
	if s.Peek() != ':' {
		return nil, s.Fail(s.Pos, "expected a colon")
	}
	s.Pos++
	return key, true
}

// add notes a key of the innermost object, which stands at a place of the text.
func (s *Scanner) add(key []byte, at int) bool {
	f := &s.frames[s.depth]
	mine := s.keys[f.keys:]
	switch n := len(mine); {
	case n >= max(s.Members, MaxMembers):
		return s.Fail(at, "object with more than "+strconv.Itoa(n)+" members")
	case n == MaxMembers:
		s.widen()
	}
	if f.wide {
		if s.has(key) {
			return s.Fail(at, "duplicate key")
		}
		s.keys = append(s.keys, key)
		s.put(len(s.keys) - 1)
		return true
	}
	for _, k := range mine {
		if bytes.Equal(k, key) {
			return s.Fail(at, "duplicate key")
		}
	}
	s.keys = append(s.keys, key)
	return true
}

// More moves to the next element of the innermost array. It returns false behind the last one, having
// left the array, and on a fault.
func (s *Scanner) More() bool {
	f := &s.frames[s.depth]
	c := s.Peek()
	switch {
	case s.Failed():
		return false
	case c == ']':
		s.shut()
		return false
	case f.some && c != ',':
		return s.Fail(s.Pos, "expected a comma or the end of the array")
	case f.some:
		s.Pos++
		if s.Peek() == ']' {
			return s.Fail(s.Pos, "expected a value")
		}
	}
	f.some = true
	return s.Pos < len(s.Text) || s.Fail(s.Pos, "unexpected end")
}

// String reads a string and returns its text: bytes of the document, or of s.text if it had escapes.
func (s *Scanner) String() (text []byte, ok bool) {
	from, to, escaped, ok := s.Quoted()
	if !ok {
		return nil, false
	}
	if !escaped {
		return s.Text[from:to:to], true
	}
	at := len(s.unescaped)
	s.unescaped = Unescape(s.unescaped, s.Text[from:to])
	return s.unescaped[at:len(s.unescaped):len(s.unescaped)], true
}

// Quoted reads a string, checks it, and returns where its text lies.
func (s *Scanner) Quoted() (from, to int, escaped, ok bool) {
	if s.Failed() {
		return 0, 0, false, false
	}
	if s.Peek() != '"' {
		return 0, 0, false, s.Fail(s.Pos, "expected a string")
	}
	b, i := s.Text, s.Pos+1
	from = i
	for {
		for i+8 <= len(b) && plainText(binary.LittleEndian.Uint64(b[i:])) {
			i += 8
		}
		if i >= len(b) {
			return 0, 0, false, s.Fail(s.Pos, "string without an end")
		}
		switch c := b[i]; {
		case c == '"':
			s.Pos = i + 1
			return from, i, escaped, true
		case c == '\\':
			escaped = true
			n := escapeLen(b[i:])
			if n == 0 {
				return 0, 0, false, s.Fail(i, "invalid escape in a string")
			}
			i += n
		case c < 0x20:
			return 0, 0, false, s.Fail(i, "control character in a string")
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n <= 1 {
				return 0, 0, false, s.Fail(i, "invalid UTF-8 in a string")
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
		case IsDigit(c):
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

// Unescape appends the text of a checked string.
func Unescape(dst, b []byte) []byte {
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

// Literal reads the word w, which the next byte promised.
func (s *Scanner) Literal(w string) bool {
	if len(s.Text)-s.Pos < len(w) || string(s.Text[s.Pos:s.Pos+len(w)]) != w {
		return s.Fail(s.Pos, "invalid value")
	}
	s.Pos += len(w)
	return true
}

// Skip reads one value of any kind and checks it.
func (s *Scanner) Skip() bool {
	base := s.depth
	for s.skipStart() {
		for {
			if s.depth == base {
				return true
			}
			if s.frames[s.depth].object {
				if _, ok := s.Key(); ok {
					break
				}
			} else if s.More() {
				break
			}
			if s.Failed() {
				return false
			}
		}
	}
	return false
}

// skipStart reads a scalar, or enters an array or object.
func (s *Scanner) skipStart() bool {
	switch c := s.Peek(); {
	case s.Failed():
		return false
	case c == '{' || c == '[':
		return s.Open(c)
	case c == '"':
		_, _, _, ok := s.Quoted()
		return ok
	case c == 't':
		return s.Literal("true")
	case c == 'f':
		return s.Literal("false")
	case c == 'n':
		return s.Literal(null)
	case s.Nonfinite && (c == 'N' || c == 'I' || c == '-' && s.Pos+1 < len(s.Text) && s.Text[s.Pos+1] == 'I'):
		if _, n := nonfinite(s.Text[s.Pos:]); n > 0 {
			s.Pos += n
			return true
		}
		return s.Fail(s.Pos, "invalid value")
	case c == '-' || IsDigit(c):
		_, end, e := ScanDecimal(s.Text, s.Pos)
		if e != NumOK {
			return s.Fail(end, "invalid number")
		}
		s.Pos = end
		return true
	case s.Pos >= len(s.Text):
		return s.Fail(s.Pos, "unexpected end")
	}
	return s.Fail(s.Pos, "expected a value")
}
