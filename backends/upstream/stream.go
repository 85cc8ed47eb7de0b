package upstream

import (
	"sync/atomic"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/h2client"
)

// opener opens the streams of a decoupled model. It implements [infer.Opener].
type opener struct {
	pool  *Pool
	model *infer.Model
}

// Open returns what opens the streams of a model of the pool, nil unless it is decoupled.
func (p *Pool) Open(m *infer.Model) infer.Opener {
	if !m.Decoupled || p.opts.Dialect.NewStreamCodec == nil {
		return nil
	}
	return &opener{p, m}
}

// opened is a stream under way: a streaming call of its own, half-closed behind its single request. It is the
// source of its stream, and what is told when the stream's call is done.
type opened struct {
	// Immutable.
	pool  *Pool
	hint  uint32
	codec StreamCodec

	refs   atomic.Int32                 // its run 1, whoever pulls or cancels 1
	stream atomic.Pointer[infer.Stream] // nil: not running
	leg    atomic.Pointer[leg]          // nil: it was not sent yet
	life   atomic.Int64                 // which stream it is
	gone   atomic.Bool                  // nobody waits
	taken  atomic.Int64                 // bytes that came for nobody, in a pause

	// Owned by the run.
	model     *infer.Model
	place     *backends.Place
	since     int64
	tries     int
	responded bool         // a message came
	failure   *infer.Error // why we gave it up
	q         Question
	trail     trail     // of q
	message   slab.List // the question's body
	first     leg
}

// leg is one attempt at a stream. It is used once for each run of the stream that it belongs to, so that a
// cancel that comes late meets nothing else.
type leg struct {
	*opened
	call h2client.Call
}

func newOpened(p *Pool) *opened {
	x := &opened{pool: p, hint: p.hints.Add(1), codec: p.opts.Dialect.NewStreamCodec(p.memory.Slabs)}
	x.q.Body = &x.message
	return x
}

// Open implements [infer.Opener].
func (o *opener) Open(s *infer.Stream) error {
	version := o.model.Handle.(*backends.Version)
	place := version.Pick(s.Call.Request, nil)
	if place == nil {
		return version.Refusal()
	}
	x := o.pool.streams.Get().(*opened)
	x.model, x.place, x.tries, x.responded, x.failure = o.model, place, 1, false, nil
	x.gone.Store(false)
	x.life.Add(1)
	x.refs.Store(1)
	x.stream.Store(s)
	if !s.Accept(x, x) {
		x.stream.Store(nil)
		x.drop()
		return nil
	}
	v := place.Version
	if err := x.codec.EncodeStream(x.model, s.Call, v.Name, v.Number, &x.q); err != nil {
		x.end(err, nil)
		return nil
	}
	x.q.trail = x.trail.ofCall(s.Call)
	x.send(&x.first, nil)
	return nil
}

// drop gives a reference back; the last one makes it ready for the next stream.
func (x *opened) drop() {
	if x.refs.Add(-1) > 0 {
		return
	}
	if l := x.leg.Swap(nil); l != nil {
		l.call.Reset()
		l.call.Message.Release()
	}
	x.message.Release()
	x.q.trail = nil
	x.model, x.place = nil, nil
	x.pool.streams.Put(x)
}

// hold takes a reference for who has none, if it runs for s.
func (x *opened) hold(s *infer.Stream) bool {
	for {
		n := x.refs.Load()
		if n == 0 {
			return false
		}
		if x.refs.CompareAndSwap(n, n+1) {
			break
		}
	}
	if x.stream.Load() == s {
		return true
	}
	x.drop()
	return false
}

// send makes an attempt at the place.
func (x *opened) send(l *leg, burst *infer.Burst) {
	l.opened = x
	l.call.Path, l.call.Metadata, l.call.Done, l.call.Messages = x.q.Path, x.q.trail, l, l
	l.call.Message.AppendList(&x.message)
	x.leg.Store(l)
	if x.gone.Load() {
		x.end(infer.ErrClientGone, burst) // whoever told may have found nothing to cancel
		return
	}
	x.since = burst.Clock()
	l.call.Timeout = 0
	if d := x.stream.Load().Call.Deadline; d != 0 {
		l.call.Timeout = x.pool.remaining(d, x.since)
	}
	e, place, since, hint := x.place.Remote.Runner.(*endpoint), x.place, x.since, x.hint
	place.Enter(1)
	conn, err := e.client.grpc.Start(&l.call)
	if err != nil {
		why := e.refusal(err)
		place.Remote.Unheard()
		place.Leave(1, why.Code, burst.Clock()-since, hint)
		x.failed(why, burst)
		return
	}
	if conn != nil {
		burst.Mark((*h2client.Gatherer)(conn))
	}
}

// Message implements [h2client.Messages].
func (l *leg) Message(call *h2client.Call, m *slab.List, by h2client.Drainer) {
	x := l.opened
	if x.gone.Load() {
		x.taken.Add(int64(m.Size()))
		call.Pull() // the server is to come to its end
		return
	}
	s := x.stream.Load()
	r := x.pool.memory.NewResponse()
	err := x.codec.DecodeStream(x.model, s.Call, m, r)
	switch {
	case err == nil:
	case err.Code == infer.Internal: // the server's own words, after which it may go on
		r.Error = &infer.Error{Code: err.Code, Origin: err.Origin, Text: backends.PublicText(err.Text)}
	default:
		r.Release()
		x.failure = err
		call.Cancel() // Answered comes behind this
		return
	}
	x.responded = true
	s.Sink.Respond(s, r, of(by))
	r.Release()
}

// Answered implements [h2client.Answered].
func (l *leg) Answered(call *h2client.Call, by h2client.Drainer) {
	x, burst := l.opened, of(by)
	err := x.failure
	if err == nil && call.Status != grpc.OK {
		err = judge(call, x.place, x.stream.Load().Call.Request)
	}
	code := infer.OK
	if err != nil {
		code = err.Code
	}
	if code == infer.BadBackend {
		nonsense(x.place, err)
	}
	if call.Local {
		x.place.Remote.Unheard()
	}
	x.place.Leave(1, code, burst.Clock()-x.since, x.hint)
	if err != nil {
		x.failed(err, burst)
		return
	}
	x.end(nil, burst)
}

// failed goes on elsewhere if no server has worked on it, else it ends the stream.
func (x *opened) failed(err *infer.Error, burst *infer.Burst) {
	if !x.responded && x.failure == nil && !x.gone.Load() {
		if place := elsewhere(x.place, err, x.tries, x.stream.Load().Call.Request); place != nil {
			x.tries++
			x.place = place
			x.leg.Load().call.Message.Release()
			x.send(new(leg), burst)
			return
		}
	}
	x.end(err, burst)
}

// end ends the stream, with what the sink was not told by then.
func (x *opened) end(err *infer.Error, burst *infer.Burst) {
	s := x.stream.Swap(nil)
	s.End(x.pool.named(err), burst)
	x.drop()
}

// Pull implements [infer.Source].
func (x *opened) Pull(s *infer.Stream) {
	if x.hold(s) {
		x.leg.Load().call.Pull()
		x.drop()
	}
}

// Done implements [infer.Continuation]: the stream's call is done, by whomever. If it was not by us, the server
// is told.
func (x *opened) Done(c *infer.Call, _ *infer.Burst) {
	if !x.hold(&c.Stream) {
		return
	}
	x.gone.Store(true)
	if l := x.leg.Load(); l != nil {
		x.abandon(l)
	}
	x.drop()
}

// abandon cancels a leg, at once or when it has had its time to end by itself, for which its messages are taken and
// dropped. The caller holds a reference; none is held meanwhile.
func (x *opened) abandon(l *leg) {
	d := x.pool.opts.CancelAfter
	if d == 0 {
		l.call.Cancel()
		return
	}
	l.call.Pull()
	x.pause(x.life.Load(), 1)
}

const (
	// mostPauses bounds how often a stream is given time.
	mostPauses = 30
	// muchInAPause is how many bytes of a stream in one pause have it get another one: its server is writing nearly all the
	// time, which is when it must not be told, and will soon have written it all.
	muchInAPause = 256 << 10
)

// pause gives a leg time to end by itself, for the nth time.
func (x *opened) pause(life int64, n int) {
	x.taken.Store(0)
	x.pool.pauses.after(x.pool.opts.CancelAfter, func() {
		s := x.stream.Load()
		if s == nil || !x.hold(s) {
			return
		}
		defer x.drop()
		switch {
		case x.life.Load() != life:
		case n < mostPauses && x.taken.Load() >= muchInAPause:
			x.pause(life, n+1)
		default:
			x.leg.Load().call.Cancel()
		}
	})
}
