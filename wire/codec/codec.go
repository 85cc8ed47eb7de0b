// Package codec does and undoes the content codings gzip and deflate, between bytes and slabs, for every
// transport in the same way and within the same bounds.
//
// # Concurrency
//
// Inflaters and Deflaters may be used from any goroutine. A Sink and a Reader belong to one.
//
// # Ownership
//
// What is produced goes to the caller's list, slab by slab, each asked of the budget; after an error the list
// holds what had been produced, and is the caller's to release.
package codec

import (
	"bytes"
	"errors"
)

// Coding is a content coding.
type Coding uint8

// The codings.
const (
	Identity Coding = iota
	Gzip
	Deflate
)

// String returns the name of the coding.
func (c Coding) String() string {
	switch c {
	case Gzip:
		return "gzip"
	case Deflate:
		return "deflate"
	}
	return "identity"
}

// Why nothing, or not all, was produced.
var (
	ErrCorrupt  = errors.New("codec: the compressed bytes are corrupt")
	ErrTooLarge = errors.New("codec: more than the limit")
	ErrRatio    = errors.New("codec: the compressed bytes expand too much")
	ErrMemory   = errors.New("codec: the bytes in flight are at their limit")
)

// Parse returns the coding of a name, without regard to case.
func Parse(name []byte) (c Coding, ok bool) {
	switch {
	case is(name, "identity"):
		return Identity, true
	case is(name, "gzip"), is(name, "x-gzip"):
		return Gzip, true
	case is(name, "deflate"):
		return Deflate, true
	}
	return Identity, false
}

// is compares a name with one in lower case.
func is(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Accepted returns the coding that a client likes best by its Accept-Encoding, gzip if it likes several
// equally. What it does not name it does not want, but for the body as it is.
func Accepted(list []byte) Coding {
	qGzip, qDeflate, qIdentity, qAny := -1, -1, -1, -1
	for len(list) > 0 {
		var e []byte
		e, list, _ = bytes.Cut(list, []byte(","))
		name, q := weight(trim(e))
		switch {
		case is(name, "gzip"), is(name, "x-gzip"):
			qGzip = max(qGzip, q)
		case is(name, "deflate"):
			qDeflate = q
		case is(name, "identity"):
			qIdentity = q
		case string(name) == "*":
			qAny = q
		}
	}
	if qGzip < 0 {
		qGzip = qAny
	}
	if qDeflate < 0 {
		qDeflate = qAny
	}
	switch {
	case qGzip > 0 && qGzip >= qDeflate && qGzip >= qIdentity:
		return Gzip
	case qDeflate > 0 && qDeflate >= qIdentity:
		return Deflate
	}
	return Identity
}

func trim(b []byte) []byte { return bytes.Trim(b, " \t") }

// weight splits an element of Accept-Encoding into its name and its weight in thousandths. A weight that is
// malformed is none.
func weight(e []byte) (name []byte, q int) {
	name, p, found := bytes.Cut(e, []byte(";"))
	name = trim(name)
	if !found {
		return name, 1000
	}
	p = trim(p)
	if len(p) < 3 || p[0]|0x20 != 'q' || p[1] != '=' {
		return name, 0
	}
	return name, thousandths(p[2:])
}

// thousandths reads 0 to 1 with up to three decimals.
func thousandths(b []byte) int {
	if len(b) > 5 || !digit(b[0]) || len(b) > 1 && b[1] != '.' {
		return 0
	}
	q := int(b[0]-'0') * 1000
	for i, unit := 2, 100; i < len(b); i, unit = i+1, unit/10 {
		if !digit(b[i]) {
			return 0
		}
		q += int(b[i]-'0') * unit
	}
	if q > 1000 {
		return 0
	}
	return q
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
