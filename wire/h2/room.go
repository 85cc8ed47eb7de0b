package h2

import (
	"slices"

	"github.com/sluice-serving/sluice/slab"
)

// waitingRoom is the messages of a connection for which the budget had no room: they are longer than their
// window, so that their client waits as well, and what has come of them is held. Whoever releases enough bytes
// wakes the reader. A message that fits its window is refused instead: it is here, and there is no room for it. So
// is one of which not even what has come can be held, since that asks the budget, too.
type waitingRoom struct {
	// Owned by the reader.
	place *slab.Waiter // in the budget's line; made when somebody waits
	lined bool         // and may be taken
	dueAt int64        // when the first has waited long enough; 0: nobody waits

	// Guarded by Conn.mu.
	streams []*Stream
}

// waits has the message that s starts wait for room, if it may: it is longer than its window. have is how much of
// it was announced. It runs under mu.
func (c *Conn) waits(s *Stream, size, have int64) bool {
	if st := &s.st; st.gone || st.recvDone || size <= have+st.RecvWindow {
		return false
	}
	now := c.srv.clock()
	s.st.waitSize, s.st.waitUntil = size, now+int64(c.srv.opts.RoomWait)
	if s.timeout >= 0 {
		s.st.waitUntil = min(s.st.waitUntil, c.srv.at(s.arrived)+int64(s.timeout))
	}
	c.room.streams = append(c.room.streams, s)
	return true
}

// stopsWaiting takes s out of the waiting room if it is there. It runs under mu.
func (c *Conn) stopsWaiting(s *Stream) {
	if s.st.waitSize == 0 {
		return
	}
	s.st.waitSize = 0
	i := slices.Index(c.room.streams, s)
	c.room.streams = slices.Delete(c.room.streams, i, i+1)
}

// findRoom starts messages that waited, in their order, as long as there is room.
func (c *Conn) findRoom() {
	w := &c.room
	for lined := false; ; {
		s, size, due := c.firstWaiting()
		if w.dueAt = due; s == nil {
			c.leaveLine()
			return
		}
		place := c.srv.pool.TryGet(int(size))
		if place == nil {
			if lined {
				return
			}
			if w.place == nil {
				w.place = slab.NewWaiter(c.poke)
			}
			lined, w.lined = true, true
			c.srv.pool.Budget().Await(w.place, int64(slab.SizeOf(int(size))))
			continue // there may be room since
		}
		c.leaveLine()
		lined = false
		c.mu.Lock()
		c.stopsWaiting(s)
		c.mu.Unlock()
		c.startsLate(s, place)
	}
}

// leaveLine takes the connection out of the budget's line.
func (c *Conn) leaveLine() {
	if w := &c.room; w.lined {
		w.lined = false
		c.srv.pool.Budget().Leave(w.place)
	}
}

// firstWaiting returns who is first, and when the first of all has waited long enough.
func (c *Conn) firstWaiting() (s *Stream, size, due int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, t := range c.room.streams {
		if i == 0 {
			s, size, due = t, t.st.waitSize, t.st.waitUntil
		}
		due = min(due, t.st.waitUntil)
	}
	return s, size, due
}

// startsLate gives the message of s its place, and what was held of it.
func (c *Conn) startsLate(s *Stream, place *slab.Slab) {
	if s.kind == Streaming {
		if r := s.startsLate(place); r != nil {
			c.refuse(s, r)
		}
		return
	}
	m, held := &s.msg, &s.inbox.held
	if m.waits = false; m.discard {
		place.Release()
		return
	}
	m.Slab = place
	if held.Len() > 0 {
		m.N = copy(place.Bytes()[:m.Size], held.Bytes())
	}
	held.Release()
	coming := 0
	if c.in.of == s {
		coming = c.in.Coming()
	}
	c.grantMessage(s, int64(m.Size-m.N-coming))
}

// outOfRoom refuses the messages that have waited long enough.
func (c *Conn) outOfRoom(now int64) {
	if w := &c.room; w.dueAt == 0 || now < w.dueAt {
		return
	}
	var late []*Stream
	var largest int64
	c.mu.Lock()
	for _, s := range slices.Clone(c.room.streams) {
		if now >= s.st.waitUntil {
			largest = max(largest, s.st.waitSize)
			c.stopsWaiting(s)
			late = append(late, s)
		}
	}
	c.mu.Unlock()
	for _, s := range late {
		c.refuse(s, &callMemory)
	}
	c.narrow(len(late), largest)
	c.leaveLine() // who is first may have changed
	c.findRoom()
}
