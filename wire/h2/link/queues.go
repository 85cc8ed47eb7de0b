package link

import "github.com/sluice-serving/sluice/internal/line"

// Queues are the streams of a connection that have something to send, first come, first served. Those with long
// messages have a queue of their own, in which the first stays until all of it is sent, so that messages are whole one
// after the other; the two queues take turns. They are guarded by the connection's mutex.
type Queues[S any] struct {
	Short, Long line.Line[S]
	longNext    bool // whose turn it is
}

// Place is where a stream stands in one of the queues.
type Place[S any] struct {
	line.Place[S]
	long bool
}

// Len returns how many streams have something to send.
func (q *Queues[S]) Len() int { return q.Short.Len() + q.Long.Len() }

// Next returns the stream whose turn it is, nil if none has anything to send.
func (q *Queues[S]) Next() *S {
	if q.longNext = !q.longNext; q.Short.Len() == 0 || q.longNext && q.Long.Len() > 0 {
		return q.Long.First()
	}
	return q.Short.First()
}

// Append puts a stream, which stands in no queue, at the end of one.
func (q *Queues[S]) Append(p *Place[S], s *S, long bool) {
	p.long = long
	q.of(p).Append(&p.Place, s)
}

// Sent tells what came of having the stream send whose turn it was. One that has more goes to the end, unless its message
// is long, and one for which the connection has no window stays the first; any other is taken out.
func (q *Queues[S]) Sent(p *Place[S], s *S, r SendResult) {
	if r == SendStarved || r == SendMore && p.long {
		return
	}
	q.Remove(p)
	if r == SendMore {
		q.Short.Append(&p.Place, s)
	}
}

// Remove takes a stream out, if it stands in a queue.
func (q *Queues[S]) Remove(p *Place[S]) { q.of(p).Remove(&p.Place) }

func (q *Queues[S]) of(p *Place[S]) *line.Line[S] {
	if p.long {
		return &q.Long
	}
	return &q.Short
}
