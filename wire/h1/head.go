package h1

import (
	"bytes"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h1/syntax"
)

// head is a request's head, parsed strictly: what RFC 9112 lets a recipient repair is refused, since
// whoever stands before or behind us may repair it differently. Offsets point into the buffer that was
// scanned; it may grow and move between scans, but not change.
type head struct {
	// Where the scan stands: it goes line by line and never looks at a byte twice.
	line  int // where the current line starts
	seen  int // up to where it was searched for its end
	first int // where the header fields start; 0 before
	blank bool

	method syntax.Span
	path   syntax.Span
	query  syntax.Span // with the question mark; empty without

	length   int64 // Content-Length, -1: none
	minor    byte  // of the version: 0 or 1
	chunked  bool
	coding   bool // a transfer coding that is not chunked
	badTE    bool
	close    bool // Connection: close
	keep     bool // Connection: keep-alive
	expect   bool // Expect: 100-continue
	hosts    uint8
	encoding uint8 // how many Content-Encoding fields
	host     syntax.Span
	author   syntax.Span // authority of an absolute target

	syntax.Fields
}

type headLimits struct {
	bytes, fields, target int
}

// reset prepares for a new head at the start of the buffer.
func (h *head) reset() {
	h.line, h.seen, h.first, h.blank = 0, 0, 0, false
	h.method, h.path, h.query = syntax.Span{}, syntax.Span{}, syntax.Span{}
	h.length, h.minor = -1, 0
	h.chunked, h.coding, h.badTE, h.close, h.keep, h.expect = false, false, false, false, false, false
	h.hosts, h.encoding = 0, 0
	h.host, h.author = syntax.Span{}, syntax.Span{}
	h.Clear()
}

// scan goes on with what is in buf and tells whether the head is complete. h.line is then its length.
func (h *head) scan(buf []byte, lim headLimits) (bool, *refusal) {
	for {
		i := bytes.IndexByte(buf[h.seen:], '\n')
		if i < 0 {
			h.seen = len(buf)
			return false, h.check(buf, lim)
		}
		end := h.seen + i
		line := buf[h.line:end]
		if len(line) == 0 || line[len(line)-1] != '\r' {
			return false, &refuseLineEnd
		}
		line = line[:len(line)-1]
		start := h.line
		h.line, h.seen = end+1, end+1
		switch {
		case h.first == 0 && len(line) == 0 && !h.blank:
			h.blank = true // one empty line before a request is let pass, as RFC 9112 2.2 asks
		case h.first == 0:
			if r := h.requestLine(buf, start, line, lim); r != nil {
				return false, r
			}
			h.first = h.line
		case h.line-h.first > lim.bytes:
			return false, &refuseHeaderSize
		case len(line) == 0:
			return true, h.finish(buf)
		default:
			if r := h.field(start, line, lim); r != nil {
				return false, r
			}
		}
	}
}

// check refuses what an incomplete line already shows.
func (h *head) check(buf []byte, lim headLimits) *refusal {
	switch {
	case h.first > 0:
		if len(buf)-h.first > lim.bytes {
			return &refuseHeaderSize
		}
	case len(buf) > h.line && !syntax.IsToken(buf[h.line]) && buf[h.line] != '\r':
		return &refuseLine // not HTTP at all: a TLS hello, for instance
	case len(buf)-h.line > lim.target+maxMethod+len("  HTTP/1.1\r\n"):
		return &refuseLongTarget
	}
	return nil
}

// maxMethod bounds what may be a method.
const maxMethod = 32

func (h *head) requestLine(buf []byte, off int, line []byte, lim headLimits) *refusal {
	m := syntax.TokenEnd(line)
	if m == 0 || m > maxMethod || m == len(line) || line[m] != ' ' {
		return &refuseLine
	}
	t := bytes.IndexByte(line[m+1:], ' ')
	if t < 0 {
		return &refuseLine
	}
	method, target, version := line[:m], line[m+1:m+1+t], line[m+t+2:]
	if !known(method) {
		return &refuseMethod
	}
	switch {
	case len(target) > lim.target:
		return &refuseLongTarget
	case len(version) != 8 || string(version[:5]) != "HTTP/" || version[6] != '.' || !syntax.IsDigit(version[5]) || !syntax.IsDigit(version[7]):
		return &refuseLine
	case version[5] != '1' || version[7] > '1':
		return &refuseVersion
	}
	h.minor = version[7] - '0'
	h.method = syntax.SpanAt(off, m)
	return h.target(buf, off+m+1, target)
}

func known(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return false
}

func (h *head) target(buf []byte, off int, target []byte) *refusal {
	if len(target) == 0 || !syntax.PlainTarget(target) {
		return &refuseTarget
	}
	path := target
	switch {
	case target[0] == '/':
	case len(target) == 1 && target[0] == '*':
		if string(h.method.In(buf)) != "OPTIONS" {
			return &refuseTarget
		}
	default:
		scheme := 0
		switch {
		case len(target) > 7 && syntax.EqualFold(target[:7], "http://"):
			scheme = 7
		case len(target) > 8 && syntax.EqualFold(target[:8], "https://"):
			scheme = 8
		default:
			return &refuseTarget
		}
		authority := target[scheme:]
		if i := bytes.IndexAny(authority, "/?"); i >= 0 {
			authority = authority[:i]
		}
		h.author = syntax.SpanAt(off+scheme, len(authority))
		path = target[scheme+len(authority):]
		off += scheme + len(authority)
		if len(path) == 0 || path[0] == '?' {
			// An absolute target without a path means the root. The scheme's last slash stands for it.
			h.path = syntax.SpanAt(int(h.author.Off)-1, 1)
			h.query = syntax.SpanAt(off, len(path))
			return nil
		}
	}
	n := bytes.IndexByte(path, '?')
	if n < 0 {
		n = len(path)
	}
	h.path = syntax.SpanAt(off, n)
	h.query = syntax.SpanAt(off+n, len(path)-n)
	return nil
}

func (h *head) field(off int, line []byte, lim headLimits) *refusal {
	if line[0] == ' ' || line[0] == '\t' {
		return &refuseFold
	}
	n, under := syntax.NameEnd(line)
	switch {
	case n == 0 || n == len(line) || line[n] != ':':
		return &refuseName
	case under && wire.Twin(line[:n]):
		return &refuseUnderscore
	}
	if h.Len() == lim.fields {
		return &refuseHeaderCount
	}
	value, at, ok := h.Put(off, line, n)
	if !ok {
		return &refuseValue
	}
	return h.note(line[:n], value, at)
}

// note keeps what the transport itself needs of a field.
func (h *head) note(name, value []byte, at syntax.Span) *refusal {
	switch len(name) {
	case 4:
		if syntax.EqualFold(name, "host") {
			h.hosts++
			h.host = at
			if h.hosts > 1 {
				return &refuseHost
			}
		}
	case 6:
		if syntax.EqualFold(name, "expect") {
			if !syntax.EqualFold(value, "100-continue") {
				return &refuseExpect
			}
			h.expect = true
		}
	case 10:
		if syntax.EqualFold(name, "connection") {
			h.connection(value)
		}
	case 14:
		if syntax.EqualFold(name, "content-length") {
			return h.contentLength(value)
		}
	case 16:
		if syntax.EqualFold(name, "content-encoding") {
			h.encoding++
		}
	case 17:
		if syntax.EqualFold(name, "transfer-encoding") {
			h.transferEncoding(value)
		}
	}
	return nil
}

func (h *head) connection(value []byte) {
	ends, kept := syntax.Connection(value)
	h.close, h.keep = h.close || ends, h.keep || kept
}

func (h *head) contentLength(value []byte) *refusal {
	if h.length >= 0 {
		return &refuseLengthTwice
	}
	if h.length = syntax.Decimal(value); h.length < 0 {
		return &refuseLength
	}
	return nil
}

func (h *head) transferEncoding(value []byte) {
	switch {
	case h.chunked || h.coding:
		h.badTE = true // twice
	case syntax.EqualFold(value, "chunked"):
		h.chunked = true
	case len(value) > 0 && syntax.TokenEnd(value) == len(value):
		h.coding = true
	default:
		h.badTE = true
	}
}

// finish checks what only the whole head shows.
func (h *head) finish(buf []byte) *refusal {
	switch te := h.chunked || h.coding || h.badTE; {
	case te && h.length >= 0:
		return &refuseBothFraming
	case h.badTE, te && h.minor == 0:
		return &refuseTransfer
	case h.coding:
		return &refuseCoding
	}
	switch {
	case h.hosts == 0 && h.minor > 0:
		return &refuseHost
	case h.hosts > 0 && !syntax.PlainHost(h.host.In(buf)):
		return &refuseHost
	case h.author.Off > 0 && (!syntax.PlainHost(h.author.In(buf)) || h.hosts > 0 && !syntax.EqualFoldBoth(h.author.In(buf), h.host.In(buf))):
		return &refuseHost
	}
	return nil
}
