package hpack

// Encoder writes header blocks. It codes no string: what it saves in bytes costs more than it is worth
// between machines that are near each other.
type Encoder struct {
	table   table
	own     int  // the most that the table may use, whatever the peer allows
	changed bool // a size update is due
	emptied bool // behind one to 0
}

// Init makes e ready. own bounds its table; the peer's limit starts at the protocol's 4096.
func (e *Encoder) Init(own int) {
	const initial = 4096
	own = min(own, initial)
	e.own = own
	e.table = table{limit: own, max: own}
	// The peer believes in 4096 until told otherwise, and a table that is kept smaller than the peer's
	// would number its entries differently once it evicts.
	e.changed, e.emptied = own != initial, false
}

// SetLimit takes the table size of the peer's settings.
func (e *Encoder) SetLimit(n uint32) {
	size := e.own
	if int64(n) < int64(size) {
		size = int(n)
	}
	if size == e.table.max && !e.changed {
		return
	}
	// Two updates in one block are allowed, but golang.org/x/net takes the second one only if the first
	// left nothing in the table. So a limit that fell and rose empties it.
	e.emptied = e.changed && (e.emptied || size > e.table.max)
	if e.emptied {
		e.table.setMax(0)
	}
	e.changed = true
	e.table.setMax(size)
}

// Begin starts a block: it appends what must come first.
func (e *Encoder) Begin(dst []byte) []byte {
	if !e.changed {
		return dst
	}
	if e.emptied {
		dst = append(dst, 0x20)
	}
	e.changed, e.emptied = false, false
	return appendInteger(dst, 0x20, 5, e.table.max)
}

// Repeated appends a field that will come again: by its index, or so that the next time it can be.
func (e *Encoder) Repeated(dst []byte, name, value string) []byte {
	for i := range e.table.count {
		en := e.table.at(i)
		if int(en.name) == len(name) && int(en.val) == len(value) && e.is(en, name, value) {
			return appendInteger(dst, 0x80, 7, staticCount+1+i)
		}
	}
	s := int(staticIndex[name])
	for i := s; i > 0 && i <= staticCount && static[i].name == name; i++ {
		if static[i].value == value {
			return appendInteger(dst, 0x80, 7, i)
		}
	}
	dst = appendInteger(dst, 0x40, 6, s)
	if s == 0 {
		dst = appendPlain(dst, name)
	}
	dst = appendPlain(dst, value)
	e.enter(name, value)
	return dst
}

func (e *Encoder) is(en *entry, name, value string) bool {
	t := &e.table
	mask := uint32(len(t.bytes) - 1)
	for i := range len(name) {
		if t.bytes[(en.off+uint32(i))&mask] != name[i] {
			return false
		}
	}
	off := en.off + en.name
	for i := range len(value) {
		if t.bytes[(off+uint32(i))&mask] != value[i] {
			return false
		}
	}
	return true
}

func (e *Encoder) enter(name, value string) {
	var scratch [256]byte
	b := append(append(scratch[:0], name...), value...)
	e.table.add(b[:len(name)], b[len(name):], 0, 0)
}

// Varying appends a field that will not come again like this. It leaves the table alone.
func (e *Encoder) Varying(dst []byte, name string, value []byte) []byte {
	s := int(staticIndex[name])
	dst = appendInteger(dst, 0, 4, s)
	if s == 0 {
		dst = appendPlain(dst, name)
	}
	dst = appendInteger(dst, 0, 7, len(value))
	return append(dst, value...)
}

// Status appends :status.
func (e *Encoder) Status(dst []byte, code int) []byte {
	switch code {
	case 200:
		return append(dst, 0x80|Status)
	case 204:
		return append(dst, 0x80|(Status+1))
	case 206:
		return append(dst, 0x80|(Status+2))
	case 304:
		return append(dst, 0x80|(Status+3))
	case 400:
		return append(dst, 0x80|(Status+4))
	case 404:
		return append(dst, 0x80|(Status+5))
	case 500:
		return append(dst, 0x80|(Status+6))
	}
	return append(dst, Status, 3, '0'+byte(code/100%10), '0'+byte(code/10%10), '0'+byte(code%10))
}

func appendPlain(dst []byte, s string) []byte {
	dst = appendInteger(dst, 0, 7, len(s))
	return append(dst, s...)
}

// appendInteger appends n with a prefix of so many bits; first holds the bits before it.
func appendInteger(dst []byte, first byte, prefix, n int) []byte {
	most := 1<<prefix - 1
	if n < most {
		return append(dst, first|byte(n))
	}
	dst = append(dst, first|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

// Field is Varying for a name that is not a constant.
func (e *Encoder) Field(dst, name, value []byte) []byte {
	s := int(staticIndex[string(name)])
	dst = appendInteger(dst, 0, 4, s)
	if s == 0 {
		dst = appendInteger(dst, 0, 7, len(name))
		dst = append(dst, name...)
	}
	dst = appendInteger(dst, 0, 7, len(value))
	return append(dst, value...)
}
