package h2

import (
	"time"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

const (
	// narrowWindow is what a stream starts with on a connection that was refused: it holds a message of 1 KiB with its names.
	narrowWindow = 4 << 10
	// narrowAgain is how long after the last change a connection may be narrowed.
	narrowAgain = int64(time.Second)
)

// firstWindow is what the streams of a connection start with. Where the budget has no room, a client that keeps trying
// would send the first 128 KiB of a message every time, and have them thrown away: both sides work for nothing, and
// what waits for room holds much. So it is told to start with less when it was refused, until one of its longer
// messages has room again. A connection that has other calls under way is left alone: their messages would pay with a
// round trip, and in some proxies all others behind them. It is the reader's.
type firstWindow struct {
	told    int64  // what the client was told last
	before  uint32 // streams up to here had opened when it was told
	changed int64  // when
}

func (w *firstWindow) init() { w.told = link.StreamWindow }

// counted is what a stream that opens now is counted with: as long as the client may not have taken what it was told, the
// most that it may take its window for.
func (c *Conn) counted() int64 {
	if c.timer.ackBy != 0 {
		return link.StreamWindow
	}
	return c.first.told
}

// narrow has streams start with less, as so many calls were just refused, of which the longest has size bytes.
func (c *Conn) narrow(refused int, size int64) {
	w := &c.first
	if size <= narrowWindow || w.told == narrowWindow || c.timer.ackBy != 0 || int(c.live.Load()) > refused ||
		w.changed != 0 && c.in.now < w.changed+narrowAgain {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tellFirst(narrowWindow)
}

// broaden has streams start with as much as ever, as a longer message has room. It runs under mu.
func (c *Conn) broaden() {
	w := &c.first
	if w.told == link.StreamWindow || c.timer.ackBy != 0 {
		return
	}
	more := link.StreamWindow - w.told
	c.tellFirst(link.StreamWindow)
	for _, s := range c.mu.streams {
		s.st.RecvWindow += more
	}
}

// tellFirst sends the setting, which the client is to acknowledge. It runs under mu.
func (c *Conn) tellFirst(window int64) {
	w := &c.first
	w.told, w.before, w.changed = window, c.lastID, c.in.now
	c.timer.ackBy = c.in.now + ackTimes*int64(c.srv.opts.HeaderTimeout)
	c.mu.out.Settings(frame.Value{Setting: frame.InitialWindowSize, Value: uint32(window)})
}

// acknowledged notes that the client has taken our settings. Streams that opened before it had taken them get back what
// narrowing took from their windows, as they are counted with that.
func (c *Conn) acknowledged() {
	w := &c.first
	less := c.counted() - w.told
	c.timer.ackBy = 0
	if less == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, s := range c.mu.streams {
		if id > w.before && !s.st.recvDone {
			c.mu.out.Window(id, uint32(less))
		}
	}
}
