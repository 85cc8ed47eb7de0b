package tfserving

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/fit"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

const (
	minChunk = 64
	maxChunk = 1 << 20
)

// A valueReader reads tensors from a document whose values stand nested, as in a request, or as in an answer.
type valueReader struct {
	pool *slab.Pool
	s    text.Scanner

	// Of the document being read.
	of     *infer.Model
	specs  []infer.Spec                  // those of the tensors
	answer bool                          // they are a backend's
	charge func(size int64) *infer.Error // counts bytes of tensors; nil: nobody does
}

// A column is a tensor while its values are read. Neither the shape nor the number of rows is said before, so the
// first value shows the shape, those behind it must agree, and data grows by slabs.
type column struct {
	index int // the tensor's place in the model's list
	dtype tensor.DType
	rows  int  // values read
	named bool // each of them is a row, whose shape dims is

	rank int // -1: no element has been seen
	dims [tensor.MaxRank]int64

	data slab.List
	cur  *slab.Slab
	buf  []byte // of cur: what is there
	next int    // size of the next slab
}

// start begins a column. hint is how long its data may be, as far as anybody knows.
func (c *column) start(index int, d tensor.DType, hint int) {
	*c = column{index: index, dtype: d, rank: -1, next: min(max(hint, minChunk), maxChunk)}
	for i := range c.dims {
		c.dims[i] = -1
	}
}

// flush gives what was read to data.
func (c *column) flush() {
	if c.cur == nil {
		return
	}
	if len(c.buf) > 0 {
		c.data.AppendOwned(c.cur.View(0, len(c.buf)))
	} else {
		c.cur.Release()
	}
	c.cur, c.buf = nil, nil
}

// drop forgets what was read.
func (c *column) drop() {
	c.flush()
	c.data.Release()
}

// room makes sure that n bytes can be appended to buf.
func (d *valueReader) room(c *column, n int) *infer.Error {
	if cap(c.buf)-len(c.buf) >= n {
		return nil
	}
	if d.charge != nil {
		if err := d.charge(int64(len(c.buf))); err != nil {
			return err
		}
	}
	c.flush()
	n = max(n, c.next)
	c.cur = d.pool.Get(n)
	c.buf = c.cur.Bytes()[:0:n]
	c.next = min(2*n, maxChunk)
	return nil
}

// value reads one value: a scalar, or arrays nested as deep as the tensor has axes. All arrays at one depth have the same
// length, in this value and in those before it.
func (d *valueReader) value(c *column) *infer.Error {
	s := &d.s
	var counts [tensor.MaxRank]int64
	level := 0
	for {
		switch {
		case s.Peek() == '[' && level == tensor.MaxRank:
			return d.uneven(c, "is nested deeper than 32 levels")
		case s.Peek() == '[' && level == c.rank:
			return d.uneven(c, "has a list where a value is due")
		case s.Peek() == '[':
			if !s.Open('[') {
				return d.fault()
			}
			counts[level] = 0
			level++
		default:
			n, err := d.leaves(c, level)
			if err != nil {
				return err
			}
			if level > 0 {
				counts[level-1] += n
			}
		}
		for level > 0 && !s.More() {
			if s.Failed() {
				return d.fault()
			}
			level--
			if err := d.closed(c, level, counts[level]); err != nil {
				return err
			}
			if level > 0 {
				counts[level-1]++
			}
		}
		if level == 0 {
			c.rows++
			return nil
		}
	}
}

// closed takes the length of an array at a level that ended.
func (d *valueReader) closed(c *column, level int, n int64) *infer.Error {
	switch {
	case c.dims[level] >= 0 && c.dims[level] != n:
		return d.uneven(c, "has lists of different lengths at one level")
	case n == 0 && c.rank < 0:
		c.rank = level + 1 // the deepest that there is
	}
	c.dims[level] = n
	return nil
}

func (d *valueReader) uneven(c *column, what string) *infer.Error {
	return d.wrong(c, what+", at byte "+strconv.Itoa(d.s.Pos))
}

// wrong says what is wrong with a tensor.
func (d *valueReader) wrong(c *column, what string) *infer.Error {
	if d.answer {
		return fit.BadBackend(d.of, c.index, what)
	}
	return infer.Errorf(infer.Invalid, "input %s of model %s %s", text.Quote(d.specs[c.index].Name), text.Quote(d.of.Name), what)
}

// fault words what was wrong with the document.
func (d *valueReader) fault() *infer.Error {
	if d.answer {
		return fit.Nonsense(d.of, "cannot be parsed: "+d.s.Wrong())
	}
	return d.s.Fault()
}

// leaves reads an element, and those behind it in the same array that are as plain, and returns how many there were.
func (d *valueReader) leaves(c *column, level int) (int64, *infer.Error) {
	switch {
	case c.rank < 0:
		c.rank = level
	case c.rank != level:
		return 0, d.uneven(c, "has a value where a list is due")
	}
	if c.dtype == tensor.Bytes {
		return 1, d.str(c)
	}
	return d.numbers(c, level)
}

// numbers reads elements of fixed size up to the end of their array, or one that stands in none.
func (d *valueReader) numbers(c *column, level int) (int64, *infer.Error) {
	s, size, n := &d.s, c.dtype.Size(), 0
	s.Nonfinite, s.NullNaN = true, d.answer
	defer func() { s.Nonfinite, s.NullNaN = false, false }()
	for {
		if err := d.room(c, size); err != nil {
			return 0, err
		}
		at := len(c.buf)
		var got int
		var bad text.BadValue
		if level > 0 {
			got, bad = s.Run(c.dtype, c.buf[at:cap(c.buf)], 0)
		} else if bad = s.Element(c.dtype, c.buf[at:at+size]); bad == text.ValueOK {
			got = 1
		}
		if s.Failed() {
			return 0, d.fault()
		}
		c.buf = c.buf[:at+got*size]
		n += got
		switch bad {
		case text.ValueOK:
			return int64(n), nil
		case text.ValueExcess:
		default:
			return 0, d.badValue(c, bad)
		}
	}
}

func (d *valueReader) badValue(c *column, bad text.BadValue) *infer.Error {
	if c.dtype == tensor.Bytes {
		return d.uneven(c, "has an element that is no string")
	}
	what := "element " + strconv.Itoa((c.data.Size()+len(c.buf))/c.dtype.Size()) + " " + fit.WhyBad(bad, c.dtype)
	if d.answer {
		return d.wrong(c, "is wrong: "+what)
	}
	return infer.Errorf(infer.Invalid, "input %s of model %s: %s", text.Quote(d.specs[c.index].Name), text.Quote(d.of.Name), what)
}

// str reads a string, which may be an object that holds it in base 64.
func (d *valueReader) str(c *column) *infer.Error {
	s := &d.s
	switch s.Peek() {
	case '"':
		from, to, escaped, ok := s.Quoted()
		if !ok {
			return d.fault()
		}
		b := s.Text[from:to]
		if err := d.room(c, 4+len(b)); err != nil {
			return err
		}
		at := len(c.buf)
		c.buf = append(c.buf, 0, 0, 0, 0)
		if escaped {
			c.buf = text.Unescape(c.buf, b)
		} else {
			c.buf = append(c.buf, b...)
		}
		binary.LittleEndian.PutUint32(c.buf[at:], uint32(len(c.buf)-at-4))
		return nil
	case '{':
		return d.base64(c)
	}
	if at := s.Pos; s.Skip() {
		s.Pos = at
		return d.badValue(c, text.ValueKind)
	}
	return d.fault()
}

// base64 reads an object whose only member is b64.
func (d *valueReader) base64(c *column) *infer.Error {
	s := &d.s
	at := s.Pos
	s.Open('{')
	key, ok := s.Key()
	if s.Failed() {
		return d.fault()
	}
	if !ok || string(key) != "b64" || s.Peek() != '"' {
		s.Pos = at
		return d.badValue(c, text.ValueKind)
	}
	b, ok := s.String()
	if !ok {
		return d.fault()
	}
	if _, ok := s.Key(); ok {
		s.Pos = at
		return d.badValue(c, text.ValueKind)
	}
	if s.Failed() {
		return d.fault()
	}
	b = unpadded(b)
	n := base64.RawStdEncoding.DecodedLen(len(b))
	if err := d.room(c, 4+n); err != nil {
		return err
	}
	to := c.buf[len(c.buf) : len(c.buf)+4+n]
	n, err := base64.RawStdEncoding.Decode(to[4:], b)
	if err != nil {
		return d.wrong(c, `has a "b64" that is not base 64, at byte `+strconv.Itoa(at))
	}
	binary.LittleEndian.PutUint32(to, uint32(n))
	c.buf = c.buf[:len(c.buf)+4+n]
	return nil
}

// isObject tells whether the value that stands at an offset is an object that is no string in base 64. What is not
// JSON is for the scanner to find out.
func (d *valueReader) isObject(i int) bool {
	i = d.space(i)
	if d.at(i) != '{' {
		return false
	}
	const key = `"b64"`
	if i = d.space(i + 1); len(d.s.Text)-i < len(key) || string(d.s.Text[i:i+len(key)]) != key {
		return true
	}
	if i = d.space(i + len(key)); d.at(i) != ':' {
		return true
	}
	if i = d.space(i + 1); d.at(i) != '"' {
		return true
	}
	for i++; i < len(d.s.Text) && d.s.Text[i] != '"'; i++ {
		if d.s.Text[i] == '\\' {
			i++
		}
	}
	return i < len(d.s.Text) && d.at(d.space(i+1)) != '}'
}

func (d *valueReader) at(i int) byte {
	if i < len(d.s.Text) {
		return d.s.Text[i]
	}
	return 0
}

// space returns the first place from i on that is no white space.
func (d *valueReader) space(i int) int {
	for i < len(d.s.Text) && (d.s.Text[i] == ' ' || d.s.Text[i] == '\n' || d.s.Text[i] == '\t' || d.s.Text[i] == '\r') {
		i++
	}
	return i
}

// unpadded returns base 64 without its padding, which clients leave out or not.
func unpadded(b []byte) []byte { return bytes.TrimRight(b, "=") }
