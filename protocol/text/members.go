package text

import (
	"bytes"
	"hash/maphash"
)

// An index finds the keys of wide objects, those that have too many members to compare each key with all before it. Its
// entries are places in Scanner.keys, plus one. Objects close in the reverse order in which they were opened, and so
// entries leave in the reverse order in which they came: clearing the last one never breaks the way to another.
type index struct {
	seed  maphash.Seed
	slots []uint32 // a power of two of them; at most half are in use
	used  int
}

// slot returns where a key's search begins.
func (x *index) slot(key []byte) int { return int(maphash.Bytes(x.seed, key)) & (len(x.slots) - 1) }

// widen puts the keys of the innermost object into the index, and those that are still to come.
func (s *Scanner) widen() {
	f := &s.frames[s.depth]
	f.wide = true
	for at := f.keys; at < len(s.keys); at++ {
		s.put(at)
	}
}

// has tells whether the innermost object, which is wide, has a key already.
func (s *Scanner) has(key []byte) bool {
	x, first := &s.index, s.frames[s.depth].keys
	for i := x.slot(key); x.slots[i] != 0; i = (i + 1) & (len(x.slots) - 1) {
		if at := int(x.slots[i]) - 1; at >= first && bytes.Equal(s.keys[at], key) {
			return true
		}
	}
	return false
}

// put adds the key at a place, which is new.
func (s *Scanner) put(at int) {
	x := &s.index
	if 2*(x.used+1) > len(x.slots) {
		s.grow()
	}
	i := x.slot(s.keys[at])
	for x.slots[i] != 0 {
		i = (i + 1) & (len(x.slots) - 1)
	}
	x.slots[i] = uint32(at + 1)
	x.used++
}

// grow makes room for twice as many keys.
func (s *Scanner) grow() {
	x := &s.index
	old := x.slots
	if old == nil {
		x.seed = maphash.MakeSeed()
	}
	x.slots, x.used = make([]uint32, max(2*len(old), 4*MaxMembers)), 0
	if old == nil {
		return
	}
	known := make([]bool, len(s.keys)) // by place, for they are put in their order
	for _, e := range old {
		if e != 0 {
			known[e-1] = true
		}
	}
	for at, is := range known {
		if is {
			s.put(at)
		}
	}
}

// forget takes the keys of the innermost object, which is wide, out of the index.
func (s *Scanner) forget() {
	x := &s.index
	for at := len(s.keys) - 1; at >= s.frames[s.depth].keys; at-- {
		i := x.slot(s.keys[at])
		for x.slots[i] != uint32(at+1) {
			i = (i + 1) & (len(x.slots) - 1)
		}
		x.slots[i] = 0
		x.used--
	}
}
