package h2

import (
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// Begin sends the head of an answer and its first part.
func (x *exchange) Begin(r *wire.Reply) bool {
	x.head(r)
	x.parts = true
	x.s.send.only = bodiless(r.Status) || string(x.Method()) == "HEAD"
	return x.part(&r.Body)
}

// Send sends a part.
func (x *exchange) Send(part *slab.List) bool {
	if !x.parts {
		panic("BUG: h2: a part was sent of an answer that had not begun")
	}
	return x.part(part)
}

// part sends a part, and waits until it has left into the output.
func (x *exchange) part(part *slab.List) bool {
	defer part.Release()
	s := x.s
	c := s.c
	c.mu.Lock()
	if s.noSends() {
		c.mu.Unlock()
		return false
	}
	if part.Size() > 0 && !s.send.only {
		s.send.body.append(part)
	}
	if !s.st.Blocked {
		c.enqueue(s)
	}
	c.mu.Unlock()
	return s.sendAll() == nil
}

// endParts ends an answer in parts. Cut: its handler failed, and the client is to see that some is missing.
func (x *exchange) endParts(cut bool) {
	s := x.s
	if !cut {
		s.hand()
		return
	}
	c := s.c
	c.mu.Lock()
	if !s.st.gone && s.st.inTable {
		c.resetStream(s, frame.InternalError) // its handler has it, so nobody is to recycle it yet
	}
	c.mu.Unlock()
	s.hand()
}
