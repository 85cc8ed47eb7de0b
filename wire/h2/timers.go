package h2

import (
	"time"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// timers are the reader's. One deadline is armed at a time, at or before the first that is due, and is not
// moved when that one moves away: it then fires for nothing, once in a while, which is cheaper than setting it
// for every read.
type timers struct {
	armed     int64 // 0: none
	startedAt int64
	ackBy     int64 // when the client has to have acknowledged our settings; 0: it has
	heard     int64 // when something was read last, or the reader woke
	resting   bool  // the reader rests
	restedAt  int64 // since when, or when it did last
	patience  int64 // how long nothing must have come when it rests
	idleAt    int64 // since when there has been no stream; 0: there are some
	bodyAt    int64 // when unfinished bodies are to be looked at; 0: there are none
	answerAt  int64 // when stuck answers are to be looked at; 0: there are none
}

// ackTimes is how many HeaderTimeouts a client has to acknowledge settings: it may have nothing to send.
const ackTimes = 3

// begin starts the clocks of a connection.
func (t *timers) begin(c *Conn, now int64) {
	t.startedAt, t.heard, t.patience = now, now, restAfter
	t.ackBy = now + ackTimes*int64(c.srv.opts.HeaderTimeout)
	if age := c.srv.opts.MaxConnectionAge; age > 0 {
		c.expire = now + int64(wire.Spread(age))
	}
}

// arm sets the deadline of reading if it must come sooner than what is set.
func (c *Conn) arm() {
	due := c.due()
	if t := &c.timer; t.armed == 0 || due < t.armed {
		t.armed = due
		_ = c.sock.SetReadDeadline(c.srv.epoch.Add(time.Duration(due))) // fails only if it is closed
	}
}

// due returns when the connection is to be looked at next.
func (c *Conn) due() int64 {
	o, t, in := &c.srv.opts, &c.timer, &c.in
	if c.live.Load() > 0 {
		t.idleAt = 0
	} else if t.idleAt == 0 {
		t.idleAt = in.now
	}
	due := in.now + int64(o.IdleTimeout)
	if t.idleAt != 0 {
		due = t.idleAt + int64(o.IdleTimeout)
		if c.mayRest() {
			due = min(due, t.restAt())
		}
	} else {
		due = min(due, in.now+int64(o.WriteIdle)) // answers get stuck unseen
		if c.raw != nil && c.room.dueAt == 0 {    // and the last one may leave so
			due = min(due, in.now+max(restAfter, in.now-t.heard))
		}
	}
	if t.bodyAt != 0 {
		due = min(due, t.bodyAt)
	}
	if t.answerAt != 0 {
		due = min(due, t.answerAt)
	}
	switch {
	case in.openedAt != 0:
		due = min(due, in.openedAt+int64(o.HeaderTimeout))
	case !in.greeted:
		due = min(due, t.startedAt+int64(o.HeaderTimeout))
	}
	if t.ackBy != 0 {
		due = min(due, t.ackBy)
	}
	if c.expire != 0 && !c.leaving {
		due = min(due, c.expire)
	}
	if c.finalAt != 0 {
		due = min(due, c.finalAt)
	}
	if at := c.room.dueAt; at != 0 {
		due = min(due, at)
	}
	due = (due + timerStep - 1) / timerStep * timerStep
	if at := c.mu.turns.Due(); at != 0 {
		due = min(due, at)
	}
	return max(due, 1)
}

// timerStep is what the times are multiples of at which connections are looked at, so that one wake-up of the process
// serves all that are due: where many clients come and go each for itself, the scheduler's monitor would be up all the
// time. A longer step has more to do at once, for which others wait.
const timerStep = int64(20 * time.Millisecond)

const (
	// restAfter is how long a connection has had no stream, and brought nothing, when its reader rests.
	restAfter = int64(100 * time.Millisecond)
	// restLate is the same where the last rest was shorter than that: to rest and to wake costs as much as a call, which
	// does not pay where one comes every second.
	restLate = 16 * restAfter
)

// restAt returns when the reader may rest.
func (t *timers) restAt() int64 { return max(t.idleAt, t.heard) + t.patience }

// mayRest tells whether the reader may rest once the connection has been idle for long enough.
func (c *Conn) mayRest() bool {
	t := &c.timer
	return c.raw != nil && t.idleAt != 0 && !t.resting && c.in.greeted && !c.in.Within() && !c.leaving
}

// rests tells whether the reader is to rest; then it is woken when the next thing is due.
func (c *Conn) rests(now int64) bool {
	t := &c.timer
	if !c.mayRest() || now < t.restAt() || c.live.Load() > 0 {
		return false
	}
	t.resting, t.restedAt, t.armed = true, now, 0
	c.arm()
	t.resting = !c.poked.Load()
	return t.resting
}

// wakes ends the reader's rest.
func (c *Conn) wakes() {
	in := &c.in
	in.nowTime = time.Now()
	in.now = c.srv.at(in.nowTime)
	t := &c.timer
	t.heard, t.resting, t.patience = in.now, false, restAfter
	if in.now-t.restedAt < restLate {
		t.patience = restLate
	}
}

// expired does what is due.
func (c *Conn) expired(now int64) *link.Fault {
	o, t, in := &c.srv.opts, &c.timer, &c.in
	switch {
	case !in.greeted && now >= t.startedAt+int64(o.HeaderTimeout):
		return &link.FaultNoPreface
	case in.openedAt != 0 && now >= in.openedAt+int64(o.HeaderTimeout):
		return &faultSlowHead
	case t.ackBy != 0 && now >= t.ackBy:
		return &faultNoAck
	case c.live.Load() == 0 && t.idleAt != 0 && now >= t.idleAt+int64(o.IdleTimeout):
		return &faultIdle
	}
	if c.expire != 0 && !c.leaving && now >= c.expire {
		c.aged = true
		c.leave()
	}
	if c.finalAt != 0 && now >= c.finalAt {
		c.lastCall()
	}
	c.outOfRoom(now)
	c.mu.Lock()
	c.mu.turns.Overdue(now, &c.mu.out)
	c.mu.Unlock()
	c.slowBodies(now)
	f := c.slowAnswers(now)
	c.Flush()
	return f
}

// watchBody has a body looked at that begins now.
func (c *Conn) watchBody() {
	if t := &c.timer; t.bodyAt == 0 {
		t.bodyAt = c.in.now + int64(c.srv.opts.BodyGrace) + bodyStep
	}
}

// bodyStep is how often slow bodies are looked at.
const bodyStep = int64(time.Second)

// slowBodies refuses requests that come too slowly.
func (c *Conn) slowBodies(now int64) {
	o := &c.srv.opts
	var slow []*Stream
	c.timer.bodyAt = 0
	c.mu.Lock()
	for _, s := range c.mu.streams {
		if s.kind == Streaming {
			if c.slowMessage(s, now) {
				slow = append(slow, s)
			}
			continue
		}
		if s.st.recvDone || s.msg.discard {
			continue
		}
		c.timer.bodyAt = now + bodyStep
		switch late := now - s.since - int64(o.BodyGrace); {
		case s.st.RecvWindow <= 0: // it waits for us
			s.since, s.mark = now, s.total
		case late > 0 && s.total-s.mark < behind(late, o.BodyRate):
			slow = append(slow, s)
		}
	}
	c.mu.Unlock()
	for _, s := range slow {
		if s.grpc {
			c.refuse(s, &callSlow)
		} else {
			s.body.fail(&refuseSlowBody)
		}
	}
}

// slowMessage tells whether the message that s has begun comes too slowly; between messages a stream may be
// silent. It runs under mu.
func (c *Conn) slowMessage(s *Stream, now int64) bool {
	o, st := &c.srv.opts, &s.st
	if st.recvDone || !st.partial {
		return false
	}
	c.timer.bodyAt = now + bodyStep
	if st.RecvWindow <= 0 { // it waits for us
		st.partialAt, st.partialMark = now, st.announced
		return false
	}
	late := now - st.partialAt - int64(o.BodyGrace)
	return late > 0 && st.announced-st.partialMark < behind(late, o.BodyRate)
}

// behind returns how many bytes should have come in d at a rate.
func behind(d int64, rate int) int64 { return d / int64(time.Millisecond) * int64(rate) / 1000 }

// slowAnswers ends streams, or the connection, whose client opens no window.
func (c *Conn) slowAnswers(now int64) (f *link.Fault) {
	idle := int64(c.srv.opts.WriteIdle)
	least := behind(idle, c.srv.opts.BodyRate)
	t, m := &c.timer, &c.mu
	t.answerAt = 0
	m.Lock()
	defer m.Unlock()
	if m.stuckAt != 0 {
		if now-m.stuckAt >= idle {
			if m.sent < least {
				return &faultSlowRead
			}
			m.stuckAt, m.sent = now, 0
		}
		t.answerAt = m.stuckAt + idle
	}
	var slow []uint32
	for id, s := range m.streams {
		st := &s.st
		if st.blockedAt == 0 {
			continue
		}
		if now-st.blockedAt >= idle {
			if st.Blocked && st.sentSince < least {
				slow = append(slow, id)
				continue
			}
			st.blockedAt, st.sentSince = now, 0
		}
		if t.answerAt == 0 || st.blockedAt+idle < t.answerAt {
			t.answerAt = st.blockedAt + idle
		}
	}
	for _, id := range slow {
		s := m.streams[id] // streamFault leaves the mutex for a moment
		if s == nil {
			continue
		}
		if one := c.streamFault(s, frame.Cancel); one != nil {
			f = one
		}
	}
	return f
}
