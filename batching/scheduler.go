package batching

import (
	"math"

	"github.com/sluice-serving/sluice/infer"
)

// maxRefusals is how many runs may refuse a call before it fails. An endpoint that goes away between the
// giving of its slot and the run refuses once; more than that is somebody's fault.
const maxRefusals = 3

// never is a time that does not come.
const never = int64(math.MaxInt64)

// EventKind says what happened.
type EventKind uint8

// The events.
const (
	Arrive  EventKind = iota // Call came to Queue
	Cancel                   // Call is done and was queued when that happened
	Result                   // Batch is over and its slot released
	Refused                  // Batch was not accepted by its runner, for Err, and its slot released
	Room                     // there may be room that no Result tells of
	Tick                     // the time that Wake told has come
	Close                    // Queue takes no more calls
)

// Event is something that the scheduler is told.
type Event struct {
	Kind  EventKind
	Queue *Queue
	Call  *infer.Call
	Batch *infer.Batch
	Err   *infer.Error
}

// ActionKind says what is to be done.
type ActionKind uint8

// The actions.
const (
	Run     ActionKind = iota // hand Batch to the runner of its slot
	Reject                    // Call was not accepted, for Err; always the last action
	Fail                      // finish Call with Err, then drop the reference that comes with it
	Drop                      // drop the reference that comes with Call
	Discard                   // give up Batch, which was refused
	Return                    // release Slot, for which nothing was left to run, then tell Room
)

// Cause says why a batch was formed when it was.
type Cause uint8

// The causes.
const (
	Direct Cause = iota // a slot was free when the call came
	Freed               // a slot became free and the lane had no more
	Full                // a slot became free and the lane had more than one batch takes

	causes
)

var causeNames = [causes]string{"direct", "slot", "full"}

// String returns the cause as metrics label it.
func (c Cause) String() string { return causeNames[c] }

// Action is something that the scheduler wants done, outside its lock.
type Action struct {
	Kind  ActionKind
	Cause Cause // of a Run
	Call  *infer.Call
	Batch *infer.Batch
	Err   *infer.Error
	Slot  infer.Slot
}

// Scheduler decides which calls run together, where and when. It is a deterministic state machine: what it
// does follows from the events it was told, their times, and the answers of its slots. It has no goroutine,
// timer, clock or lock; see [Group] for those.
type Scheduler struct {
	slots infer.Slots
	owner infer.BatchOwner

	waiting waiting
	number  uint64 // of calls that came
	scan    uint64 // of looks for room
	wake    int64
	aside   []*lane // scratch
}

// NewScheduler returns a scheduler that asks slots for room and makes owner the owner of its batches.
func NewScheduler(slots infer.Slots, owner infer.BatchOwner) *Scheduler {
	return &Scheduler{slots: slots, owner: owner, wake: never}
}

// Wake returns when a Tick is due next, the largest number if never.
func (s *Scheduler) Wake() int64 { return s.wake }

// Step takes one event and appends to out what is to be done about it.
func (s *Scheduler) Step(e Event, now int64, out []Action) []Action {
	switch e.Kind {
	case Arrive:
		return s.arrive(e.Queue, e.Call, now, out)
	case Cancel:
		return s.cancel(e.Call, now, out)
	case Result:
		// One slot came back, and whoever waited had found none before: one batch at most is to be formed.
		return s.dispatch(1, now, out)
	case Refused:
		return s.refused(e.Batch, e.Err, now, out)
	case Room:
		return s.dispatch(math.MaxInt, now, out)
	case Tick:
		return s.expire(now, out)
	case Close:
		return s.close(e.Queue, now, out)
	}
	panic("BUG: batching: unknown event")
}

// arrive runs the call at once if there is room and nobody waits for it, else queues it.
func (s *Scheduler) arrive(q *Queue, c *infer.Call, now int64, out []Action) []Action {
	if q.closed {
		return append(out, Action{Kind: Reject, Call: c, Err: infer.ErrDraining})
	}
	s.number++
	c.Queue.Lane, c.Queue.Since, c.Queue.Number = q.alone, now, s.number
	if q.calls == 0 {
		// A slot may have been released whose Result is yet to come: it belongs to who has waited longest.
		if len(s.waiting) > 0 {
			out = s.first(now, out)
		}
		if slot, ok := s.slots.TryAcquire(q.opts.Model); ok {
			return s.direct(c, slot, now, out)
		}
	}
	if q.rows+rowsOf(c) > q.opts.MaxQueueRows {
		return append(out, Action{Kind: Reject, Call: c, Err: infer.ErrQueueFull})
	}
	c.Retain()
	s.link(q.lane(c.Request, now), c)
	return out
}

// cancel unlinks a call that is done.
func (s *Scheduler) cancel(c *infer.Call, now int64, out []Action) []Action {
	l, _ := c.Queue.Lane.(*lane)
	if l == nil || !l.linked(c) {
		return out // whoever unlinked it has its reference
	}
	s.unlink(l, c)
	s.settle(l, now)
	return append(out, Action{Kind: Drop, Call: c})
}

// refused queues the members of a batch again where they were, or fails them.
func (s *Scheduler) refused(b *infer.Batch, err *infer.Error, now int64, out []Action) []Action {
	for i := range b.Members {
		c := b.Members[i].Call
		q := c.Queue.Lane.(*lane).queue
		c.Queue.Refusals++
		c.Retain()
		why := err
		if q.closed {
			why = infer.ErrDraining
		}
		switch {
		case q.closed || err.Retry == infer.Never || c.Queue.Refusals >= maxRefusals:
			out = append(out, Action{Kind: Fail, Call: c, Err: why})
		case b.TakeBack(i):
			s.link(q.lane(c.Request, now), c)
		default:
			out = append(out, Action{Kind: Drop, Call: c})
		}
	}
	out = append(out, Action{Kind: Discard, Batch: b})
	return s.dispatch(1, now, out)
}

// close fails what waits in q.
func (s *Scheduler) close(q *Queue, now int64, out []Action) []Action {
	q.closed = true
	for _, l := range s.waiting {
		for l.queue == q && l.head != nil {
			c := l.head
			s.unlink(l, c)
			out = append(out, Action{Kind: Fail, Call: c, Err: infer.ErrDraining})
		}
	}
	s.rebuild(now)
	return out
}

// expire fails the calls that have waited for as long as their queue allows.
func (s *Scheduler) expire(now int64, out []Action) []Action {
	for _, l := range s.waiting {
		for l.head != nil && l.queue.overdue(l.head, now) {
			c := l.head
			s.unlink(l, c)
			out = append(out, Action{Kind: Fail, Call: c, Err: infer.ErrWaitedTooLong})
		}
	}
	s.rebuild(now)
	s.wake = never
	for _, l := range s.waiting {
		s.wake = min(s.wake, l.queue.overdueAt(l.head))
	}
	return out
}

// rebuild settles all lanes after heads of many have gone.
func (s *Scheduler) rebuild(now int64) {
	all := s.waiting
	s.waiting = s.waiting[:0]
	for _, l := range all {
		if l.head == nil {
			l.place = -1
			l.queue.idle(l, now)
			continue
		}
		s.waiting.push(l)
	}
	clear(all[len(s.waiting):])
}

// link puts c into l, with the reference that the caller took.
func (s *Scheduler) link(l *lane, c *infer.Call) {
	l.insert(c)
	q := l.queue
	q.calls++
	q.rows += rowsOf(c)
	q.metrics.queued(c, rowsOf(c))
	s.wake = min(s.wake, q.overdueAt(c))
	switch {
	case l.place < 0:
		q.busy(l)
		s.waiting.push(l)
	case l.head == c:
		s.waiting.fix(l)
	}
}

// unlink takes c and its reference out of l. The caller settles l when he is done with it.
func (s *Scheduler) unlink(l *lane, c *infer.Call) {
	l.remove(c)
	l.queue.calls--
	l.queue.rows -= rowsOf(c)
	l.queue.metrics.queued(c, -rowsOf(c))
}

// settle moves l to where its head belongs, or among the idle.
func (s *Scheduler) settle(l *lane, now int64) {
	if l.head != nil {
		s.waiting.fix(l)
		return
	}
	s.waiting.remove(l)
	l.queue.idle(l, now)
}

// rowsOf is what a call counts in a queue: a request without rows takes up room as well.
func rowsOf(c *infer.Call) int64 { return max(c.Request.Rows, 1) }
