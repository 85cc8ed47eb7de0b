package batching

import (
	"github.com/sluice-serving/sluice/infer"
)

// lane is a first-in, first-out list of calls that may run in one batch. It is guarded by the scheduler's
// lock, and so are the Queue fields of its calls.
type lane struct {
	queue *Queue
	key   key
	alone bool // its batches have one call

	head, tail *infer.Call

	// place is where the lane stands among those that wait, -1 if it has no calls.
	place int

	// next is the next lane whose key has the same hash.
	next *lane
	// While the lane has no calls, it is in its queue's list of idle lanes, the longest idle last.
	newer, older *lane
	idleSince    int64
}

// linked tells whether c stands in l.
func (l *lane) linked(c *infer.Call) bool { return c.Queue.Prev != nil || l.head == c }

// insert links c where its number belongs: at the end for one that just came, near the head for one that
// comes back from a run that was refused.
func (l *lane) insert(c *infer.Call) {
	after := l.tail
	if after != nil && after.Queue.Number > c.Queue.Number {
		after = nil
		for at := l.head; at.Queue.Number < c.Queue.Number; at = at.Queue.Next {
			after = at
		}
	}
	c.Queue.Lane = l
	c.Queue.Prev = after
	if after == nil {
		c.Queue.Next = l.head
		l.head = c
	} else {
		c.Queue.Next = after.Queue.Next
		after.Queue.Next = c
	}
	if c.Queue.Next == nil {
		l.tail = c
	} else {
		c.Queue.Next.Queue.Prev = c
	}
}

// remove unlinks c.
func (l *lane) remove(c *infer.Call) {
	prev, next := c.Queue.Prev, c.Queue.Next
	if prev == nil {
		l.head = next
	} else {
		prev.Queue.Next = next
	}
	if next == nil {
		l.tail = prev
	} else {
		next.Queue.Prev = prev
	}
	c.Queue.Prev, c.Queue.Next = nil, nil
}

// waiting is a heap of the lanes that have calls, the one with the oldest head first.
type waiting []*lane

func (w waiting) less(i, j int) bool { return w[i].head.Queue.Number < w[j].head.Queue.Number }

func (w waiting) swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}

func (w *waiting) push(l *lane) {
	l.place = len(*w)
	*w = append(*w, l)
	w.up(l.place)
}

func (w *waiting) remove(l *lane) {
	q, i := *w, l.place
	last := len(q) - 1
	q.swap(i, last)
	q[last] = nil
	*w = q[:last]
	l.place = -1
	if i < last {
		w.fix(w.at(i))
	}
}

func (w waiting) at(i int) *lane { return w[i] }

// fix moves l to its place after its head has changed.
func (w waiting) fix(l *lane) {
	w.up(l.place)
	w.down(l.place)
}

func (w waiting) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !w.less(i, parent) {
			return
		}
		w.swap(i, parent)
		i = parent
	}
}

func (w waiting) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(w) {
			return
		}
		if child+1 < len(w) && w.less(child+1, child) {
			child++
		}
		if !w.less(child, i) {
			return
		}
		w.swap(i, child)
		i = child
	}
}
