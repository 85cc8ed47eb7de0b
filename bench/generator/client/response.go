package client

import (
	"bytes"
	"errors"
	"fmt"
)

// Limits of what a measured server may answer; a server that needs more is not one we can measure fairly.
const (
	maxLine   = 8 << 10
	maxHead   = 64 << 10
	maxLength = 1 << 40
)

var (
	errUnsolicited = errors.New("bytes after the answer")
	errBody        = errors.New("the body is not the expected one")
)

type parseState uint8

const (
	stateStatus parseState = iota
	stateHeader
	stateBody
	stateChunkSize
	stateChunkData
	stateChunkEnd
	stateTrailer
	stateDone
)

// response parses one HTTP/1.1 response at a time from a connection that is not pipelined. It keeps nothing but the
// framing, and accepts only what a keep-alive client can rely on: CRLF lines, one well-formed length or chunked.
type response struct {
	want []byte // expected body, not checked when nil

	state   parseState
	status  int
	close   bool // the server will close the connection
	chunked bool
	length  int64 // declared; -1 when absent
	left    int64 // of the body or chunk
	size    int64 // body bytes so far
	head    int   // bytes of status line and headers so far
	differs bool
	line    []byte // start of a line whose end has not come
}

// reset makes the parser ready for the next response.
func (r *response) reset() {
	*r = response{want: r.want, line: r.line[:0], length: -1}
}

// feed consumes p and reports whether the response is complete. Bytes past its end are an error: nothing was asked yet.
func (r *response) feed(p []byte) (done bool, err error) {
	for {
		if r.state == stateDone {
			return r.finish(p)
		}
		if len(p) == 0 {
			return false, nil
		}
		switch r.state {
		case stateBody, stateChunkData:
			n := min(int64(len(p)), r.left)
			r.body(p[:n])
			p = p[n:]
			if r.left -= n; r.left > 0 {
				continue
			}
			if r.state == stateBody {
				r.state = stateDone
			} else {
				r.state = stateChunkEnd
			}
		default:
			var line []byte
			line, p, err = r.cut(p)
			if err != nil || line == nil {
				return false, err
			}
			if err := r.take(line); err != nil {
				return false, err
			}
			r.line = r.line[:0]
		}
	}
}

func (r *response) finish(rest []byte) (bool, error) {
	if len(rest) > 0 {
		return false, errUnsolicited
	}
	if r.want != nil && (r.differs || r.size != int64(len(r.want))) {
		return true, errBody
	}
	return true, nil
}

func (r *response) body(p []byte) {
	if r.want != nil && !r.differs {
		end := r.size + int64(len(p))
		r.differs = end > int64(len(r.want)) || !bytes.Equal(p, r.want[r.size:end])
	}
	r.size += int64(len(p))
}

// cut returns the next line without its CRLF, non-nil even if empty, or nil when its end has not come yet.
func (r *response) cut(p []byte) (line, rest []byte, err error) {
	i := bytes.IndexByte(p, '\n')
	part := p
	if i >= 0 {
		part, rest = p[:i+1], p[i+1:]
	}
	if r.state == stateStatus || r.state == stateHeader || r.state == stateTrailer {
		if r.head += len(part); r.head > maxHead {
			return nil, nil, fmt.Errorf("more than %d bytes of headers", maxHead)
		}
	}
	if len(r.line)+len(part) > maxLine {
		return nil, nil, fmt.Errorf("a line of more than %d bytes", maxLine)
	}
	if i < 0 || len(r.line) > 0 {
		r.line = append(r.line, part...)
		part = r.line
	}
	if i < 0 {
		return nil, nil, nil
	}
	if len(part) < 2 || part[len(part)-2] != '\r' {
		return nil, nil, errors.New("a line that does not end in CRLF")
	}
	return part[:len(part)-2], rest, nil
}

func (r *response) take(line []byte) error {
	switch r.state {
	case stateStatus:
		r.state = stateHeader
		return r.takeStatus(line)
	case stateHeader:
		if len(line) == 0 {
			return r.takeEnd()
		}
		return r.takeHeader(line)
	case stateChunkSize:
		return r.takeChunk(line)
	case stateChunkEnd:
		if len(line) != 0 {
			return errors.New("a chunk longer than its size")
		}
		r.state = stateChunkSize
		return nil
	case stateTrailer:
		if len(line) == 0 {
			r.state = stateDone
			return nil
		}
		_, _, err := splitHeader(line)
		return err
	}
	panic("BUG: a line in a body")
}

func (r *response) takeStatus(line []byte) error {
	const prefix = "HTTP/1.1 "
	if len(line) < len(prefix)+3 || string(line[:len(prefix)]) != prefix {
		return errors.New("no HTTP/1.1 status line")
	}
	code := line[len(prefix):]
	if len(code) > 3 && code[3] != ' ' || badValue(code) {
		return errors.New("malformed status line")
	}
	r.status = 0
	for _, c := range code[:3] {
		if c < '0' || c > '9' {
			return errors.New("malformed status code")
		}
		r.status = 10*r.status + int(c-'0')
	}
	if r.status < 100 || r.status > 599 || r.status == 101 {
		return fmt.Errorf("status %d", r.status)
	}
	return nil
}

func (r *response) takeHeader(line []byte) error {
	name, value, err := splitHeader(line)
	if err != nil {
		return err
	}
	switch {
	case equalFold(name, "content-length"):
		if r.length >= 0 {
			return errors.New("two content-length headers")
		}
		r.length, err = parseDigits(value)
		return err
	case equalFold(name, "transfer-encoding"):
		if r.chunked || !equalFold(value, "chunked") {
			return errors.New("transfer-encoding that is not chunked alone")
		}
		r.chunked = true
	case equalFold(name, "connection"):
		if equalFold(value, "close") {
			r.close = true
		}
	}
	return nil
}

// takeEnd decides the body's framing once the headers are over.
func (r *response) takeEnd() error {
	if r.chunked && r.length >= 0 {
		return errors.New("both content-length and transfer-encoding")
	}
	switch {
	case r.status < 200:
		if r.chunked || r.length > 0 {
			return errors.New("an interim answer with a body")
		}
		head := r.head
		r.reset()
		r.head = head
	case r.status == 204 || r.status == 304:
		if r.chunked || r.status == 204 && r.length > 0 {
			return fmt.Errorf("a body with status %d", r.status)
		}
		r.state = stateDone
	case r.chunked:
		r.state = stateChunkSize
	case r.length < 0:
		return errors.New("neither content-length nor transfer-encoding")
	case r.length == 0:
		r.state = stateDone
	default:
		r.left = r.length
		r.state = stateBody
	}
	return nil
}

func (r *response) takeChunk(line []byte) error {
	if len(line) == 0 || len(line) > 10 {
		return errors.New("malformed chunk size")
	}
	var n int64
	for _, c := range line {
		d := hexDigit(c)
		if d < 0 {
			return errors.New("malformed chunk size")
		}
		n = n<<4 | d
	}
	if r.left = n; n == 0 {
		r.state = stateTrailer
		return nil
	}
	r.state = stateChunkData
	return nil
}

func splitHeader(line []byte) (name, value []byte, err error) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return nil, nil, errors.New("a header without a name")
	}
	name, value = line[:colon], bytes.Trim(line[colon+1:], " \t")
	for _, c := range name {
		if !tokenByte(c) {
			return nil, nil, errors.New("a malformed header name")
		}
	}
	if badValue(value) {
		return nil, nil, errors.New("a control character in a header")
	}
	return name, value, nil
}

func parseDigits(b []byte) (int64, error) {
	if len(b) == 0 || len(b) > 13 {
		return 0, errors.New("malformed content-length")
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, errors.New("malformed content-length")
		}
		n = 10*n + int64(c-'0')
	}
	if n > maxLength {
		return 0, errors.New("content-length too large")
	}
	return n, nil
}

func tokenByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	case c == 0:
		return false
	}
	return bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0
}

func badValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

func hexDigit(c byte) int64 {
	switch {
	case c >= '0' && c <= '9':
		return int64(c - '0')
	case c >= 'a' && c <= 'f':
		return int64(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int64(c-'A') + 10
	}
	return -1
}

// equalFold compares with a lower-case ASCII name.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
