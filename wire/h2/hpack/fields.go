package hpack

// Flags of a field.
const (
	badName  = 1 << iota // has a character that no field name may have, or an upper-case letter
	badValue             // has a control character, or a space at an end
)

type span struct{ off, len uint32 }

type field struct {
	name, value span
	known       uint8
	flags       uint8
}

// Fields are the fields of a header block, in order. The zero value is empty and ready to use.
type Fields struct {
	buf  []byte
	list []field
	size int
	over bool
}

// Reset empties f for the next block. Buffers that one large block made are dropped.
func (f *Fields) Reset() {
	const keepBytes, keepFields = 4 << 10, 64
	if cap(f.buf) > keepBytes {
		f.buf = nil
	}
	if cap(f.list) > keepFields {
		f.list = nil
	}
	f.buf, f.list, f.size, f.over = f.buf[:0], f.list[:0], 0, false
}

// Len returns the number of fields.
func (f *Fields) Len() int { return len(f.list) }

// Name returns the name of field i.
func (f *Fields) Name(i int) []byte { return f.at(f.list[i].name) }

// Value returns the value of field i.
func (f *Fields) Value(i int) []byte { return f.at(f.list[i].value) }

func (f *Fields) at(s span) []byte { return f.buf[s.off : s.off+s.len : s.off+s.len] }

// Known returns the index of the first entry in the static table with the name of field i, 0 if it is not
// known to be there.
func (f *Fields) Known(i int) int { return int(f.list[i].known) }

// ValidName tells whether the name of field i is a lower-case token, or one behind a colon.
func (f *Fields) ValidName(i int) bool { return f.list[i].flags&badName == 0 }

// ValidValue tells whether the value of field i is free of control characters and of spaces at its ends.
func (f *Fields) ValidValue(i int) bool { return f.list[i].flags&badValue == 0 }

// ValidTrailers tells whether the fields may be trailers: valid, and none behind a colon.
func (f *Fields) ValidTrailers() bool {
	for i := range f.list {
		if !f.ValidName(i) || !f.ValidValue(i) || f.Name(i)[0] == ':' {
			return false
		}
	}
	return true
}

// Over tells whether fields were dropped because the list was larger than the limit.
func (f *Fields) Over() bool { return f.over }

// Size returns the size of the list as RFC 9113 counts it: 32 for each field and its bytes, with what was
// dropped.
func (f *Fields) Size() int { return f.size }

// Get returns the value of the first field of a name in lower case, and how many there are.
func (f *Fields) Get(name string) (value []byte, n int) {
	for i := range f.list {
		e := &f.list[i]
		if int(e.name.len) != len(name) || string(f.at(e.name)) != name {
			continue
		}
		if n == 0 {
			value = f.at(e.value)
		}
		n++
	}
	return value, n
}

// Kinds of characters.
const (
	nameChar  uint8 = 1 << iota // in a field name, which is in lower case
	valueChar                   // in a field value
)

// kinds tells of each byte what it may be part of. It is never written.
var kinds = func() (t [256]uint8) {
	for c := range 256 {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			t[c] |= valueChar
		}
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] |= nameChar
	}
	for c := '0'; c <= '9'; c++ {
		t[c] |= nameChar
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= nameChar
	}
	return t
}()

// checkName returns badName if b is no field name.
func checkName(b []byte) uint8 {
	if len(b) > 0 && b[0] == ':' {
		b = b[1:]
	}
	if len(b) == 0 {
		return badName
	}
	all := nameChar
	for _, c := range b {
		all &= kinds[c]
	}
	if all&nameChar == 0 {
		return badName
	}
	return 0
}

// checkValue returns badValue if b is no field value.
func checkValue(b []byte) uint8 {
	if len(b) == 0 {
		return 0
	}
	all := valueChar
	for _, c := range b {
		all &= kinds[c]
	}
	if all&valueChar == 0 || space(b[0]) || space(b[len(b)-1]) {
		return badValue
	}
	return 0
}

func space(c byte) bool { return c == ' ' || c == '\t' }
