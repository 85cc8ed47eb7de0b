package hpack

// entryOverhead is what RFC 7541 adds to the bytes of an entry.
const entryOverhead = 32

// entry is one field in a table. Its bytes lie in the ring from off, name first, and may wrap.
type entry struct {
	off       uint32
	name, val uint32
	known     uint8
	flags     uint8
}

func (e *entry) size() int { return int(e.name+e.val) + entryOverhead }

// table is the dynamic table: bytes in one ring, entries in another. Both grow with use, up to what limit
// can hold, and never shrink: a connection that sends three fields again and again holds half a kilobyte.
type table struct {
	limit int // of size; the largest that the peer may ask for
	max   int // of size; what the peer asked for
	size  int

	bytes []byte // ring; its length is a power of two
	end   uint32 // where the next bytes go, unmasked
	used  int    // bytes in use

	entries []entry // ring; its length is a power of two
	first   uint32  // the oldest entry, unmasked
	count   int
}

const (
	firstBytes   = 256
	firstEntries = 8
)

// at returns entry i, 0 being the newest.
func (t *table) at(i int) *entry {
	at := t.first + uint32(t.count-1-i)
	return &t.entries[at&uint32(len(t.entries)-1)]
}

// appendName appends the name of e to dst.
func (t *table) appendName(dst []byte, e *entry) []byte { return t.appendBytes(dst, e.off, e.name) }

func (t *table) appendBytes(dst []byte, off, n uint32) []byte {
	if n == 0 {
		return dst
	}
	off &= uint32(len(t.bytes) - 1)
	if whole := uint32(len(t.bytes)) - off; n > whole {
		dst = append(dst, t.bytes[off:]...)
		return append(dst, t.bytes[:n-whole]...)
	}
	return append(dst, t.bytes[off:off+n]...)
}

// setMax changes the size that the table may have.
func (t *table) setMax(n int) {
	t.max = n
	t.evict(0)
}

// evict drops the oldest entries until more bytes fit.
func (t *table) evict(more int) {
	for t.count > 0 && t.size+more > t.max {
		e := &t.entries[t.first&uint32(len(t.entries)-1)]
		t.size -= e.size()
		t.used -= int(e.name + e.val)
		t.first++
		t.count--
	}
}

// add enters a field. A field that is larger than the table empties it and is not entered.
func (t *table) add(name, value []byte, known, flags uint8) {
	e := entry{name: uint32(len(name)), val: uint32(len(value)), known: known, flags: flags}
	t.evict(e.size())
	if e.size() > t.max {
		return
	}
	t.growBytes(len(name) + len(value))
	if t.count == len(t.entries) {
		t.growEntries()
	}
	e.off = t.end
	t.put(name)
	t.put(value)
	t.entries[(t.first+uint32(t.count))&uint32(len(t.entries)-1)] = e
	t.count++
	t.size += e.size()
}

func (t *table) put(b []byte) {
	at := t.end & uint32(len(t.bytes)-1)
	n := copy(t.bytes[at:], b)
	copy(t.bytes, b[n:])
	t.end += uint32(len(b))
	t.used += len(b)
}

// growBytes makes room for n more bytes.
func (t *table) growBytes(n int) {
	if t.used+n <= len(t.bytes) {
		return
	}
	size := max(firstBytes, len(t.bytes))
	for size < t.used+n {
		size *= 2
	}
	grown := make([]byte, size)
	start := t.end - uint32(t.used)
	t.appendBytes(grown[:0], start, uint32(t.used))
	for i := range t.count {
		t.at(i).off -= start
	}
	t.bytes, t.end = grown, uint32(t.used)
}

func (t *table) growEntries() {
	grown := make([]entry, max(firstEntries, 2*len(t.entries)))
	for i := range t.count {
		grown[i] = t.entries[(t.first+uint32(i))&uint32(len(t.entries)-1)]
	}
	t.entries, t.first = grown, 0
}
