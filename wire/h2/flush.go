package h2

import (
	"errors"
	"os"

	"github.com/sluice-serving/sluice/wire/h2/link"
)

// Flush sends what is queued. It does not block: if somebody else is writing he takes it along, and what the
// socket does not take is left to a writer.
func (c *Conn) Flush() {
	m := &c.mu
	m.Lock()
	if m.writing {
		m.Unlock()
		return
	}
	m.writing = true
	for round := 0; ; round++ {
		p := c.pump()
		if m.failed || m.ended {
			m.out.Drop()
		}
		o := m.out.Take()
		if o == nil {
			m.writing = false
			if round > 0 && m.drain != serving {
				c.poke() // the reader may have waited for this write alone
			}
			m.Unlock()
			c.after(p)
			return
		}
		if c.raw == nil || round == link.FlushRounds {
			c.park(o, p)
			m.Unlock()
			return
		}
		m.Unlock()
		done, err := c.raw.TryWrite(o)
		switch {
		case err != nil:
			o.Recycle(&c.srv.outputs)
			m.Lock()
			c.writeFailed(err)
			m.Unlock()
		case done:
			o.Recycle(&c.srv.outputs)
		default:
			m.Lock()
			c.park(o, p)
			m.Unlock()
			return
		}
		c.after(p)
		m.Lock()
	}
}

// after does what pump left to do.
func (c *Conn) after(p pumped) {
	recycleAll(p.over)
	for s := p.idle; s != nil; {
		next := s.st.nextIdle
		c.tellSent(s)
		s = next
	}
}

// recycleAll recycles the streams of a list.
func recycleAll(s *Stream) {
	for s != nil {
		next := s.st.nextOver
		s.st.nextOver = nil
		s.recycle()
		s = next
	}
}

// park starts the writer with o, and what pump left to do for it. It runs under mu; writing is set and becomes
// the writer's.
func (c *Conn) park(o *link.Output, p pumped) {
	m := &c.mu
	m.parked, m.parkedFor = o, p
	m.pins++
	go c.write()
}

// writeFailed notes that the connection is of no more use. It runs under mu.
func (c *Conn) writeFailed(err error) {
	c.mu.failed = true
	c.mu.slow = errors.Is(err, os.ErrDeadlineExceeded)
	c.poke()
}

// writeParked is the writer: it writes until nothing is left, then ends.
func (c *Conn) writeParked() {
	m := &c.mu
	m.Lock()
	o, p := m.parked, m.parkedFor
	m.parked, m.parkedFor = nil, pumped{}
	for o != nil {
		m.Unlock()
		c.after(p)
		err := link.WriteSlowly(c.sock, c.raw, o, c.srv.opts.WriteIdle)
		o.Recycle(&c.srv.outputs)
		m.Lock()
		if err != nil {
			c.writeFailed(err)
			break
		}
		// What is over or idle has left something in the output.
		p = c.pump()
		o = m.out.Take()
	}
	m.writing = false
	if m.failed || m.ended {
		m.out.Drop()
	}
	if m.drain != serving {
		c.poke()
	}
	c.unpin()
	m.Unlock()
}
