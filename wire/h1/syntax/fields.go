package syntax

const (
	// MostBytes is how long a head may be at most.
	MostBytes = 48 << 10
	// MostFields is how many fields it may have at most.
	MostFields = 100
)

// Span is where a part of a head lies.
type Span struct{ Off, Len uint16 }

// SpanAt returns the span of n bytes at off.
func SpanAt(off, n int) Span { return Span{uint16(off), uint16(n)} }

// In returns the part of the buffer that the head lies in.
func (s Span) In(buf []byte) []byte { return buf[s.Off : s.Off+s.Len : s.Off+s.Len] }

// field is where a header field lies in the buffer of its head.
type field struct {
	name, nameLen   uint16
	value, valueLen uint16
}

// Fields are the header fields of a head, as places in the buffer that it lies in.
type Fields struct {
	n      int
	fields [MostFields]field
}

// Clear forgets the fields.
func (h *Fields) Clear() { h.n = 0 }

// Len returns the number of the fields.
func (h *Fields) Len() int { return h.n }

// At returns field i.
func (h *Fields) At(buf []byte, i int) (name, value []byte) {
	f := &h.fields[i]
	return Span{f.name, f.nameLen}.In(buf), Span{f.value, f.valueLen}.In(buf)
}

// Put adds the field of a line at off whose name has n bytes, and returns its value and where that is. It returns false
// if the value has what must not be in one.
func (h *Fields) Put(off int, line []byte, n int) (value []byte, at Span, ok bool) {
	value = trim(line[n+1:])
	if !PlainValue(value) {
		return nil, Span{}, false
	}
	start := off + n + 1
	if len(value) > 0 {
		start = off + cap(line) - cap(value)
	}
	at = SpanAt(start, len(value))
	h.fields[h.n] = field{uint16(off), uint16(n), at.Off, at.Len}
	h.n++
	return value, at, true
}

// Find returns the value of the field called name, in lower case or not, and how many there are.
func (h *Fields) Find(buf []byte, name string) (value []byte, count int) {
	for i := range h.fields[:h.n] {
		f := &h.fields[i]
		if int(f.nameLen) != len(name) || !sameName(buf[f.name:f.name+f.nameLen], name) {
			continue
		}
		if count == 0 {
			value = buf[f.value : f.value+f.valueLen : f.value+f.valueLen]
		}
		count++
	}
	return value, count
}

// Connection reads a field Connection: whether the connection ends behind the message, or is kept though the version
// of HTTP does not say so.
func Connection(value []byte) (ends, kept bool) {
	for len(value) > 0 {
		var e []byte
		e, value = nextElement(value)
		ends = ends || EqualFold(e, "close")
		kept = kept || EqualFold(e, "keep-alive")
	}
	return ends, kept
}

func sameName(b []byte, name string) bool {
	for i := range b {
		if Lower(b[i]) != Lower(name[i]) {
			return false
		}
	}
	return true
}
