package h2

import (
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// drainState is how far a connection is with taking its leave.
type drainState uint8

const (
	serving drainState = iota
	warned             // it has said that it will go; streams are still taken
	final              // it has said which streams it still serves
)

// finalAfter is how long a client has to answer the first word.
const finalAfter = time.Second

// farewellPing is what the PING behind the first word carries.
const farewellPing = "farewell"

// Leave has the client go elsewhere, as at the end of a connection's age: what is in flight is finished. Any
// goroutine may call it.
func (c *Conn) Leave() {
	c.drain.Store(true)
	c.poke()
}

// leave says that the connection will end. Streams that are on their way are still taken: the last id that
// counts is told when the client must have read this.
func (c *Conn) leave() {
	if c.leaving {
		return
	}
	c.leaving = true
	c.finalAt = c.in.now + int64(finalAfter)
	m := &c.mu
	m.Lock()
	m.drain = warned
	m.out.GoAway(frame.LargestStream, frame.NoError, "")
	m.out.Ping([]byte(farewellPing), false)
	m.Unlock()
}

// pong takes the acknowledgement of a PING.
func (c *Conn) pong(p []byte) {
	if c.leaving && c.finalAt != 0 && string(p) == farewellPing {
		c.lastCall()
	}
}

// lastCall says which streams are served. Later ones are passed over.
func (c *Conn) lastCall() {
	c.leaving, c.finalAt = true, 0
	m := &c.mu
	m.Lock()
	m.drain, c.saidID = final, c.lastID
	m.out.GoAway(c.saidID, frame.NoError, "")
	m.Unlock()
}

// refusesStreams tells whether new streams are passed over. It runs under mu.
func (c *Conn) refusesStreams() bool { return c.mu.drain == final }

// news looks at why somebody woke the reader.
func (c *Conn) news() *link.Fault {
	if c.forced.Load() {
		return &link.FaultForced
	}
	m := &c.mu
	m.Lock()
	failed, slow := m.failed, m.slow
	m.Unlock()
	switch {
	case failed && slow:
		return &faultSlowRead
	case failed:
		return &link.FaultWrite
	}
	switch c.srv.phase.Load() {
	case phaseServing, phaseDraining:
		if !c.leaving && c.drain.Load() {
			c.leave()
		}
	case phaseStopped:
		if !c.in.greeted {
			return &link.FaultDrained
		}
		if !c.leaving || c.finalAt != 0 {
			c.lastCall()
		}
	}
	c.Flush()
	return c.over()
}

// over tells whether the connection has taken its leave and nothing is left to do.
func (c *Conn) over() *link.Fault {
	if !c.leaving || c.finalAt != 0 || c.live.Load() > 0 {
		return nil
	}
	m := &c.mu
	m.Lock()
	busy := m.writing || !m.out.Empty()
	m.Unlock()
	switch {
	case busy:
		return nil
	case c.aged:
		return &faultAged
	}
	return &link.FaultDrained
}

// How long, and for how many bytes, a connection that we end is read on, so that no reset keeps the client
// from reading why.
const (
	lingerTime  = 250 * time.Millisecond
	lingerBytes = 256 << 10
)

// farewell tells the client why the connection ends, if there is something to tell, and lingers.
func (c *Conn) farewell(why *link.Fault) {
	if !why.Quiet {
		c.mu.Lock()
		last := c.lastID
		if c.mu.drain == final {
			last = c.saidID // later streams were passed over, and the client may send their calls again
		}
		c.mu.out.GoAway(last, why.Code, why.Text)
		c.mu.Unlock()
		level := zap.DebugLevel
		if why.Code == frame.EnhanceYourCalm {
			level = zap.InfoLevel
		}
		if ce := c.srv.log.Check(level, "connection closed"); ce != nil {
			ce.Write(zap.String("remote", c.remote), zap.String("reason", string(why.Reason)),
				zap.Stringer("code", why.Code), zap.String("text", why.Text))
		}
	}
	if why.Quiet && why != &link.FaultDrained && why != &faultAged {
		return
	}
	c.Flush()
	c.mu.Lock()
	writing := c.mu.writing
	c.mu.Unlock()
	if half, ok := c.sock.(interface{ CloseWrite() error }); ok && !writing {
		_ = half.CloseWrite() // the reads below tell whether there is somebody left
	}
	_ = c.sock.SetReadDeadline(time.Now().Add(lingerTime))
	c.linger()
}

// linger reads and drops what still comes.
func (c *Conn) linger() {
	for n := 0; n < lingerBytes && !c.forced.Load(); {
		k, err := c.in.Discard(c.sock)
		if err != nil {
			return
		}
		n += k
	}
}

// closedWhy returns the reason that is counted.
func (c *Conn) closedWhy(why *link.Fault) Reason {
	if c.forced.Load() {
		return link.ClosedForced
	}
	if why == &faultEOF && c.leaving {
		if c.aged {
			return link.ClosedAge
		}
		return link.ClosedDrain
	}
	return why.Reason
}
