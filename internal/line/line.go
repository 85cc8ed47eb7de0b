// Package line keeps what waits in the order in which it came, and lets anything leave from wherever it stands.
//
// # Model
//
// An element has a [Place] among its fields, which links it: standing in line allocates nothing, and it can
// stand in as many lines as it has places. The zero Place and the zero [Line] are ready to use.
//
// # Concurrency
//
// Whoever has a Line guards it, and the places of what stands in it, with a lock of his own.
package line

// Line is elements in the order in which they came. It must not be copied while something stands in it.
type Line[T any] struct {
	first, last *Place[T]
	n           int
}

// Place is where an element stands in a line.
type Place[T any] struct {
	of         *T // nil: in none
	prev, next *Place[T]
}

// First returns the element that stands at the head, nil if there is none.
func (l *Line[T]) First() *T { return l.first.element() }

// Len returns how many stand in line.
func (l *Line[T]) Len() int { return l.n }

// Append puts an element, by its place, at the end.
func (l *Line[T]) Append(p *Place[T], of *T) { l.put(p, of, l.last, nil) }

// Prepend puts an element, by its place, at the head.
func (l *Line[T]) Prepend(p *Place[T], of *T) { l.put(p, of, nil, l.first) }

func (l *Line[T]) put(p *Place[T], of *T, prev, next *Place[T]) {
	if p.of != nil {
		panic("BUG: line: an element stands in line already")
	}
	p.of, p.prev, p.next = of, prev, next
	*l.from(prev), *l.to(next) = p, p
	l.n++
}

// Remove takes the element of a place out. Nothing happens if it stands in no line; it must stand in no other.
func (l *Line[T]) Remove(p *Place[T]) {
	if p.of == nil {
		return
	}
	*l.from(p.prev), *l.to(p.next) = p.next, p.prev
	*p = Place[T]{}
	l.n--
}

// from returns what points from a place, or from the head of the line, to the one behind.
func (l *Line[T]) from(p *Place[T]) **Place[T] {
	if p == nil {
		return &l.first
	}
	return &p.next
}

// to returns what points from a place, or from the end of the line, to the one before.
func (l *Line[T]) to(p *Place[T]) **Place[T] {
	if p == nil {
		return &l.last
	}
	return &p.prev
}

// Taken tells whether an element stands in line here.
func (p *Place[T]) Taken() bool { return p.of != nil }

// Next returns the element behind, nil if there is none.
func (p *Place[T]) Next() *T { return p.next.element() }

func (p *Place[T]) element() *T {
	if p == nil {
		return nil
	}
	return p.of
}
