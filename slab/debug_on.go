//go:build sluicedebug

package slab

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"sort"
	"sync"
)

// poison is what released bytes read as: as a float it is a huge negative number, as a length absurd.
const poison = 0xDB

type debugSlab struct {
	stack []byte
}

func (d *debugSlab) check(s *Slab) {
	if s.refs.Load() <= 0 {
		panic("BUG: slab: used after release; taken at\n" + string(d.stack))
	}
}

type debugPool struct {
	mu struct {
		sync.Mutex
		out map[*Slab]struct{}
	}
}

func (d *debugPool) taken(s *Slab) {
	s.debug.stack = debug.Stack()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.out == nil {
		d.mu.out = make(map[*Slab]struct{})
	}
	d.mu.out[s] = struct{}{}
}

func (d *debugPool) released(s *Slab) {
	copy(s.buf, bytes.Repeat([]byte{poison}, len(s.buf)))
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.mu.out, s)
}

func (d *debugPool) leaks() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for s := range d.mu.out {
		all = append(all, fmt.Sprintf("%d bytes, %d references, taken at\n%s", len(s.buf), s.refs.Load(), s.debug.stack))
	}
	sort.Strings(all)
	return all
}
