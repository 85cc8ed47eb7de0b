package batching

import "github.com/sluice-serving/sluice/infer"

// direct hands c over in the batch that it brings along.
func (s *Scheduler) direct(c *infer.Call, slot infer.Slot, now int64, out []Action) []Action {
	b := c.OpenSingle()
	if !b.Add(c, infer.AllRows) {
		b.Discard()
		return append(out, Action{Kind: Return, Slot: slot})
	}
	return s.ready(b, c.Queue.Lane.(*lane).queue, slot, Direct, now, out)
}

func (s *Scheduler) ready(b *infer.Batch, q *Queue, slot infer.Slot, cause Cause, now int64, out []Action) []Action {
	b.Model, b.Slot, b.Slots, b.Owner, b.Formed = q.opts.Model, slot, s.slots, s.owner, now
	return append(out, Action{Kind: Run, Cause: cause, Batch: b})
}

// first forms a batch of the lane with the oldest head, if there is room for it.
func (s *Scheduler) first(now int64, out []Action) []Action {
	l, out := s.oldest(now, out)
	if l == nil {
		return out
	}
	if slot, ok := s.slots.TryAcquire(l.queue.opts.Model); ok {
		return s.form(l, slot, now, out)
	}
	return out
}

// dispatch forms up to limit batches, the lanes with the oldest heads first. A lane for which there is no
// room is passed over: another may use another endpoint.
func (s *Scheduler) dispatch(limit int, now int64, out []Action) []Action {
	s.scan++
	var l *lane
	for n := 0; n < limit; {
		if l, out = s.oldest(now, out); l == nil {
			break
		}
		if l.queue.starved != s.scan {
			if slot, ok := s.slots.TryAcquire(l.queue.opts.Model); ok {
				out = s.form(l, slot, now, out)
				n++
				continue
			}
			l.queue.starved = s.scan
		}
		s.waiting.remove(l)
		s.aside = append(s.aside, l)
	}
	for i, l := range s.aside {
		s.waiting.push(l)
		s.aside[i] = nil
	}
	s.aside = s.aside[:0]
	return out
}

// oldest returns the lane whose head has waited longest, nil if none waits. Heads that are too late to run
// count for nothing: it fails them first.
func (s *Scheduler) oldest(now int64, out []Action) (*lane, []Action) {
	for len(s.waiting) > 0 {
		l := s.waiting[0]
		c := l.head
		err := l.queue.stale(c, now)
		if err == nil {
			return l, out
		}
		s.unlink(l, c)
		s.settle(l, now)
		out = append(out, Action{Kind: Fail, Call: c, Err: err})
	}
	return nil, out
}

// form makes a batch of the calls at the head of l, which has some. All may turn out to be done.
func (s *Scheduler) form(l *lane, slot infer.Slot, now int64, out []Action) []Action {
	var b *infer.Batch
	for c := l.head; c != nil && l.takes(b, c); c = l.head {
		alone := l.travelsAlone(c)
		s.unlink(l, c)
		if err := l.queue.stale(c, now); err != nil {
			out = append(out, Action{Kind: Fail, Call: c, Err: err})
			continue
		}
		switch {
		case b != nil:
		case alone:
			b = c.OpenSingle()
		default:
			b = c.Memory().NewBatch()
		}
		if !b.Adopt(c, infer.AllRows) {
			// It is done and about to ask for its place here.
			out = append(out, Action{Kind: Drop, Call: c})
			if b == &c.Single {
				b.Discard()
				b = nil
			}
		}
	}
	cause := Freed
	if l.head != nil && !l.alone {
		cause = Full
	}
	s.settle(l, now)
	if b != nil && len(b.Members) == 0 {
		b.Discard()
		b = nil
	}
	if b == nil {
		return append(out, Action{Kind: Return, Slot: slot})
	}
	return s.ready(b, l.queue, slot, cause, now, out)
}

// takes tells whether c, at the head of l, may join b.
func (l *lane) takes(b *infer.Batch, c *infer.Call) bool {
	if b == nil || len(b.Members) == 0 {
		return true
	}
	return !l.alone && l.queue.fits(b.Rows+c.Request.Rows, b.Bytes+c.Request.Bytes)
}

// travelsAlone tells whether c, at the head of l, can use the batch that it brings along. One that was
// refused may still be leaving that batch.
func (l *lane) travelsAlone(c *infer.Call) bool {
	if c.Queue.Refusals > 0 {
		return false
	}
	next := c.Queue.Next
	return l.alone || next == nil ||
		!l.queue.fits(c.Request.Rows+next.Request.Rows, c.Request.Bytes+next.Request.Bytes)
}
