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
	if f := link.CheckSettings(h, p); f != nil {
		return f
	}
	if f := c.budget.Spend(); f != nil || h.Has(frame.Ack) {
		return f
	}
	m := &c.mu
	m.Lock()
	grew := false
	for ; len(p) > 0; p = p[6:] {
		v := frame.ParseSetting(p)
		grew = grew || v.Setting == frame.MaxConcurrentStreams
		if f := c.setting(v); f != nil {
			m.Unlock()
			return f
		}
	}
	out := c.output()
	out.B = frame.AppendSettingsAck(out.B)
	m.Unlock()
	switch {
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

// setting applies one setting. It runs under mu.
func (c *Conn) setting(v frame.Value) *link.Fault {
	switch v.Setting {
	case frame.EnablePush:
		if v.Value != 0 {
			return &link.FaultSetting
		}
	case frame.MaxConcurrentStreams:
		c.limit.Store(int32(min(int64(v.Value), int64(c.client.opts.MaxStreams))))
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
		if s.sendWindow += delta; s.sendWindow > frame.LargestWindow {
			return &link.FaultWindowSet
		}
		c.unblock(s)
	}
	return nil
}

// unblock queues a stream again that waited for its window. It runs under mu.
func (c *Conn) unblock(s *stream) {
	if s.blocked && s.sendWindow > 0 {
		s.blocked = false
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
	n := int64(binary.BigEndian.Uint32(p) & frame.LargestWindow)
	m := &c.mu
	m.Lock()
	if h.Stream == 0 {
		defer m.Unlock()
		if n == 0 {
			return &link.FaultIncrement
		}
		if m.sendWindow += n; m.sendWindow > frame.LargestWindow {
			return &link.FaultWindowSet
		}
		m.starved = m.starved && m.sendWindow <= 0
		return c.budget.Spend()
	}
	s, idle := c.find(h.Stream), c.idle(h.Stream)
	switch {
	case s != nil && n > 0 && s.sendWindow+n <= frame.LargestWindow:
		s.sendWindow += n
		c.unblock(s)
		s = nil
	case s != nil:
		s.touched = true
	}
	m.Unlock()
	switch {
	case idle:
		return &link.FaultIdleStream
	case s != nil && n == 0:
		c.fail(s, &verdictWindowSize, frame.ProtocolError)
	case s != nil:
		c.fail(s, &verdictWindowSize, frame.FlowControlError)
	}
	return c.budget.Spend()
}

// resetFrame takes an RST_STREAM frame.
func (c *Conn) resetFrame(h frame.Head, p []byte) *link.Fault {
	switch {
	case h.Stream == 0:
		return &link.FaultStreamZero
	case len(p) != 4:
		return &link.FaultSize
	}
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
func (c *Conn) priorityFrame(h frame.Head, p []byte) *link.Fault {
	switch {
	case h.Stream == 0:
		return &link.FaultStreamZero
	case len(p) != 5:
		return &link.FaultSize
	}
	return c.budget.Spend()
}

// goAwayFrame takes a GOAWAY frame: no more calls go out, those that the server has not looked at are over,
// and the others are awaited.
func (c *Conn) goAwayFrame(h frame.Head, p []byte) *link.Fault {
	switch {
	case h.Stream != 0:
		return &link.FaultHasStream
	case len(p) < 8:
		return &link.FaultSize
	}
	if f := c.budget.Spend(); f != nil {
		return f
	}
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
	return nil
}
