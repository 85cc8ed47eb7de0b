package h2

import (
	"encoding/binary"
	"strconv"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// settingsFrame takes a SETTINGS frame. The first one has calls come.
func (c *ClientConn) settingsFrame(h frame.Head, p []byte) *fault {
	if f := checkSettings(h, p); f != nil {
		return f
	}
	if f := c.budget.spend(); f != nil || h.Has(frame.Ack) {
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
	out.b = frame.AppendSettingsAck(out.b)
	m.Unlock()
	switch {
	case !c.in.settled:
		c.in.settled = true
		c.timer.heard = c.in.now
		c.open.Store(true)
		c.client.ready(c)
	case grew:
		c.client.feed(c)
	}
	return nil
}

// setting applies one setting. It runs under mu.
func (c *ClientConn) setting(v frame.Value) *fault {
	switch v.Setting {
	case frame.EnablePush:
		if v.Value != 0 {
			return &faultSetting
		}
	case frame.MaxConcurrentStreams:
		c.limit.Store(int32(min(int64(v.Value), int64(c.client.opts.MaxStreams))))
	}
	shift, f := c.mu.peer.set(v, &c.mu.encoder)
	if f != nil {
		return f
	}
	return c.shiftWindows(shift)
}

// shiftWindows changes the windows of all streams. It runs under mu.
func (c *ClientConn) shiftWindows(delta int64) *fault {
	m := &c.mu
	if delta == 0 {
		return nil
	}
	for _, s := range m.streams {
		if s.sendWindow += delta; s.sendWindow > frame.LargestWindow {
			return &faultWindowSet
		}
		c.unblock(s)
	}
	return nil
}

// unblock queues a stream again that waited for its window. It runs under mu.
func (c *ClientConn) unblock(s *clientStream) {
	if s.blocked && s.sendWindow > 0 {
		s.blocked = false
		c.enqueue(s)
	}
}

// pingFrame takes a PING frame.
func (c *ClientConn) pingFrame(h frame.Head, p []byte) *fault {
	switch {
	case h.Stream != 0:
		return &faultHasStream
	case len(p) != 8:
		return &faultSize
	}
	if f := c.budget.spend(); f != nil {
		return f
	}
	if h.Has(frame.Ack) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.output()
	out.b = frame.AppendPing(out.b, p, true)
	return nil
}

// windowFrame takes a WINDOW_UPDATE frame.
func (c *ClientConn) windowFrame(h frame.Head, p []byte) *fault {
	if len(p) != 4 {
		return &faultSize
	}
	n := int64(binary.BigEndian.Uint32(p) & frame.LargestWindow)
	m := &c.mu
	m.Lock()
	if h.Stream == 0 {
		defer m.Unlock()
		if n == 0 {
			return &faultIncrement
		}
		if m.sendWindow += n; m.sendWindow > frame.LargestWindow {
			return &faultWindowSet
		}
		m.starved = m.starved && m.sendWindow <= 0
		return c.budget.spend()
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
		return &faultIdleStream
	case s != nil && n == 0:
		c.fail(s, &verdictWindowSize, frame.ProtocolError)
	case s != nil:
		c.fail(s, &verdictWindowSize, frame.FlowControlError)
	}
	return c.budget.spend()
}

// resetFrame takes an RST_STREAM frame.
func (c *ClientConn) resetFrame(h frame.Head, p []byte) *fault {
	switch {
	case h.Stream == 0:
		return &faultStreamZero
	case len(p) != 4:
		return &faultSize
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
		return &faultIdleStream
	case call == nil:
		return c.budget.spend()
	}
	c.abandon(s, call, verdictOfReset(code), code != frame.RefusedStream)
	return nil
}

// abandon ends a call that was taken off its stream, on which the server sends nothing more.
func (c *ClientConn) abandon(s *clientStream, call *Call, v *verdict, sent bool) {
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
func (c *ClientConn) priorityFrame(h frame.Head, p []byte) *fault {
	switch {
	case h.Stream == 0:
		return &faultStreamZero
	case len(p) != 5:
		return &faultSize
	}
	return c.budget.spend()
}

// goAwayFrame takes a GOAWAY frame: no more calls go out, those that the server has not looked at are over,
// and the others are awaited.
func (c *ClientConn) goAwayFrame(h frame.Head, p []byte) *fault {
	switch {
	case h.Stream != 0:
		return &faultHasStream
	case len(p) < 8:
		return &faultSize
	}
	if f := c.budget.spend(); f != nil {
		return f
	}
	last := binary.BigEndian.Uint32(p) & frame.LargestStream
	c.open.Store(false)
	m := &c.mu
	m.Lock()
	m.going = true
	var above []*clientStream
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
