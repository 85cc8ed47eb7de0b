package h2

import (
	"encoding/binary"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// settingsFrame takes a SETTINGS frame.
func (c *Conn) settingsFrame(h frame.Head, p []byte) *link.Fault {
	if h.Has(frame.Ack) {
		c.acknowledged()
		return nil
	}
	c.in.Settled = true
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	for ; len(p) > 0; p = p[6:] {
		shift, f := m.peer.Set(frame.ParseSetting(p), &m.encoder)
		if f == nil {
			f = c.shiftWindows(shift)
		}
		if f != nil {
			return f
		}
	}
	m.out.SettingsAck()
	return nil
}

// shiftWindows changes the windows of all streams. It runs under mu.
func (c *Conn) shiftWindows(shift int64) *link.Fault {
	if shift == 0 {
		return nil
	}
	for _, s := range c.mu.streams {
		switch again, wrong := s.st.Allow(shift); {
		case wrong != frame.NoError:
			return &link.FaultWindowSet
		case again:
			c.enqueue(s)
		}
	}
	return nil
}

// pingFrame takes a PING frame.
func (c *Conn) pingFrame(h frame.Head, p []byte) {
	if h.Has(frame.Ack) {
		c.pong(p)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.out.Ping(p, true)
}

// windowFrame takes a WINDOW_UPDATE frame.
func (c *Conn) windowFrame(h frame.Head, p []byte) *link.Fault {
	n := int64(binary.BigEndian.Uint32(p) & frame.LargestWindow)
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	if h.Stream == 0 {
		return m.peer.Allow(n)
	}
	s := m.streams[h.Stream]
	switch {
	case s == nil && c.unopened(h.Stream):
		return &link.FaultIdleStream
	case s == nil:
		return nil
	}
	switch again, wrong := s.st.Allow(n); {
	case wrong != frame.NoError:
		return c.streamFault(s, wrong)
	case again:
		c.enqueue(s)
	}
	return nil
}

// unopened tells whether the client has never opened a stream.
func (c *Conn) unopened(id uint32) bool { return id%2 == 0 || id > c.lastID }

// resetFrame takes an RST_STREAM frame.
func (c *Conn) resetFrame(h frame.Head) *link.Fault {
	if c.unopened(h.Stream) {
		return &link.FaultIdleStream
	}
	m := &c.mu
	m.Lock()
	s := m.streams[h.Stream]
	if s == nil {
		m.Unlock()
		return c.budget.Spend()
	}
	s.st.recvDone = true
	quick := c.in.nowTime.Sub(s.arrived) < link.QuickReset
	l := c.lose(s)
	c.drop(s)
	m.Unlock()
	c.tell(l, &refuseShort)
	if !quick {
		c.budget.GivenUp()
		return nil
	}
	return c.budget.SpendReset()
}

// priorityFrame passes a PRIORITY frame over.
func (c *Conn) priorityFrame(h frame.Head, p []byte) *link.Fault {
	switch {
	case len(p) != 5:
		return c.badPriority(h.Stream, frame.FrameSizeError)
	case frame.ParsePriority(p) == h.Stream:
		return c.badPriority(h.Stream, frame.ProtocolError)
	}
	return c.budget.Spend()
}

// badPriority resets the stream that a PRIORITY frame is about.
func (c *Conn) badPriority(id uint32, code frame.Code) *link.Fault {
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	if s := m.streams[id]; s != nil {
		return c.streamFault(s, code)
	}
	m.out.Reset(id, code)
	c.remember(id)
	return c.budget.SpendReset()
}
