package h2

import (
	"encoding/binary"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// settingsFrame takes a SETTINGS frame.
func (c *Conn) settingsFrame(h frame.Head, p []byte) *link.Fault {
	if f := link.CheckSettings(h, p); f != nil {
		return f
	}
	if h.Has(frame.Ack) {
		c.timer.acked = true
		return c.budget.Spend()
	}
	c.in.Settled = true
	if f := c.budget.Spend(); f != nil {
		return f
	}
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	for ; len(p) > 0; p = p[6:] {
		if f := c.setting(frame.ParseSetting(p)); f != nil {
			return f
		}
	}
	out := c.output()
	out.B = frame.AppendSettingsAck(out.B)
	return nil
}

// setting applies one setting. It runs under mu.
func (c *Conn) setting(v frame.Value) *link.Fault {
	if v.Setting == frame.EnablePush && v.Value > 1 {
		return &link.FaultSetting
	}
	shift, f := c.mu.peer.Set(v, &c.mu.encoder)
	if f != nil {
		return f
	}
	return c.shiftWindows(shift)
}

// shiftWindows changes the windows of all streams. It runs under mu.
func (c *Conn) shiftWindows(delta int64) *link.Fault {
	m := &c.mu
	if delta == 0 {
		return nil
	}
	for _, s := range m.streams {
		if s.st.sendWindow += delta; s.st.sendWindow > frame.LargestWindow {
			return &link.FaultWindowSet
		}
		c.unblock(s)
	}
	return nil
}

// unblock queues a stream again that waited for its window. It runs under mu.
func (c *Conn) unblock(s *Stream) {
	if s.st.blocked && s.st.sendWindow > 0 {
		s.st.blocked = false
		c.enqueue(s)
	}
}

// pingFrame takes a PING frame.
func (c *Conn) pingFrame(h frame.Head, p []byte) *link.Fault {
	switch {
	case h.Stream != 0:
		return &link.FaultHasStream
	case len(p) != 8:
		return &link.FaultSize
	}
	if f := c.budget.Spend(); f != nil {
		return f
	}
	if h.Has(frame.Ack) {
		c.pong(p)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.output()
	out.B = frame.AppendPing(out.B, p, true)
	return nil
}

// windowFrame takes a WINDOW_UPDATE frame.
func (c *Conn) windowFrame(h frame.Head, p []byte) *link.Fault {
	if len(p) != 4 {
		return &link.FaultSize
	}
	if f := c.budget.Spend(); f != nil {
		return f
	}
	n := int64(binary.BigEndian.Uint32(p) & frame.LargestWindow)
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	if h.Stream == 0 {
		if n == 0 {
			return &link.FaultIncrement
		}
		if m.sendWindow += n; m.sendWindow > frame.LargestWindow {
			return &link.FaultWindowSet
		}
		m.starved = m.starved && m.sendWindow <= 0
		return nil
	}
	s := m.streams[h.Stream]
	switch {
	case s == nil && (h.Stream > c.lastID || h.Stream%2 == 0):
		return &link.FaultIdleStream
	case s == nil:
		return nil
	case n == 0:
		return c.streamFault(s, frame.ProtocolError)
	}
	if s.st.sendWindow += n; s.st.sendWindow > frame.LargestWindow {
		return c.streamFault(s, frame.FlowControlError)
	}
	c.unblock(s)
	return nil
}

// resetFrame takes an RST_STREAM frame.
func (c *Conn) resetFrame(h frame.Head, p []byte) *link.Fault {
	switch {
	case h.Stream == 0:
		return &link.FaultStreamZero
	case len(p) != 4:
		return &link.FaultSize
	case h.Stream > c.lastID || h.Stream%2 == 0:
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
	case h.Stream == 0:
		return &link.FaultStreamZero
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
	out := c.output()
	out.B = frame.AppendReset(out.B, id, code)
	c.remember(id)
	return c.budget.SpendReset()
}

// goAwayFrame takes a GOAWAY frame: the client opens no more streams, and will close when it has its answers.
func (c *Conn) goAwayFrame(h frame.Head, p []byte) *link.Fault {
	switch {
	case h.Stream != 0:
		return &link.FaultHasStream
	case len(p) < 8:
		return &link.FaultSize
	}
	return c.budget.Spend()
}
