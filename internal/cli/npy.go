package cli

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-serving/sluice/tensor"
)

// npyMagic starts every .npy file.
const npyMagic = "\x93NUMPY"

// readNPY reads a .npy file, versions 1 to 3, in C order. Two-byte elements without a type are BF16, which is how
// Python's ml_dtypes writes it. The data is copied only where it must be rewritten.
func readNPY(file []byte) (*array, error) {
	header, data, err := splitNPY(file)
	if err != nil {
		return nil, err
	}
	h, err := parseNPYHeader(header)
	if err != nil {
		return nil, err
	}
	if h.fortran && len(h.shape) > 1 {
		return nil, errors.New("the array is in Fortran order; save numpy.ascontiguousarray(a)")
	}
	count, err := tensor.Elements(h.shape)
	if err != nil {
		return nil, err
	}
	dtype, size, err := npyType(h.descr)
	if err != nil {
		return nil, err
	}
	if size > 0 && count > int64(len(data))/int64(size) || int64(len(data)) != count*int64(size) {
		return nil, fmt.Errorf("%d bytes of data for %d elements of %d bytes", len(data), count, size)
	}
	a := &array{dtype: dtype, shape: h.shape, data: data}
	switch kind := h.descr[1]; {
	case kind == 'S' || kind == 'U':
		a.data, err = npyStrings(data, int(count), size, h.descr)
	case h.descr[0] == '>' && size > 1:
		a.data = swapped(data, size)
	}
	return a, err
}

// splitNPY finds the header and the data.
func splitNPY(file []byte) (header string, data []byte, err error) {
	if len(file) < 10 || string(file[:6]) != npyMagic {
		return "", nil, errors.New("not a .npy file")
	}
	start, length := 10, int(binary.LittleEndian.Uint16(file[8:]))
	switch file[6] {
	case 1:
	case 2, 3:
		if len(file) < 12 {
			return "", nil, errors.New("the file ends within its header")
		}
		start, length = 12, int(binary.LittleEndian.Uint32(file[8:]))
	default:
		return "", nil, fmt.Errorf("a .npy file of version %d; 1 to 3 can be read", file[6])
	}
	if length > len(file)-start {
		return "", nil, errors.New("the file ends within its header")
	}
	return string(file[start : start+length]), file[start+length:], nil
}

// npyType returns the element type of a descr such as <f4, and the bytes of an element.
func npyType(descr string) (tensor.DType, int, error) {
	if len(descr) < 2 || !strings.ContainsRune("<>|=", rune(descr[0])) {
		return 0, 0, fmt.Errorf("unknown element type %.32q", descr)
	}
	if descr[1] == 'O' {
		return 0, 0, errors.New("the array holds Python objects; save numbers, or strings as numpy.bytes_")
	}
	switch descr[1:] {
	case "b1":
		return tensor.Bool, 1, nil
	case "i1":
		return tensor.Int8, 1, nil
	case "i2":
		return tensor.Int16, 2, nil
	case "i4":
		return tensor.Int32, 4, nil
	case "i8":
		return tensor.Int64, 8, nil
	case "u1":
		return tensor.Uint8, 1, nil
	case "u2":
		return tensor.Uint16, 2, nil
	case "u4":
		return tensor.Uint32, 4, nil
	case "u8":
		return tensor.Uint64, 8, nil
	case "f2":
		return tensor.FP16, 2, nil
	case "f4":
		return tensor.FP32, 4, nil
	case "f8":
		return tensor.FP64, 8, nil
	case "V2":
		return tensor.BF16, 2, nil
	}
	n, err := strconv.ParseUint(descr[2:], 10, 24)
	switch {
	case err != nil:
	case descr[1] == 'S':
		return tensor.Bytes, int(n), nil
	case descr[1] == 'U':
		return tensor.Bytes, 4 * int(n), nil
	}
	return 0, 0, fmt.Errorf("elements of type %.32q are none that a request can carry", descr)
}

// npyStrings turns strings of a fixed size, filled up with NULs, into elements with their lengths.
func npyStrings(data []byte, count, size int, descr string) ([]byte, error) {
	out := make([]byte, 0, len(data)+4*min(count, len(data)+1))
	if size == 0 && count > maxEmpty {
		return nil, fmt.Errorf("more than %d empty strings", maxEmpty)
	}
	for i := range count {
		text := data[i*size : (i+1)*size]
		if descr[1] == 'U' {
			var err error
			if text, err = utf32(text, descr[0] == '>'); err != nil {
				return nil, err
			}
		}
		text = []byte(strings.TrimRight(string(text), "\x00"))
		out = binary.LittleEndian.AppendUint32(out, uint32(len(text)))
		out = append(out, text...)
	}
	return out, nil
}

// maxEmpty bounds strings of size 0, of which a few bytes of header can claim any number.
const maxEmpty = 1 << 20

// utf32 turns numpy's four bytes a character into UTF-8.
func utf32(text []byte, big bool) ([]byte, error) {
	var order binary.ByteOrder = binary.LittleEndian
	if big {
		order = binary.BigEndian
	}
	var out []byte
	for ; len(text) >= 4; text = text[4:] {
		r := rune(order.Uint32(text))
		if !utf8.ValidRune(r) {
			return nil, errors.New("a string holds what is no character")
		}
		out = utf8.AppendRune(out, r)
	}
	return out, nil
}

// swapped returns elements with their bytes the other way round.
func swapped(data []byte, size int) []byte {
	out := make([]byte, len(data))
	for i := range data {
		first := i - i%size
		out[first+size-1-i%size] = data[i]
	}
	return out
}

// npyHeader is what the header says.
type npyHeader struct {
	descr   string
	fortran bool
	shape   []int64
}

// parseNPYHeader reads a Python dict such as {'descr': '<f4', 'fortran_order': False, 'shape': (1, 64), }.
func parseNPYHeader(text string) (npyHeader, error) {
	p := npyParser{rest: strings.TrimSpace(text)}
	var h npyHeader
	seen := map[string]bool{}
	p.expect("{")
	for !p.bad && !p.accept("}") {
		key := p.quoted()
		p.expect(":")
		if seen[key] {
			p.bad = true
		}
		seen[key] = true
		switch key {
		case "descr":
			if strings.HasPrefix(p.rest, "[") {
				return h, errors.New("the array is of records with fields; save its fields one by one")
			}
			h.descr = p.quoted()
		case "fortran_order":
			h.fortran = p.accept("True")
			p.bad = p.bad || !h.fortran && !p.accept("False")
		case "shape":
			h.shape = p.tuple()
		default:
			p.bad = true
		}
		if !p.accept(",") {
			p.expect("}")
			break
		}
	}
	if p.bad || p.rest != "" || len(seen) != 3 {
		return h, errors.New("the header of the .npy file makes no sense")
	}
	return h, nil
}

// npyParser reads tokens from rest; bad says that what was expected was not there.
type npyParser struct {
	rest string
	bad  bool
}

func (p *npyParser) accept(token string) bool {
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = strings.TrimLeft(rest, " \t\n")
	}
	return ok
}

func (p *npyParser) expect(token string) {
	if !p.accept(token) {
		p.bad = true
	}
}

func (p *npyParser) quoted() string {
	if p.rest == "" || p.rest[0] != '\'' && p.rest[0] != '"' {
		p.bad = true
		return ""
	}
	text, rest, ok := strings.Cut(p.rest[1:], p.rest[:1])
	p.bad = p.bad || !ok
	p.rest = strings.TrimLeft(rest, " \t\n")
	return text
}

// tuple reads (1, 64), (3,) or ().
func (p *npyParser) tuple() []int64 {
	shape := []int64{}
	p.expect("(")
	for !p.bad && !p.accept(")") {
		digits := len(p.rest) - len(strings.TrimLeft(p.rest, "0123456789"))
		n, err := strconv.ParseInt(p.rest[:digits], 10, 64)
		if err != nil {
			p.bad = true
			break
		}
		shape = append(shape, n)
		p.rest = p.rest[digits:]
		p.accept("L") // Python 2 wrote long integers so
		p.rest = strings.TrimLeft(p.rest, " \t\n")
		if !p.accept(",") {
			p.expect(")")
			break
		}
	}
	return shape
}
