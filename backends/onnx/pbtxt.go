package onnx

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what the parser accepts.
const (
	maxPBText      = 1 << 20
	maxPBTextDepth = 32
)

// pbField is one field of a protobuf message in text form.
type pbField struct {
	name string
	line int
	pbValue
}

// pbValue is a scalar, or a message if kind is pbMessage.
type pbValue struct {
	kind   pbKind
	text   string // of a word or a number as written, of a string unquoted
	fields []pbField
}

type pbKind uint8

const (
	pbWord pbKind = iota // TYPE_FP32, true
	pbNumber
	pbString
	pbMessage
)

// parsePBText parses a message in protobuf's text form: fields in order, a list as one field an element.
// It knows no schema.
func parsePBText(src []byte) ([]pbField, error) {
	if len(src) > maxPBText {
		return nil, fmt.Errorf("longer than %d bytes", maxPBText)
	}
	if !utf8.Valid(src) {
		return nil, fmt.Errorf("not UTF-8")
	}
	p := &pbParser{src: string(src), line: 1}
	fields, err := p.message(0, 0)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", p.line, err)
	}
	return fields, nil
}

type pbParser struct {
	src  string
	off  int
	line int
}

// skip steps over space and comments.
func (p *pbParser) skip() {
	for p.off < len(p.src) {
		switch c := p.src[p.off]; {
		case c == '\n':
			p.line++
			p.off++
		case c == ' ' || c == '\t' || c == '\r':
			p.off++
		case c == '#':
			end := strings.IndexByte(p.src[p.off:], '\n')
			if end < 0 {
				end = len(p.src) - p.off
			}
			p.off += end
		default:
			return
		}
	}
}

// peek returns the next byte that is no space, 0 at the end.
func (p *pbParser) peek() byte {
	p.skip()
	if p.off == len(p.src) {
		return 0
	}
	return p.src[p.off]
}

func (p *pbParser) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.off++
	return true
}

// message parses fields up to the closing byte, or to the end if that is 0.
func (p *pbParser) message(closing byte, depth int) ([]pbField, error) {
	if depth > maxPBTextDepth {
		return nil, fmt.Errorf("messages nest deeper than %d", maxPBTextDepth)
	}
	var fields []pbField
	for {
		c := p.peek()
		if c == closing {
			if c != 0 {
				p.off++
			}
			return fields, nil
		}
		if c == 0 {
			return nil, fmt.Errorf("the file ends inside a message")
		}
		name, err := p.word()
		if err != nil {
			return nil, err
		}
		if fields, err = p.field(fields, name, depth); err != nil {
			return nil, err
		}
		if !p.take(',') {
			p.take(';')
		}
	}
}

// field parses what follows a field's name.
func (p *pbParser) field(fields []pbField, name string, depth int) ([]pbField, error) {
	line := p.line
	colon := p.take(':')
	if !p.take('[') {
		if c := p.peek(); !colon && c != '{' && c != '<' {
			return nil, fmt.Errorf("field %q has no value", name)
		}
		v, err := p.value(depth)
		return append(fields, pbField{name, line, v}), err
	}
	if p.take(']') {
		return fields, nil
	}
	for {
		v, err := p.value(depth)
		if err != nil {
			return nil, err
		}
		fields = append(fields, pbField{name, line, v})
		if p.take(']') {
			return fields, nil
		}
		if !p.take(',') {
			return nil, fmt.Errorf("field %q: want a comma or ] in the list", name)
		}
	}
}

func (p *pbParser) value(depth int) (pbValue, error) {
	switch c := p.peek(); {
	case c == '{' || c == '<':
		p.off++
		fields, err := p.message(c+2, depth+1) // '{'+2 is '}', '<'+2 is '>'
		return pbValue{kind: pbMessage, fields: fields}, err
	case c == '"' || c == '\'':
		var text strings.Builder // literals side by side are one string
		for c = p.peek(); c == '"' || c == '\''; c = p.peek() {
			if err := p.quoted(c, &text); err != nil {
				return pbValue{}, err
			}
		}
		return pbValue{kind: pbString, text: text.String()}, nil
	case c == '-' || c == '.' || c >= '0' && c <= '9':
		start := p.off
		for p.off++; p.off < len(p.src) && isNumberByte(p.src[p.off]); p.off++ {
		}
		return pbValue{kind: pbNumber, text: p.src[start:p.off]}, nil
	default:
		word, err := p.word()
		return pbValue{kind: pbWord, text: word}, err
	}
}

func isNumberByte(c byte) bool {
	return c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (p *pbParser) word() (string, error) {
	p.skip()
	start := p.off
	for p.off < len(p.src) {
		c := p.src[p.off]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			break
		}
		p.off++
	}
	if p.off == start {
		if start == len(p.src) {
			return "", fmt.Errorf("the file ends where a name is due")
		}
		r, _ := utf8.DecodeRuneInString(p.src[start:])
		return "", fmt.Errorf("unexpected %q", r)
	}
	return p.src[start:p.off], nil
}

// quoted parses one string literal with C's escapes.
func (p *pbParser) quoted(quote byte, out *strings.Builder) error {
	p.off++
	for p.off < len(p.src) {
		c := p.src[p.off]
		p.off++
		switch c {
		case quote:
			return nil
		case '\n':
			return fmt.Errorf("a string ends with its line")
		case '\\':
			if err := p.escape(out); err != nil {
				return err
			}
		default:
			out.WriteByte(c)
		}
	}
	return fmt.Errorf("the file ends inside a string")
}

func (p *pbParser) escape(out *strings.Builder) error {
	if p.off == len(p.src) {
		return fmt.Errorf("the file ends inside a string")
	}
	c := p.src[p.off]
	p.off++
	if i := strings.IndexByte(`abfnrtv\'"?`, c); i >= 0 {
		out.WriteByte("\a\b\f\n\r\t\v\\'\"?"[i])
		return nil
	}
	digits, base, most := "", 8, 3
	if c == 'x' || c == 'X' {
		base, most = 16, 2
	} else {
		p.off--
	}
	for len(digits) < most && p.off < len(p.src) {
		if _, err := strconv.ParseUint(p.src[p.off:p.off+1], base, 8); err != nil {
			break
		}
		digits += p.src[p.off : p.off+1]
		p.off++
	}
	n, err := strconv.ParseUint(digits, base, 16)
	if err != nil || n > math.MaxUint8 {
		return fmt.Errorf("unknown escape in a string")
	}
	out.WriteByte(byte(n))
	return nil
}

// integer returns a number without a fraction.
func (v pbValue) integer() (int64, error) {
	if v.kind != pbNumber {
		return 0, fmt.Errorf("want a number")
	}
	n, err := strconv.ParseInt(v.text, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no integer", v.text)
	}
	return n, nil
}
