package slab

// inlineViews is how many views a List holds without a spill: a request that arrived in one buffer
// has one, a merge of four has four.
const inlineViews = 4

// keepSpill bounds the spilled views that an emptied List keeps for its next use.
const keepSpill = 256

// View is a run of bytes in a slab. S may be nil for bytes that live for ever.
type View struct {
	B []byte
	S *Slab
}

// Retain adds a reference to the view's slab.
func (v View) Retain() {
	if v.S != nil {
		v.S.Retain()
	}
}

// Release drops a reference of the view's slab.
func (v View) Release() {
	if v.S != nil {
		v.S.Release()
	}
}

// List is an ordered list of views that stands for one run of bytes. It holds one reference for each
// of its views. The zero List is empty and ready to use; it must not be copied.
type List struct {
	_      noCopy
	inline [inlineViews]View
	spill  []View
	n      int
	size   int
}

// Len returns the number of views.
func (l *List) Len() int { return l.n }

// Size returns the number of bytes.
func (l *List) Size() int { return l.size }

// At returns view i. The reference stays the list's.
func (l *List) At(i int) View {
	if i < inlineViews {
		return l.inline[i]
	}
	return l.spill[i-inlineViews]
}

// Append adds a view and takes a reference for it.
func (l *List) Append(v View) {
	v.Retain()
	l.AppendOwned(v)
}

// AppendOwned adds a view and takes over the caller's reference.
func (l *List) AppendOwned(v View) {
	if l.n < inlineViews {
		l.inline[l.n] = v
	} else {
		l.spill = append(l.spill, v)
	}
	l.n++
	l.size += len(v.B)
}

// AppendList adds all views of src, with references of their own.
func (l *List) AppendList(src *List) {
	for i := range src.n {
		l.Append(src.At(i))
	}
}

// Take moves all views of src, with their references, to the end of the list, and leaves src empty.
func (l *List) Take(src *List) {
	for i := range min(src.n, inlineViews) {
		l.AppendOwned(src.inline[i])
		src.inline[i] = View{}
	}
	for i := range src.spill {
		l.AppendOwned(src.spill[i])
		src.spill[i] = View{}
	}
	src.empty()
}

// AppendRange adds bytes off to off+n of src, with references of their own. It panics if src is shorter.
func (l *List) AppendRange(src *List, off, n int) {
	if off < 0 || n < 0 || off+n > src.size {
		panic("BUG: slab: range outside of list")
	}
	for i := 0; n > 0; i++ {
		v := src.At(i)
		if off >= len(v.B) {
			off -= len(v.B)
			continue
		}
		take := min(n, len(v.B)-off)
		l.Append(View{B: v.B[off : off+take : off+take], S: v.S})
		off, n = 0, n-take
	}
}

// CopyTo copies the bytes to dst and returns how many; dst may be shorter than the list.
func (l *List) CopyTo(dst []byte) int {
	total := 0
	for i := 0; i < l.n && total < len(dst); i++ {
		total += copy(dst[total:], l.At(i).B)
	}
	return total
}

// Contiguous returns the bytes if they lie in one run, which they do for at most one view.
func (l *List) Contiguous() ([]byte, bool) {
	switch l.n {
	case 0:
		return nil, true
	case 1:
		return l.inline[0].B, true
	}
	return nil, false
}

// Flatten makes the list one view: it copies into a slab of p if the list has several.
func (l *List) Flatten(p *Pool) []byte {
	if b, ok := l.Contiguous(); ok {
		return b
	}
	s := p.Get(l.size)
	v := s.View(0, l.size)
	l.CopyTo(v.B)
	l.Release()
	l.AppendOwned(v)
	return v.B
}

// Release drops all references and empties the list.
func (l *List) Release() {
	for i := range min(l.n, inlineViews) {
		l.inline[i].Release()
		l.inline[i] = View{}
	}
	for i := range l.spill {
		l.spill[i].Release()
		l.spill[i] = View{}
	}
	l.empty()
}

// empty forgets views whose references are gone.
func (l *List) empty() {
	if cap(l.spill) > keepSpill {
		l.spill = nil
	}
	l.spill = l.spill[:0]
	l.n, l.size = 0, 0
}

// noCopy makes vet complain about copies: a copied List would release its views twice.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}
