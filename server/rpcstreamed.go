package server

import (
	"sync"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/line"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/slab"
)

// streamed is one request of a stream, pooled: the edge's continuation of its call and, where the model is
// decoupled, the sink of its responses.
type streamed struct {
	rpcEdge
	codec inferCodec // with the decoder of its stream
	x     *rpcStream

	// Set before the request is outstanding.
	running   *infer.Call // nil if it did not get that far
	life      uint64      // of running
	decoupled bool
	sequence  uint64 // 0: of none

	// Guarded by the stream's mu.
	place line.Place[streamed]
	ready bool // message is what answers it

	// mu keeps responses from each other and from the end. It is held while one is encoded.
	mu      sync.Mutex
	opened  *infer.Stream // nil once no response is taken any more
	final   bool          // a response said that it is the last one
	trouble *infer.Error  // what the first response that failed said
}

func newStreamed(s *Server) *streamed {
	return &streamed{
		rpcEdge: rpcEdge{edge: edge{server: s, protocol: overGRPC, method: streamPath}},
		codec:   inferCodec{encoder: kserve.NewMessageEncoder(s.memory.Slabs), stream: true},
	}
}

// begin takes up a request.
func (e *streamed) begin(x *rpcStream) {
	e.x, e.from, e.received, e.requestID = x, x.stream, infer.Now(), x.requestID
	e.codec.decoder = x.decoder
	e.running, e.decoupled, e.sequence, e.ready = nil, false, 0, false
	e.final, e.trouble = false, nil
}

// end gives up a request that is answered.
func (e *streamed) end() {
	c := e.running
	e.forget()
	e.x, e.running, e.requestID, e.codec.decoder = nil, nil, nil, nil
	e.server.streamed.Put(e)
	if c != nil {
		c.Release()
	}
}

// list is where the request stands while it is outstanding.
func (e *streamed) list() *streamedList {
	if e.decoupled {
		return &e.x.mu.opened
	}
	return &e.x.mu.turns
}

// open makes the call of a decoded request that may take as long as asked and must be done by until, unless those
// are 0.
func (e *streamed) open(req *infer.Request, asked time.Duration, until int64) (*infer.Call, *infer.Error) {
	deadline, err := e.deadline(req.Route, asked, 0)
	if err != nil {
		return nil, err
	}
	if until != 0 && (deadline == 0 || until < deadline) {
		deadline = until
	}
	c := e.call(req, deadline)
	c.Then(infer.RoleEdge, e)
	e.running, e.life = c, c.Epoch()
	if e.decoupled = req.Route.Model.Decoupled; e.decoupled {
		e.mu.Lock()
		e.opened = c.OpenStream(e)
		e.mu.Unlock()
	}
	return c, nil
}

// submit hands the call on. From then on e may be serving another one.
func (e *streamed) submit(c *infer.Call, burst *infer.Burst) error {
	front := &e.server.front
	if !e.decoupled {
		return front.Submit(c, burst)
	}
	return front.Open(&c.Stream)
}

// Done implements [infer.Continuation]: it answers, on the goroutine of whoever finished the call.
func (e *streamed) Done(c *infer.Call, burst *infer.Burst) {
	if e.decoupled {
		e.close()
	}
	e.settle(c)
	err := c.Error
	switch {
	case err != nil:
	case !e.decoupled:
		err = e.encode(c, c.Response, c.Rows, kserve.FinalYes)
	case e.codec.head.EmptyFinal && !e.final:
		err = e.encode(c, nil, infer.AllRows, kserve.FinalYes)
	}
	if err != nil {
		e.refuse(err, c, burst)
		return
	}
	if e.trouble != nil {
		e.failed(e.trouble)
	}
	e.answer(c, burst)
}

// close takes no response any more.
func (e *streamed) close() {
	e.mu.Lock()
	e.opened = nil
	e.mu.Unlock()
}

// refuse answers with an error. c is nil if the request did not get as far as a call.
func (e *streamed) refuse(err *infer.Error, c *infer.Call, burst *infer.Burst) {
	if e.decoupled {
		e.close()
	}
	e.failed(err)
	e.tell(err.Text, kserve.FinalUnsaid) // which clients take for the last one, as Triton's say no more
	if e.x.strict {
		e.x.cancel(err, infer.ErrClientGone, burst)
	}
	e.answer(c, burst)
}

// drop counts a request that did not become outstanding and gets no answer, and gives it up.
func (e *streamed) drop(err *infer.Error) {
	if e.decoupled {
		e.close()
	}
	e.failed(err)
	e.observe(e.running)
	e.end()
}

// tell makes e.message an error of the request, after which clients of a decoupled model may have to wait for more.
func (e *streamed) tell(text string, final kserve.Final) {
	e.message.Release()
	at := len(e.scratch)
	e.scratch = kserve.AppendStreamError(e.scratch, text, e.codec.id, final, false)
	b := e.scratch[at:]
	s := e.server.memory.Slabs.Get(len(b))
	e.message.AppendOwned(slab.View{B: s.Bytes()[:copy(s.Bytes(), b)], S: s})
	e.scratch = e.scratch[:at]
}

// answer sends what ends the request. Nothing of e is touched after that.
func (e *streamed) answer(c *infer.Call, burst *infer.Burst) {
	x := e.x
	if !e.decoupled {
		x.turn(e, burst)
		return
	}
	e.observe(c)
	x.mu.Lock()
	ends := x.send(e)
	x.sent(e, ends, burst)
}

// Respond implements [infer.Sink].
func (e *streamed) Respond(s *infer.Stream, r *infer.Response, burst *infer.Burst) {
	e.mu.Lock()
	if e.opened != s {
		e.mu.Unlock()
		return
	}
	x, c, life := e.x, s.Call, e.life
	conn := x.conn
	err := e.respond(c, r)
	if err == nil {
		c.Retain()
		x.mu.Lock()
		x.mu.due = append(x.mu.due, s)
		x.queue(&e.message)
		x.mu.Unlock()
	}
	e.mu.Unlock()
	burst.Mark(conn)
	if err != nil {
		c.FailLife(life, err, burst)
	}
}

// respond makes e.message a response. It runs under e.mu.
func (e *streamed) respond(c *infer.Call, r *infer.Response) *infer.Error {
	e.final = e.final || r.Final
	final := kserve.FinalNo
	if r.Final {
		final = kserve.FinalYes
	}
	if r.Error != nil {
		if e.trouble == nil {
			e.trouble = r.Error
		}
		if e.x.strict {
			return r.Error
		}
		e.tell(r.Error.Text, final)
		return nil
	}
	return e.encode(c, r, infer.AllRows, final)
}

// encode makes e.message rows of r, which may be nil for an answer without outputs.
func (e *streamed) encode(c *infer.Call, r *infer.Response, rows infer.Rows, final kserve.Final) *infer.Error {
	return e.encoded(e.codec.respond(c, r, rows, kserve.Frame{Stream: true, Final: final}, &e.message))
}

// streamedList is the outstanding requests of a kind, oldest first.
type streamedList struct{ line.Line[streamed] }

// has tells whether a request of the sequence is outstanding.
func (l *streamedList) has(sequence uint64) bool {
	for e := l.First(); e != nil; e = e.place.Next() {
		if e.sequence == sequence {
			return true
		}
	}
	return false
}
