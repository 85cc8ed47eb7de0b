package h1

import (
	"os"
	"time"
)

// rest is whether a connection rests: between two requests that are far apart fasthttp's loop ends, and gives back what
// it holds, and so does the goroutine, whose stack never gets small again. A new one waits on the least of stacks.
type rest uint8

const (
	restNot  rest = iota
	restDue       // fasthttp takes it for ended
	restOver      // something woke it: it does not rest again before it knows what
)

// mayRest tells whether the connection rests when it has been idle for long enough. Behind TLS it does not: there, bytes
// may have been read that are yet to be asked for.
func (c *conn) mayRest() bool { return c.served && c.raw != nil && c.rest == restNot }

// idleUntil is when the connection has been idle for too long.
func (c *conn) idleUntil() time.Time {
	opts := &c.srv.opts
	if !c.served {
		return c.opened.Add(opts.HeaderTimeout)
	}
	until := c.now.Add(opts.IdleTimeout) // c.now is when the answer was written
	if last := c.expire.Add(ageGrace); !c.expire.IsZero() && last.Before(until) {
		until = last
	}
	return until
}

// mostPatience is how many times RestAfter the deadline of a connection in use may be ahead.
const mostPatience = 16

// idleBefore sets the deadline of an idle connection: until, or when it may rest. An earlier one stands: a connection in
// use has it set once in a while, and not for each request, and more seldom each time that it turns out to be in use.
func (c *conn) idleBefore(until time.Time) {
	c.patience = max(c.patience, c.srv.opts.RestAfter)
	due := c.now.Add(c.patience)
	if !c.mayRest() || !due.Before(until) {
		c.readBefore(until)
		return
	}
	if !c.readUntil.After(c.now) || c.readUntil.After(due) {
		c.deadline(due)
	}
}

// tire is told that the deadline of an idle connection has passed. It waits on until the connection may rest, and has it
// rest then. Where it is poked, or idle for too long, it returns why the wait ended.
func (c *conn) tire() error {
	least := c.srv.opts.RestAfter
	until, due := c.idleUntil(), c.now.Add(least)
	for {
		now := time.Now()
		switch {
		case c.poked.Load() != nil || !now.Before(until):
			return os.ErrDeadlineExceeded
		case !now.Before(due):
			c.rest, c.patience = restDue, least
			return os.ErrDeadlineExceeded
		}
		c.patience = min(2*c.patience, mostPatience*least)
		next := c.now.Add(c.patience)
		if next.After(until) {
			next = until
		}
		c.deadline(next)
		if c.poked.Load() != nil {
			return os.ErrDeadlineExceeded // whose deadline was just set anew
		}
		if err := c.firstRead(); c.req != nil || !isTimeout(err) {
			return err
		}
	}
}

// resume serves a connection that rests, once there is something to do for it. It is a goroutine of its own.
func (s *Server) resume(c *conn) {
	c.state.Store(stateResting)
	c.deadline(c.idleUntil())
	if c.poked.Load() == nil { // else that deadline has hidden the poke's
		c.woke = c.raw.Await()
	}
	c.rest = restOver
	s.run(c)
}
