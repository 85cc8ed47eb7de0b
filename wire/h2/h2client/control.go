package h2client

import (
	"encoding/binary"
	"strconv"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// settingsFrame takes a SETTINGS frame. The first one has calls come.
func (c *Conn) settingsFrame(h frame.Head, p []byte) *link.Fault {
	if h.Has(frame.Ack) {
		return nil
	}
	grew, f := c.settings(p)
	switch {
	case f != nil:
		return f
	case !c.in.Settled:
		c.in.Settled = true
		c.timer.heard = c.in.now
		c.open.Store(true)
		c.client.ready(c)
	case grew:
		c.client.feed(c)
	}
	return nil
}

// settings applies settings and acknowledges them. It tells whether there may be room for more calls.
func (c *Conn) settings(p []byte) (grew bool, f *link.Fault) {
	m := &c.mu
	m.Lock()
	defer m.Unlock()
	for ; len(p) > 0; p = p[6:] {
		v := frame.ParseSetting(p)
		if v.Setting == frame.MaxConcurrentStreams {
			c.limit.Store(int32(min(int64(v.Value), int64(c.client.opts.MaxStreams))))
			grew = true
		}
		shift, f := m.peer.Set(v, &m.encoder)
		if f == nil {
			f = c.shiftWindows(shift)
		}
		if f != nil {
			return false, f
		}
	}
	m.out.SettingsAck()
	return grew, nil
}

// shiftWindows changes the windows of all streams. It runs under mu.
func (c *Conn) shiftWindows(shift int64) *link.Fault {
	if shift == 0 {
		return nil
	}
	for _, s := range c.mu.streams {
		switch again, wrong := s.Allow(shift); {
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
	if h.Stream == 0 {
		defer m.Unlock()
		return m.peer.Allow(n)
	}
	s, idle := c.find(h.Stream), c.idle(h.Stream)
	again, wrong := false, frame.NoError
	if s != nil {
		again, wrong = s.Allow(n)
		s.touched = s.touched || wrong != frame.NoError
	}
	if again {
		c.enqueue(s)
	}
	m.Unlock()
	switch {
	case idle:
		return &link.FaultIdleStream
	case wrong != frame.NoError:
		c.fail(s, &verdictWindowSize, wrong)
	}
	return nil
}

// resetFrame takes an RST_STREAM frame.
func (c *Conn) resetFrame(h frame.Head, p []byte) *link.Fault {
	code := frame.Code(binary.BigEndian.Uint32(p))
	m := &c.mu
	m.Lock()
	s, idle := c.find(h.Stream), c.idle(h.Stream)
	var call *Call
	if s != nil {
		s.touched = true
		call = c.detach(s)
	}
	m.Unlock()
	switch {
	case idle:
		return &link.FaultIdleStream
	case call == nil:
		return c.budget.Spend()
	}
	c.abandon(s, call, verdictOfReset(code), code != frame.RefusedStream)
	return nil
}

// abandon ends a call that was taken off its stream, on which the server sends nothing more.
func (c *Conn) abandon(s *stream, call *Call, v *verdict, sent bool) {
	if c.in.of == s {
		c.in.of = nil
	}
	c.in.called = true
	call.Sent = sent
	c.hand(call, s)
	c.recycle(s)
	call.answerLocally(v, c.drainer)
}

// priorityFrame passes a PRIORITY frame over.
func (c *Conn) priorityFrame(p []byte) *link.Fault {
	if len(p) != 5 {
		return &link.FaultSize
	}
	return c.budget.Spend()
}

// goAwayFrame takes a GOAWAY frame: no more calls go out, those that the server has not looked at are over,
// and the others are awaited.
func (c *Conn) goAwayFrame(p []byte) {
	last := binary.BigEndian.Uint32(p) & frame.LargestStream
	c.open.Store(false)
	m := &c.mu
	m.Lock()
	m.going = true
	var above []*stream
	for _, s := range m.streams {
		if s.id > last && !s.ended {
			above = append(above, s)
		}
	}
	above = c.appendUnopened(above)
	calls := make([]*Call, 0, len(above))
	for _, s := range above {
		calls = append(calls, c.detach(s))
	}
	m.Unlock()
	c.client.retire(c)
	if code := frame.Code(binary.BigEndian.Uint32(p[4:])); code != frame.NoError {
		const most = 128
		c.client.log.Info("an endpoint closes the connection", zap.String("endpoint", c.client.opts.Address),
			zap.Stringer("code", code), zap.String("text", strconv.Quote(string(p[8:min(len(p), 8+most)]))))
	}
	for i, s := range above {
		c.abandon(s, calls[i], &verdictGoAway, false)
	}
	if c.client.waiting.Load() > 0 {
		c.client.feed(c)
	}
}
