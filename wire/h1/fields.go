package h1

// field is where a header field lies in the buffer of its head.
type field struct {
	name, nameLen   uint16
	value, valueLen uint16
}

// headerFields are the header fields of a head, as places in the buffer that it lies in.
type headerFields struct {
	n      int
	fields [mostHeaders]field
}

// put adds the field of a line at off whose name has n bytes, and returns its value and where that is. It returns false
// if the value has what must not be in one.
func (h *headerFields) put(off int, line []byte, n int) (value []byte, at span, ok bool) {
	value = trim(line[n+1:])
	if !plainValue(value) {
		return nil, span{}, false
	}
	start := off + n + 1
	if len(value) > 0 {
		start = off + cap(line) - cap(value)
	}
	at = span{uint16(start), uint16(len(value))}
	h.fields[h.n] = field{uint16(off), uint16(n), at.off, at.len}
	h.n++
	return value, at, true
}

// find returns the value of the field called name, in lower case or not, and how many there are.
func (h *headerFields) find(buf []byte, name string) (value []byte, count int) {
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

func sameName(b []byte, name string) bool {
	for i := range b {
		if lower(b[i]) != lower(name[i]) {
			return false
		}
	}
	return true
}
