package h1client

import (
	"bytes"

	"github.com/sluice-serving/sluice/wire/h1/syntax"
)

// answerHead is an answer's head, parsed as strictly as a request's: what a recipient might repair in two ways
// would let a server, or somebody before it, say one thing to us and another to the next call. Offsets point
// into the buffer that was scanned; it may grow and move between scans, but not change.
type answerHead struct {
	// Where the scan stands: it goes line by line and never looks at a byte twice.
	line  int // where the current line starts; the length of a complete head
	seen  int // up to where it was searched for its end
	begun bool

	status  int
	minor   byte  // of the version: 0 or 1
	length  int64 // Content-Length, -1: none
	chunked bool
	badTE   bool // a transfer coding that is not chunked alone
	close   bool
	keep    bool // Connection: keep-alive

	encodings uint8 // how many Content-Encoding fields
	encoding  syntax.Span

	syntax.Fields
}

// reset prepares for a head at the start of the buffer.
func (h *answerHead) reset() {
	h.line, h.seen, h.begun = 0, 0, false
	h.status, h.minor, h.length = 0, 0, -1
	h.chunked, h.badTE, h.close, h.keep = false, false, false, false
	h.encodings, h.encoding = 0, syntax.Span{}
	h.Clear()
}

// scan goes on with what is in buf and tells whether the head is complete.
func (h *answerHead) scan(buf []byte, mostBytes, mostFields int) (bool, *Fault) {
	for {
		i := bytes.IndexByte(buf[h.seen:], '\n')
		if i < 0 {
			h.seen = len(buf)
			return false, h.check(buf, mostBytes)
		}
		start, end := h.line, h.seen+i
		h.line, h.seen = end+1, end+1
		line := buf[start:end]
		if len(line) == 0 || line[len(line)-1] != '\r' {
			return false, &faultLineEnd
		}
		line = line[:len(line)-1]
		var f *Fault
		switch {
		case h.line > mostBytes:
			f = &faultHeadSize
		case !h.begun:
			h.begun = true
			f = h.statusLine(line)
		case len(line) == 0:
			return true, h.finish()
		case h.Len() == mostFields:
			f = &faultHeadCount
		default:
			f = h.field(start, line)
		}
		if f != nil {
			return false, f
		}
	}
}

// check refuses what an incomplete line already shows: that the server does not speak HTTP at all.
func (h *answerHead) check(buf []byte, mostBytes int) *Fault {
	const begin = "HTTP/"
	switch n := min(len(buf), len(begin)); {
	case !h.begun && string(buf[:n]) != begin[:n]:
		return &faultStatusLine
	case len(buf) > mostBytes:
		return &faultHeadSize
	}
	return nil
}

func (h *answerHead) statusLine(line []byte) *Fault {
	const shortest = len("HTTP/1.1 200")
	if len(line) < shortest || string(line[:5]) != "HTTP/" || !syntax.IsDigit(line[5]) || line[6] != '.' || !syntax.IsDigit(line[7]) || line[8] != ' ' {
		return &faultStatusLine
	}
	if line[5] != '1' || line[7] > '1' {
		return &faultVersion
	}
	h.minor = line[7] - '0'
	for _, c := range line[9:shortest] {
		if !syntax.IsDigit(c) {
			return &faultStatusLine
		}
		h.status = h.status*10 + int(c-'0')
	}
	// A space is due even where there is no reason; not all send it.
	if h.status < 100 || h.status > 599 || len(line) > shortest && line[shortest] != ' ' || !syntax.PlainValue(line[shortest:]) {
		return &faultStatusLine
	}
	return nil
}

func (h *answerHead) field(off int, line []byte) *Fault {
	if line[0] == ' ' || line[0] == '\t' {
		return &faultFold
	}
	n := syntax.TokenEnd(line)
	if n == 0 || n == len(line) || line[n] != ':' {
		return &faultName
	}
	value, at, ok := h.Put(off, line, n)
	if !ok {
		return &faultValue
	}
	return h.note(line[:n], value, at)
}

// note keeps what the transport itself needs of a field.
func (h *answerHead) note(name, value []byte, at syntax.Span) *Fault {
	switch len(name) {
	case 10:
		if syntax.EqualFold(name, "connection") {
			h.connection(value)
		}
	case 14:
		if syntax.EqualFold(name, "content-length") {
			if h.length >= 0 {
				return &faultLengthTwice
			}
			if h.length = syntax.Decimal(value); h.length < 0 {
				return &faultLength
			}
		}
	case 16:
		if syntax.EqualFold(name, "content-encoding") {
			h.encodings++
			h.encoding = at
		}
	case 17:
		if syntax.EqualFold(name, "transfer-encoding") {
			h.badTE = h.badTE || h.chunked || !syntax.EqualFold(value, "chunked")
			h.chunked = true
		}
	}
	return nil
}

func (h *answerHead) connection(value []byte) {
	ends, kept := syntax.Connection(value)
	h.close, h.keep = h.close || ends, h.keep || kept
}

// finish checks what only the whole head shows.
func (h *answerHead) finish() *Fault {
	switch {
	case h.chunked && h.length >= 0:
		return &faultBothFraming
	case h.badTE, h.chunked && h.minor == 0:
		return &faultTransfer
	case (h.status < 200 || h.status == 204) && (h.chunked || h.length > 0):
		return &faultBodyless
	}
	return nil
}

// persists tells whether the server lets the connection be used again.
func (h *answerHead) persists() bool { return !h.close && (h.minor > 0 || h.keep) }
