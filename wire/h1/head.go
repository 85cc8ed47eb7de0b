package h1

import "bytes"

// span is where a part of the request line lies.
type span struct{ off, len uint16 }

func (s span) in(buf []byte) []byte { return buf[s.off : s.off+s.len : s.off+s.len] }

// head is a request's head, parsed strictly: what RFC 9112 lets a recipient repair is refused, since
// whoever stands before or behind us may repair it differently. Offsets point into the buffer that was
// scanned; it may grow and move between scans, but not change.
type head struct {
	// Where the scan stands: it goes line by line and never looks at a byte twice.
	line  int // where the current line starts
	seen  int // up to where it was searched for its end
	first int // where the header fields start; 0 before
	blank bool

	method span
	path   span
	query  span // with the question mark; empty without

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
	host     span
	author   span // authority of an absolute target

	headerFields
}

type headLimits struct {
	bytes, fields, target int
}

// reset prepares for a new head at the start of the buffer. The fields stay: n bounds them.
func (h *head) reset() {
	h.line, h.seen, h.first, h.blank = 0, 0, 0, false
	h.method, h.path, h.query = span{}, span{}, span{}
	h.length, h.minor = -1, 0
	h.chunked, h.coding, h.badTE, h.close, h.keep, h.expect = false, false, false, false, false, false
	h.hosts, h.encoding = 0, 0
	h.host, h.author = span{}, span{}
	h.n = 0
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
	case len(buf) > h.line && !isToken(buf[h.line]) && buf[h.line] != '\r':
		return &refuseLine // not HTTP at all: a TLS hello, for instance
	case len(buf)-h.line > lim.target+maxMethod+len("  HTTP/1.1\r\n"):
		return &refuseLongTarget
	}
	return nil
}

// maxMethod bounds what may be a method.
const maxMethod = 32

func (h *head) requestLine(buf []byte, off int, line []byte, lim headLimits) *refusal {
	m := tokenEnd(line)
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
	case len(version) != 8 || string(version[:5]) != "HTTP/" || version[6] != '.' || !digit(version[5]) || !digit(version[7]):
		return &refuseLine
	case version[5] != '1' || version[7] > '1':
		return &refuseVersion
	}
	h.minor = version[7] - '0'
	h.method = span{uint16(off), uint16(m)}
	return h.target(buf, off+m+1, target)
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func known(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return true
	}
	return false
}

func (h *head) target(buf []byte, off int, target []byte) *refusal {
	if len(target) == 0 || !all(target, targetChar) {
		return &refuseTarget
	}
	path := target
	switch {
	case target[0] == '/':
	case len(target) == 1 && target[0] == '*':
		if string(h.method.in(buf)) != "OPTIONS" {
			return &refuseTarget
		}
	default:
		scheme := 0
		switch {
		case len(target) > 7 && equalFold(target[:7], "http://"):
			scheme = 7
		case len(target) > 8 && equalFold(target[:8], "https://"):
			scheme = 8
		default:
			return &refuseTarget
		}
		authority := target[scheme:]
		if i := bytes.IndexAny(authority, "/?"); i >= 0 {
			authority = authority[:i]
		}
		h.author = span{uint16(off + scheme), uint16(len(authority))}
		path = target[scheme+len(authority):]
		off += scheme + len(authority)
		if len(path) == 0 || path[0] == '?' {
			// An absolute target without a path means the root. The scheme's last slash stands for it.
			h.path = span{h.author.off - 1, 1}
			h.query = span{uint16(off), uint16(len(path))}
			return nil
		}
	}
	n := bytes.IndexByte(path, '?')
	if n < 0 {
		n = len(path)
	}
	h.path = span{uint16(off), uint16(n)}
	h.query = span{uint16(off + n), uint16(len(path) - n)}
	return nil
}

func (h *head) field(off int, line []byte, lim headLimits) *refusal {
	if line[0] == ' ' || line[0] == '\t' {
		return &refuseFold
	}
	n, under := nameEnd(line)
	switch {
	case n == 0 || n == len(line) || line[n] != ':':
		return &refuseName
	case under && twin(line[:n]):
		return &refuseUnderscore
	}
	if h.n == lim.fields {
		return &refuseHeaderCount
	}
	value, at, ok := h.put(off, line, n)
	if !ok {
		return &refuseValue
	}
	return h.note(line[:n], value, at)
}

// note keeps what the transport itself needs of a field.
func (h *head) note(name, value []byte, at span) *refusal {
	switch len(name) {
	case 4:
		if equalFold(name, "host") {
			h.hosts++
			h.host = at
			if h.hosts > 1 {
				return &refuseHost
			}
		}
	case 6:
		if equalFold(name, "expect") {
			if !equalFold(value, "100-continue") {
				return &refuseExpect
			}
			h.expect = true
		}
	case 10:
		if equalFold(name, "connection") {
			h.connection(value)
		}
	case 14:
		if equalFold(name, "content-length") {
			return h.contentLength(value)
		}
	case 16:
		if equalFold(name, "content-encoding") {
			h.encoding++
		}
	case 17:
		if equalFold(name, "transfer-encoding") {
			h.transferEncoding(value)
		}
	}
	return nil
}

func (h *head) connection(value []byte) {
	for len(value) > 0 {
		var e []byte
		e, value = nextElement(value)
		switch {
		case equalFold(e, "close"):
			h.close = true
		case equalFold(e, "keep-alive"):
			h.keep = true
		}
	}
}

// maxLengthDigits keeps any accepted Content-Length far from overflow: a million terabytes.
const maxLengthDigits = 18

func (h *head) contentLength(value []byte) *refusal {
	if h.length >= 0 {
		return &refuseLengthTwice
	}
	if h.length = decimal(value); h.length < 0 {
		return &refuseLength
	}
	return nil
}

// decimal returns the number that value is, -1 if it is none or too large.
func decimal(value []byte) int64 {
	if len(value) == 0 || len(value) > maxLengthDigits {
		return -1
	}
	n := int64(0)
	for _, c := range value {
		if !digit(c) {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

func (h *head) transferEncoding(value []byte) {
	switch {
	case h.chunked || h.coding:
		h.badTE = true // twice
	case equalFold(value, "chunked"):
		h.chunked = true
	case len(value) > 0 && tokenEnd(value) == len(value):
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
	case h.hosts > 0 && !plainHost(h.host.in(buf)):
		return &refuseHost
	case h.author.off > 0 && (!plainHost(h.author.in(buf)) || h.hosts > 0 && !equalFoldBoth(h.author.in(buf), h.host.in(buf))):
		return &refuseHost
	}
	return nil
}

// plainHost tells whether b is a host name or address with an optional port.
func plainHost(b []byte) bool {
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
		if !digit(c) {
			return false
		}
	}
	return true
}

// twin tells whether name, with its underscores read as hyphens, is one that must not be smuggled past
// whoever reads underscores so (CGI does).
func twin(name []byte) bool {
	const longest = len("inference-header-content-length")
	if len(name) > longest {
		return false
	}
	var buf [longest]byte
	dashed := buf[:len(name)]
	for i, c := range name {
		if c == '_' {
			c = '-'
		}
		dashed[i] = lower(c)
	}
	switch string(dashed) {
	case "content-length", "transfer-encoding", "content-encoding", "content-type", "inference-header-content-length",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-real-ip",
		"x-request-id", "x-request-timeout-ms", "x-api-key":
		return true
	}
	return false
}
