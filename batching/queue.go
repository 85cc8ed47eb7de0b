package batching

import (
	"github.com/sluice-serving/sluice/infer"
)

// Queue is where the calls of one model version of one generation wait. It implements [infer.Submitter].
type Queue struct {
	// Immutable.
	opts       QueueOptions
	group      *Group // nil if no driver is about
	mergeable  bool
	errTooMany *infer.Error
	metrics    queueMetrics

	// Guarded by the scheduler's lock.
	closed  bool
	calls   int
	rows    int64
	starved uint64 // the scan that found no room

	alone     *lane // of calls that are not to be merged
	last      *lane // that took a call
	lanes     map[uint64]*lane
	laneCount int
	idleNew   *lane // the lane that went idle last
	idleOld   *lane // and the one that did first
}

// NewQueue returns a queue for s. An error names the setting that makes no sense.
func NewQueue(opts QueueOptions) (*Queue, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	m := opts.Model
	if m.MaxBatch > 0 && !m.AnyRows {
		opts.MaxRows = min(opts.MaxRows, m.MaxBatch)
	}
	q := &Queue{
		opts:      opts,
		mergeable: m.MaxBatch > 1 && opts.MaxRows > 1 && !m.Decoupled,
		errTooMany: infer.Errorf(infer.Invalid,
			"the request has more rows than the %d that model %q takes at once", m.MaxBatch, m.Name),
		lanes: make(map[uint64]*lane),
	}
	q.alone = &lane{queue: q, alone: true, place: -1}
	return q, nil
}

// errRowsDiffer refuses a request whose inputs do not agree.
var errRowsDiffer = infer.Errorf(infer.Invalid, "the inputs of the request have different numbers of rows")

// check refuses what can run in no batch of this queue's model.
func (q *Queue) check(r *infer.Request) *infer.Error {
	if q.opts.Model.MaxBatch == 0 || q.opts.Model.AnyRows {
		return nil // what does not go with others runs by itself
	}
	if r.Rows > q.opts.Model.MaxBatch {
		return q.errTooMany
	}
	for i := range r.Inputs {
		if s := r.Inputs[i].Shape; len(s) > 0 && s[0] != r.Rows {
			return errRowsDiffer
		}
	}
	return nil
}

// fits tells whether so much may be one batch of several calls.
func (q *Queue) fits(rows, bytes int64) bool {
	return rows <= q.opts.MaxRows && (q.opts.MaxBytes == 0 || bytes <= q.opts.MaxBytes)
}

// stale returns why c is not to run any more, nil if it is.
func (q *Queue) stale(c *infer.Call, now int64) *infer.Error {
	switch {
	case q.overdue(c, now):
		return infer.ErrWaitedTooLong
	case c.Deadline != 0 && c.Deadline <= now:
		return infer.ErrExpiredInQueue
	}
	return nil
}

// overdueAt returns when c will have waited for too long.
func (q *Queue) overdueAt(c *infer.Call) int64 {
	if q.opts.MaxWait == 0 {
		return never
	}
	return c.Queue.Since + int64(q.opts.MaxWait)
}

func (q *Queue) overdue(c *infer.Call, now int64) bool { return now >= q.overdueAt(c) }

// lane returns the lane of r: the one for requests like it, or the one for those that run alone.
func (q *Queue) lane(r *infer.Request, now int64) *lane {
	if !q.mergeable || r.Rows == 0 || r.Regions || ragged(r) {
		return q.alone
	}
	if q.last != nil && q.last.key.matches(r, q.opts.Headers) {
		return q.last
	}
	hash := hashOf(r, q.opts.Headers)
	for l := q.lanes[hash]; l != nil; l = l.next {
		if l.key.matches(r, q.opts.Headers) {
			q.last = l
			return l
		}
	}
	if q.laneCount >= q.opts.MaxLanes && q.idleOld == nil {
		return q.alone
	}
	q.reap(now)
	l := &lane{queue: q, key: makeKey(r, q.opts.Headers, hash), place: -1, next: q.lanes[hash]}
	q.lanes[hash] = l
	q.laneCount++
	q.last = l
	q.idle(l, now)
	return l
}

// ragged tells whether r has an input whose first axis is not the request's rows: none to merge along.
func ragged(r *infer.Request) bool {
	for i := range r.Inputs {
		if s := r.Inputs[i].Shape; len(s) == 0 || s[0] != r.Rows {
			return true
		}
	}
	return false
}

// reapAfter is how long a lane may be idle before a new one takes its place.
const reapAfter = 60e9

// reap drops lanes that have been idle for long, and the longest idle one if there are too many.
func (q *Queue) reap(now int64) {
	for l := q.idleOld; l != nil; l = q.idleOld {
		if q.laneCount < q.opts.MaxLanes && now-l.idleSince < reapAfter {
			return
		}
		q.busy(l)
		q.drop(l)
	}
}

// drop forgets an idle lane.
func (q *Queue) drop(l *lane) {
	if q.lanes[l.key.hash] == l {
		if l.next == nil {
			delete(q.lanes, l.key.hash)
		} else {
			q.lanes[l.key.hash] = l.next
		}
	} else {
		for o := q.lanes[l.key.hash]; ; o = o.next {
			if o.next == l {
				o.next = l.next
				break
			}
		}
	}
	l.next = nil
	q.laneCount--
	if q.last == l {
		q.last = nil
	}
}

// idle puts a lane without calls among the idle ones. The lane of those that run alone is not kept there.
func (q *Queue) idle(l *lane, now int64) {
	if l.alone {
		return
	}
	l.idleSince = now
	l.older, l.newer = q.idleNew, nil
	if q.idleNew != nil {
		q.idleNew.newer = l
	} else {
		q.idleOld = l
	}
	q.idleNew = l
}

// busy takes a lane out of the idle ones.
func (q *Queue) busy(l *lane) {
	if l.alone {
		return
	}
	if l.newer != nil {
		l.newer.older = l.older
	} else {
		q.idleNew = l.older
	}
	if l.older != nil {
		l.older.newer = l.newer
	} else {
		q.idleOld = l.newer
	}
	l.newer, l.older = nil, nil
}
