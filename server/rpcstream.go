package server

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
)

// headerStrict, if it says true, ends a stream with the status of the first request that fails.
const headerStrict = "Triton_grpc_error"

var errStreamExpired = &infer.Error{Code: infer.Deadline, Origin: infer.FromGateway, Text: "the deadline of the stream passed"}

// rpcStream serves one ModelStreamInfer: each message is a request of its own. It stays attached to its h2.Stream
// and is reused with it.
//
// One goroutine reads and submits. Answers are sent by whoever finishes a call, those of ordinary models in the
// order of the requests. The stream is answered, with its status, by whoever notices that nothing more comes in
// and nothing is outstanding.
type rpcStream struct {
	// Immutable after streamOf.
	server  *Server
	decoder *kserve.MessageDecoder
	wake    chan struct{} // one slot: there may be room
	replied chan struct{} // one slot: Reply has been called

	// Of the stream being served, written before its first request.
	stream    *h2.Stream
	conn      *h2.Conn
	requestID []byte
	scratch   []byte // backs requestID
	deadline  int64  // 0: none
	strict    bool

	// Owned by the goroutine that serves.
	burst   infer.Burst
	message slab.List

	// Owned by who replies.
	answer  h2.Answer
	details []byte

	mu struct {
		sync.Mutex
		turns, opened streamedList // outstanding requests: of ordinary models, in order; of decoupled ones
		running       int          // how many those are
		bytes         int64        // of their messages
		unsent        int          // messages sent that have not left
		unsentBytes   int64
		sending       bool // somebody sends what is at the head of turns
		waiting       bool // the goroutine waits for room

		submitting submission      // what the goroutine is handing on: nothing but its taker may end it before
		due, spare []*infer.Stream // to be pulled once all has left; each holds a reference to its call

		timer     *time.Timer  // fires at the deadline, perhaps late
		until     int64        // the deadline while the stream is served
		over      bool         // nothing more is read
		reason    *infer.Error // what the stream ends with, nil if all is well
		cancelled *infer.Error // what every outstanding call ends with, nil while they go on
		answered  bool         // somebody replies
	}
}

// submission is the life of a call that is being handed on.
type submission struct {
	call *infer.Call
	life uint64
}

// streamOf returns what is attached to the stream.
func (s *Server) streamOf(stream *h2.Stream) *rpcStream {
	if x, ok := stream.Attached().(*rpcStream); ok && x.server == s {
		return x
	}
	x := &rpcStream{
		server: s, decoder: kserve.NewMessageDecoder(s.memory.Slabs),
		wake: make(chan struct{}, 1), replied: make(chan struct{}, 1),
	}
	stream.Attach(x)
	return x
}

// serveStream serves a stream until it is answered.
func (s *Server) serveStream(stream *h2.Stream) {
	x := s.streamOf(stream)
	x.begin(stream)
	s.stop.add(x)
	defer s.stop.remove(x)
	for x.room() && x.receive() {
		x.take()
	}
	x.burst.Flush()
	<-x.replied
}

// begin takes up a stream.
func (x *rpcStream) begin(stream *h2.Stream) {
	x.scratch = x.server.appendRequestID(x.scratch[:0], stream)
	x.requestID = x.scratch
	x.strict = string(stream.Header(headerStrict)) == "true"
	x.deadline = 0
	timeout, bounded := stream.Timeout()
	if bounded {
		x.deadline = infer.Now() + int64(min(timeout, maxTimeout))
	}
	x.burst.Begin()
	m := &x.mu
	m.Lock()
	x.stream, x.conn = stream, stream.Conn()
	m.over, m.reason, m.cancelled, m.answered = false, nil, nil, false
	m.unsent, m.unsentBytes, m.until = 0, 0, x.deadline
	if bounded {
		x.arm(timeout)
	}
	m.Unlock()
	stream.SendHead([]wire.Header{{Name: headerRequestID, Value: x.requestID}})
	x.burst.Mark(x.conn)
	stream.WatchSent(x)
	if !stream.Watch(x) {
		x.HangUp(wire.Reset)
	}
}

// arm starts the timer of the stream's deadline. It runs under mu.
func (x *rpcStream) arm(d time.Duration) {
	if x.mu.timer == nil {
		x.mu.timer = time.AfterFunc(d, x.expire)
		return
	}
	x.mu.timer.Reset(d)
}

// room waits until another request may be outstanding. It returns false if none is to be read.
func (x *rpcStream) room() bool {
	m := &x.mu
	for {
		m.Lock()
		sub, why := m.submitting, m.cancelled
		m.submitting = submission{}
		n := m.running + m.unsent
		full := n >= x.server.opts.StreamRequests || n > 0 && m.bytes+m.unsentBytes >= x.server.opts.StreamBytes
		over := m.over
		m.waiting = full && !over
		m.Unlock()
		if sub.call != nil && why != nil {
			// What ended the others while this one was handed on.
			sub.call.FailLife(sub.life, why, &x.burst)
		}
		if over || !full {
			return !over
		}
		x.burst.Flush()
		<-x.wake
	}
}

// receive waits for the next message. It returns false behind the last one.
func (x *rpcStream) receive() bool {
	if !x.stream.Pending() {
		flush(&x.burst)
	}
	err := x.stream.Recv(&x.message)
	x.burst.Begin()
	switch {
	case err == nil:
		return true
	case errors.Is(err, io.EOF):
		x.stop(nil, &x.burst)
	default:
		// The client is gone, as HangUp tells, too, or the engine knows the status.
		x.stop(infer.ErrClientGone, &x.burst)
	}
	return false
}

// take serves a message.
func (x *rpcStream) take() {
	e := x.server.streamed.Get().(*streamed)
	e.begin(x)
	req := x.server.memory.NewRequest()
	asked, err := e.prepare(&e.codec, &x.message, req)
	x.message.Release()
	if err != nil && x.decoder.Malformed() {
		req.Release()
		e.drop(err)
		x.stop(err, &x.burst)
		return
	}
	var c *infer.Call
	if err == nil {
		x.follow(req.Sequence())
		e.sequence = req.Sequence()
		c, err = e.open(req, asked, x.deadline)
	}
	req.Release()
	why := x.enter(e)
	switch {
	case why != nil:
		e.drop(why)
	case c == nil:
		e.refuse(err, nil, &x.burst)
	default:
		if err := e.submit(c, &x.burst); err != nil {
			c.Fail(asError(err), &x.burst) // nobody has it but us
		}
	}
}

// follow waits until no request of a sequence is outstanding: the requests of one must reach its server in their
// order, and calls of their own keep none.
func (x *rpcStream) follow(sequence uint64) {
	if sequence == 0 {
		return
	}
	m := &x.mu
	for {
		m.Lock()
		m.waiting = !m.over && (m.turns.has(sequence) || m.opened.has(sequence))
		wait := m.waiting
		m.Unlock()
		if !wait {
			return
		}
		x.burst.Flush()
		<-x.wake
		x.burst.Begin()
	}
}

// enter makes e outstanding, and its call the one that is being handed on. It returns why not, if the stream is
// over: it may be answered by now.
func (x *rpcStream) enter(e *streamed) *infer.Error {
	m := &x.mu
	m.Lock()
	defer m.Unlock()
	switch {
	case m.cancelled != nil:
		return m.cancelled
	case m.over:
		return m.reason // the end of the client's side is none, but then there is no e
	}
	e.list().Append(&e.place, e)
	m.running++
	m.bytes += e.bytesIn
	m.submitting = submission{e.running, e.life}
	return nil
}

// turn sends what stands at the head of the answers that go in order, as far as they are ready: e is now.
func (x *rpcStream) turn(e *streamed, burst *infer.Burst) {
	m := &x.mu
	m.Lock()
	e.ready = true
	e = m.turns.First()
	if m.sending || !e.ready {
		m.Unlock()
		return
	}
	m.sending = true
	m.Unlock()
	for more := true; more; {
		e.observe(e.running)
		m.Lock()
		ends := x.send(e)
		next := m.turns.First()
		more = next != nil && next.ready
		m.sending = more
		x.sent(e, ends, burst)
		e = next
	}
}

// send sends the last message to e's request, if there is one, which is not outstanding any more. It returns true
// if the caller is to reply. It runs under mu.
func (x *rpcStream) send(e *streamed) (ends bool) {
	m := &x.mu
	x.queue(&e.message)
	e.list().Remove(&e.place)
	m.running--
	m.bytes -= e.bytesIn
	x.poke()
	return x.ends()
}

// sent lets go of e behind send. It runs under mu, which it unlocks.
func (x *rpcStream) sent(e *streamed, ends bool, burst *infer.Burst) {
	conn := x.conn
	x.mu.Unlock()
	e.end()
	if ends {
		x.reply(burst)
		return
	}
	burst.Mark(conn)
}

// queue hands a message to the transport, unless it is empty or nothing more is to be said. It runs under mu, so
// that Sent comes after it.
func (x *rpcStream) queue(message *slab.List) {
	if message.Len() == 0 {
		return
	}
	if x.mu.cancelled != nil {
		message.Release()
		return
	}
	x.mu.unsent++
	x.mu.unsentBytes += int64(message.Size())
	x.stream.Send(message)
}

// poke wakes the goroutine if it waits for room and there may be some. It runs under mu.
func (x *rpcStream) poke() {
	if !x.mu.waiting {
		return
	}
	x.mu.waiting = false
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Sent implements [h2.SentWatcher]: all that was sent has left, so decoupled models may say more.
func (x *rpcStream) Sent(*h2.Stream) {
	m := &x.mu
	m.Lock()
	m.unsent, m.unsentBytes = 0, 0
	x.poke()
	due := m.due
	m.due, m.spare = m.spare[:0], nil
	m.Unlock()
	for i, s := range due {
		s.Source.Pull(s)
		s.Call.Release()
		due[i] = nil
	}
	m.Lock()
	m.spare = due[:0]
	m.Unlock()
}

// stop ends the stream once nothing is outstanding: nothing more is read.
func (x *rpcStream) stop(reason *infer.Error, burst *infer.Burst) {
	m := &x.mu
	m.Lock()
	ends := x.halt(reason)
	m.Unlock()
	if ends {
		x.reply(burst)
	}
}

// halt is stop under mu. It returns true if the caller is to reply. The first reason counts.
func (x *rpcStream) halt(reason *infer.Error) (ends bool) {
	m := &x.mu
	m.over = true
	if m.reason == nil {
		m.reason = reason
	}
	x.poke()
	return x.ends()
}

// ends tells whether the caller is to reply: all is said. It runs under mu.
func (x *rpcStream) ends() bool {
	m := &x.mu
	if !m.over || m.running > 0 || m.answered {
		return false
	}
	m.answered = true
	return true
}

// cancel stops the stream and ends every call that is outstanding. The caller is a watcher of the stream, serves it
// or has a request outstanding, so that x is not somebody else's before cancel returns.
func (x *rpcStream) cancel(reason, why *infer.Error, burst *infer.Burst) {
	m := &x.mu
	m.Lock()
	if m.cancelled != nil {
		m.Unlock()
		return
	}
	m.over, m.cancelled = true, why
	if m.reason == nil {
		m.reason = reason
	}
	calls := make([]submission, 0, m.running)
	for _, l := range [...]*streamedList{&m.turns, &m.opened} {
		for e := l.First(); e != nil; e = e.place.Next() {
			if e.running != nil && e.running != m.submitting.call {
				calls = append(calls, submission{e.running, e.life})
			}
		}
	}
	x.poke()
	m.Unlock()
	for _, c := range calls {
		c.call.FailLife(c.life, why, burst)
	}
	x.stop(reason, burst)
}

// HangUp implements [wire.Watcher].
func (x *rpcStream) HangUp(wire.HangUp) { x.cancel(infer.ErrClientGone, infer.ErrClientGone, nil) }

// expire runs at the stream's deadline, or late, when another stream may be served. The calls that are
// outstanding have deadlines of their own, none of them later.
func (x *rpcStream) expire() {
	m := &x.mu
	m.Lock()
	due := m.until != 0 && m.until <= infer.Now()
	ends := due && x.halt(errStreamExpired)
	m.Unlock()
	if ends {
		x.reply(nil)
	}
}

// reply answers the stream. x is somebody else's once replied has been told.
func (x *rpcStream) reply(burst *infer.Burst) {
	m := &x.mu
	m.Lock()
	if m.timer != nil {
		m.timer.Stop()
	}
	m.until = 0
	err := m.reason
	due := m.due
	m.due = nil
	m.Unlock()
	for _, s := range due {
		s.Call.Release()
	}
	clear(due)
	m.Lock()
	m.due = due[:0]
	m.Unlock()
	x.answer = h2.Answer{}
	if err != nil {
		x.details = appendStatusDetails(x.details[:0], err)
		x.answer = h2.Answer{Status: grpcStatus[err.Code], Text: err.Text, Details: x.details}
	}
	conn := x.conn
	x.stream.Reply(&x.answer)
	burst.Mark(conn)
	x.replied <- struct{}{}
}

// flush sends what a burst has marked. The netpoller wakes many streams with one look, and what they answer goes out on
// the same few connections: so the others that are ready to run go first, and whoever comes back first writes what all
// of them have left. The yield costs a tenth of a microsecond, each write that it saves four.
func flush(b *infer.Burst) {
	if b.Marked() {
		runtime.Gosched()
	}
	b.Flush()
}
