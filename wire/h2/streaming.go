package h2

import (
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// What may happen to a stream of messages, and who sees what:
//
//	the client ends its side   Recv returns the messages that are left, then io.EOF; Send goes on
//	the client resets it, or   Recv and SendWait return at once, Send returns false, what was queued is dropped,
//	the connection is lost     a watcher is told; Reply is still due, and sends nothing
//	the engine refuses what    Recv returns the messages before it, then why; Send goes on; Reply tells the
//	the client sends           client the engine's status
//	Reply                      Recv and SendWait of other goroutines return; what was queued goes out first, then
//	                           the trailers; a client that has not ended its side is reset without an error
//	Serve returns or panics    the same, with INTERNAL, if Reply was not called
//
// Recv and SendWait belong to Serve: they are called before it returns, which may be behind a Reply. Send,
// SendHead and Reply may be called by anybody, in an order that the handler sees to: nothing is sent behind
// Reply. A watcher may be told while Reply runs or just after, but never once the stream serves another call.

// CallError is why a stream of messages does not go on. It is what Recv and SendWait return.
type CallError struct {
	Status grpc.Status
	Text   string // for the client
	// Refused says that the engine has refused what the client sends. Whatever status Reply is given, the
	// client is told this one.
	Refused bool
}

func (e *CallError) Error() string { return "h2: " + e.Text }

// What ends a stream of messages without its handler's doing. The variables are never written.
var (
	errHungUp  = &CallError{Status: grpc.Cancelled, Text: "the client is gone"}
	errReplied = &CallError{Status: grpc.Internal, Text: "the call was answered"}
)

// refusedError returns a refusal as handlers see it.
func refusedError(r *callRefusal) *CallError {
	return &CallError{Status: r.status, Text: r.text, Refused: true}
}

// SentWatcher is told that what was queued has gone.
type SentWatcher interface {
	// Sent is called when the messages that Send has queued have all left into the output: it is the time to
	// send more. It is called by whoever flushed, must not block, and may call Send; what that queues is sent
	// without another Flush. It may be called while Reply runs, or just after; see [Stream.Attach].
	Sent(s *Stream)
}

// Recv waits for the next message and moves it, decompressed and without its prefix, to dst, which is empty. It
// returns io.EOF behind the last one, else a [*CallError]: the client is gone, the engine has refused what it
// sends, or the call was answered meanwhile. At most one message beyond the one that is asked for is taken in,
// so a client that nobody listens to is held back. One goroutine at a time may call it, until Serve returns.
func (s *Stream) Recv(dst *slab.List) error {
	c := s.c
	coded, grant, err := s.next(dst)
	if grant {
		c.Flush()
	}
	if !coded || err != nil {
		return err
	}
	packed := &s.inbox.packed
	r := c.srv.unpack(dst, packed, s.coding)
	packed.Release()
	if r == nil {
		return nil
	}
	dst.Release()
	c.countRefusal(r)
	refused := refusedError(r)
	s.inbox.close(refused)
	return refused
}

// Pending tells whether Recv would return at once. If not, it is the time to flush what was put off.
func (s *Stream) Pending() bool {
	b := &s.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full || b.err != nil || b.ended
}

// SendHead sends the metadata that comes before the first message. It is for the time before the first Send;
// without it, the metadata is empty. The caller flushes, as for Send.
func (s *Stream) SendHead(head []wire.Header) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	a := &s.send
	if s.noSends() {
		return
	}
	if a.headSet {
		panic("BUG: h2: the head of a stream was sent twice, or behind a message")
	}
	for i := range head {
		a.fields = appendMetadata(a.fields, &head[i])
	}
	s.headIsSet()
	c.enqueue(s)
}

// noSends tells whether nothing can be sent. It runs under mu.
func (s *Stream) noSends() bool {
	m := &s.c.mu
	return s.st.gone || m.ended || m.failed || !s.st.handler
}

// headIsSet begins the answer. It runs under mu.
func (s *Stream) headIsSet() {
	a := &s.send
	a.headSet, a.trailers, a.status = true, true, 200
}

// Send queues a message, which it empties. It never blocks and may be called from any goroutine, but not once
// Reply may have been: whoever ends the stream does so behind the last Send. It returns false if the stream
// is gone and the message was dropped. The caller flushes the stream's connection, or marks it in a burst.
func (s *Stream) Send(m *slab.List) bool {
	c := s.c
	c.mu.Lock()
	if s.noSends() {
		c.mu.Unlock()
		m.Release()
		return false
	}
	if !s.send.headSet {
		s.headIsSet()
	}
	s.send.body.message(m)
	if !s.st.Blocked {
		c.enqueue(s)
	}
	c.mu.Unlock()
	return true
}

// WatchSent has w told each time that the queue of messages has emptied. It does not tell of what has gone
// already.
func (s *Stream) WatchSent(w SentWatcher) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.st.handler {
		s.st.sentWatcher = w
	}
}

// SendWait sends a message and waits until it has left into the output, so that a handler which may block
// sends no faster than its client takes. It returns a [*CallError] if the client is gone, or the call was
// answered meanwhile. One goroutine at a time may call it, until Serve returns.
func (s *Stream) SendWait(m *slab.List) error {
	if !s.Send(m) {
		return errHungUp
	}
	return s.sendAll()
}

// sendAll flushes what was queued and waits until all of it has left.
func (s *Stream) sendAll() error {
	c := s.c
	c.Flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case s.st.gone || c.mu.ended || c.mu.failed:
			return errHungUp
		case !s.st.handler:
			return errReplied
		case s.send.body.left == 0:
			return nil
		}
		if s.sentWake == nil {
			s.sentWake = make(chan struct{}, 1)
		}
		s.st.waiting = true
		c.mu.Unlock()
		<-s.sentWake
		c.mu.Lock()
		s.st.waiting = false
	}
}

// wakeSender wakes who is in sendAll. It runs under mu.
func (s *Stream) wakeSender() {
	if s.st.waiting {
		select {
		case s.sentWake <- struct{}{}:
		default:
		}
	}
}

// idle notes that what was queued of s has gone, while more may come. It returns true if the caller is to tell
// s's watcher, without the mutex. It runs under mu.
func (c *Conn) idle(s *Stream) bool {
	st := &s.st
	st.blockedAt = 0
	c.mu.good++
	s.wakeSender()
	if st.sentWatcher == nil {
		return false
	}
	if st.tellingSent {
		st.sentAgain = true
		return false
	}
	st.tellingSent = true
	return true
}

// tellSent tells the watcher of s, and lets go of s.
func (c *Conn) tellSent(s *Stream) {
	m := &c.mu
	m.Lock()
	for w := s.st.sentWatcher; w != nil; w = s.st.sentWatcher {
		s.st.sentAgain = false
		m.Unlock()
		c.sentBy(w, s)
		m.Lock()
		if !s.st.sentAgain {
			break
		}
	}
	s.st.tellingSent = false
	free := c.freeable(s)
	m.Unlock()
	if free {
		s.recycle()
	}
}

// sentBy calls a watcher and survives it.
func (c *Conn) sentBy(w SentWatcher, s *Stream) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.panicked("watcher panicked", p)
		}
	}()
	w.Sent(s)
}

// replyLast is Reply for a stream of messages, of which some may be on their way.
func (s *Stream) replyLast(a *Answer) {
	refused := s.inbox.refusal()
	s.inbox.close(errReplied)
	c := s.c
	m := &c.mu
	m.Lock()
	if !s.st.handler {
		m.Unlock()
		panic("BUG: h2: a stream was answered twice")
	}
	out := &s.send
	if refused != nil {
		out.end(refused.Status, nil, refused.Text, nil)
	} else {
		out.end(a.Status, a.Trailer, a.Text, a.Details)
	}
	if !out.headSet {
		for i := range a.Head {
			out.fields = appendMetadata(out.fields, &a.Head[i])
		}
		out.only = a.Message == nil
		out.status, out.trailers, out.headSet = 200, !out.only, true
	}
	if a.Message != nil {
		out.body.message(a.Message)
	}
	s.wakeSender()
	free := c.letGo(s)
	m.Unlock()
	if free {
		s.recycle()
	}
}

// end sets what ends the answer to a call.
func (a *answer) end(status grpc.Status, trailer []wire.Header, text string, details []byte) {
	a.last, a.code = true, status
	for i := range trailer {
		a.tail = appendMetadata(a.tail, &trailer[i])
	}
	if status != grpc.OK {
		a.tail = appendStatus(a.tail, text, details)
	}
}
