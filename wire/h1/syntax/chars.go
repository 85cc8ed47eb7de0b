package syntax

import (
	"bytes"
	"encoding/binary"
)

// Sets of the ASCII characters 0-63 and 64-127 as bits: tokens, hosts with ports, request targets.
const (
	tokenLow   = 0x03ff6cfa00000000 // ! # $ % & ' * + - . 0-9
	tokenHigh  = 0x57ffffffc7fffffe // A-Z ^ _ ` a-z | ~
	hostLow    = 0x2fff7ff200000000 // ! $ % & ' ( ) * + , - . 0-9 : ; =
	hostHigh   = 0x47fffffeaffffffe // A-Z [ ] _ a-z ~
	targetLow  = 0xfffffff600000000 // 33-63 without #
	targetHigh = 0x7fffffffffffffff // 64-126
)

// Kinds of characters.
const (
	token uint8 = 1 << iota
	hostChar
	targetChar
	underscore
)

// kinds tells of each byte what it may be part of. It is never written.
var kinds = func() (t [256]uint8) {
	for c := range 128 {
		mark := func(low, high uint64, kind uint8) {
			set := low
			if c >= 64 {
				set = high
			}
			if set>>(c%64)&1 != 0 {
				t[c] |= kind
			}
		}
		mark(tokenLow, tokenHigh, token)
		mark(hostLow, hostHigh, hostChar)
		mark(targetLow, targetHigh, targetChar)
	}
	t['_'] |= underscore
	return t
}()

// IsToken tells whether c may stand in a token: a method, or the name of a field.
func IsToken(c byte) bool { return kinds[c]&token != 0 }

// TokenEnd returns where the token at the start of b ends.
func TokenEnd(b []byte) int {
	for i, c := range b {
		if kinds[c]&token == 0 {
			return i
		}
	}
	return len(b)
}

// NameEnd is TokenEnd, and tells whether the token has an underscore.
func NameEnd(b []byte) (end int, under bool) {
	var seen uint8
	for i, c := range b {
		k := kinds[c]
		if k&token == 0 {
			return i, seen&underscore != 0
		}
		seen |= k
	}
	return len(b), seen&underscore != 0
}

// IsTarget tells whether c may stand in the target of a request.
func IsTarget(c byte) bool { return kinds[c]&targetChar != 0 }

// PlainTarget tells whether b has only what may stand in the target of a request.
func PlainTarget(b []byte) bool { return all(b, targetChar) }

// all tells whether b has only characters of one kind.
func all(b []byte, kind uint8) bool {
	for _, c := range b {
		if kinds[c]&kind == 0 {
			return false
		}
	}
	return true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// PlainValue tells whether b has only what a field value may have: tab, printable characters and bytes
// above 127. It looks at eight bytes at a time: subtracting borrows into the high bit of each byte that
// is less than a space, and adding one carries into that of each that is DEL or more.
func PlainValue(b []byte) bool {
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		del := w ^ 0x7f*ones
		suspicious := ((w-0x20*ones)&^w | (del-ones)&^del) & highs
		if suspicious != 0 && !plainBytes(b[:8]) {
			return false // else it was a tab, or a mark beside one that is due to its borrow
		}
		b = b[8:]
	}
	return plainBytes(b)
}

func plainBytes(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// EqualFold compares b with lower, which is in lower case.
func EqualFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// EqualFoldBoth compares without regard to case.
func EqualFoldBoth(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if Lower(a[i]) != Lower(b[i]) {
			return false
		}
	}
	return true
}

// Lower returns a letter in lower case, and anything else as it is.
func Lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// trim cuts spaces and tabs off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// nextElement cuts the first element off a comma-separated list.
func nextElement(list []byte) (element, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:]
		}
	}
	return trim(list), nil
}

// IsDigit tells whether c is a decimal digit.
func IsDigit(c byte) bool { return '0' <= c && c <= '9' }

// maxLengthDigits keeps any accepted Content-Length far from overflow: a million terabytes.
const maxLengthDigits = 18

// Decimal returns the number that value is, -1 if it is none or too large.
func Decimal(value []byte) int64 {
	if len(value) == 0 || len(value) > maxLengthDigits {
		return -1
	}
	n := int64(0)
	for _, c := range value {
		if !IsDigit(c) {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// PlainHost tells whether b is a host name or address with an optional port.
func PlainHost(b []byte) bool {
	if len(b) == 0 || !all(b, hostChar) {
		return false
	}
	if b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		return i > 1 && bytes.IndexByte(b[1:], '[') < 0 && plainPort(b[i+1:])
	}
	for i, c := range b {
		switch c {
		case ':':
			return i > 0 && plainPort(b[i:])
		case '[', ']':
			return false
		}
	}
	return true
}

// plainPort tells whether b is empty or a colon and a port, which may be empty.
func plainPort(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != ':' || len(b) > len(":65535") {
		return false
	}
	for _, c := range b[1:] {
		if !IsDigit(c) {
			return false
		}
	}
	return true
}
