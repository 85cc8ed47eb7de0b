package upstream

import (
	"sync/atomic"
	"time"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
)

// mostTries bounds how often a run is begun that no server has worked on.
const mostTries = 3

// attempt is one run of a batch, or of one of its members, at one endpoint.
type attempt struct {
	// Immutable.
	pool    *Pool
	hint    uint32 // spreads attempts over shards
	tracked infer.Tracked
	codec   Codec

	refs  atomic.Int32                // its run 1, an Abort 1
	life  atomic.Int64                // which run it is
	batch atomic.Pointer[infer.Batch] // nil: not running

	// Owned by the run.
	call   call
	q      Question // its Body is the call's
	trail  trail    // of q
	place  *backends.Place
	since  int64 // when it was handed to the client
	rows   int64
	tries  int
	single *replay     // nil: it runs the whole batch
	part   infer.Batch // of a replay: the member, as the codec wants it
}

func newAttempt(p *Pool) *attempt {
	a := &attempt{pool: p, hint: p.hints.Add(1), codec: p.opts.Dialect.NewCodec(p.memory.Slabs)}
	a.tracked.Of = a
	a.call = newCall(a)
	a.q.Body = a.call.body()
	return a
}

// take returns an attempt for a batch at a place, with the run's reference.
func (p *Pool) take(b *infer.Batch, place *backends.Place) *attempt {
	a := p.attempts.Get().(*attempt)
	a.place, a.rows, a.tries, a.single = place, max(b.Rows, 1), 1, nil
	a.life.Add(1)
	a.refs.Store(1)
	a.batch.Store(b)
	return a
}

// drop gives a reference back; the last one makes the attempt ready for its next run.
func (a *attempt) drop() {
	if a.refs.Add(-1) > 0 {
		return
	}
	a.call.reset()
	a.q.Path, a.q.Head, a.q.Binary, a.q.trail = "", 0, false, nil
	a.place, a.single = nil, nil
	a.part.Model, a.part.Members = nil, nil
	a.pool.attempts.Put(a)
}

// hold takes a reference for who has none, unless the attempt is not running.
func (a *attempt) hold() bool {
	for {
		n := a.refs.Load()
		if n == 0 {
			return false
		}
		if a.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Run implements [infer.Runner].
func (e *endpoint) Run(b *infer.Batch, burst *infer.Burst) error {
	b.Started = burst.Clock()
	a := e.pool.take(b, b.Slot.Endpoint.(*backends.Place))
	a.run(burst)
	return nil
}

// Abort implements [backends.Aborter]: it cancels the run, unless that is over or is over soon.
func (e *endpoint) Abort(b *infer.Batch) {
	for {
		t := b.Tracked()
		if t == nil {
			return // Run sees for itself that nobody waits
		}
		a := t.Of.(*attempt)
		if a.hold() {
			mine := a.batch.Load() == b
			if mine {
				a.abandon()
			}
			a.drop()
			if mine {
				return
			}
		}
		if b.Tracked() == t {
			return // it is over; else it went on as another attempt
		}
	}
}

// abandon cancels the call, at once or when it has had its time to end by itself. The caller holds a reference; none is
// held meanwhile, since what the run keeps is to go with it.
func (a *attempt) abandon() {
	d := a.pool.opts.CancelAfter
	if d == 0 {
		a.call.cancel()
		return
	}
	life := a.life.Load()
	a.pool.pauses.after(d, func() {
		if a.hold() {
			if a.life.Load() == life && a.batch.Load() != nil {
				a.call.cancel()
			}
			a.drop()
		}
	})
}

// run encodes and sends. The attempt may be over, and somebody else's, when it returns.
func (a *attempt) run(burst *infer.Burst) {
	b := a.batch.Load()
	b.Track(&a.tracked)
	if b.Live() == 0 {
		// Whoever ended the last member may have found nothing to cancel.
		a.over(b, nil, infer.ErrClientGone, burst)
		return
	}
	asked := b
	if a.single != nil {
		asked = &a.part
	}
	a.q.trail = a.trail.of(asked.Members)
	switch a.q.Binary = a.place.Version.Binary; {
	case a.q.Path != "": // it goes on for an attempt that has encoded
		a.send(b, asked, burst)
	case a.pool.opts.Dialect.REST != nil && !a.q.Binary && asked.Bytes > mostText:
		a.pool.encoding.Go(func() {
			own := &infer.Burst{}
			own.Begin()
			a.encode(b, asked, own)
			own.Flush()
		})
	default:
		a.encode(b, asked, burst)
	}
}

// mostText is how many bytes of tensors are written as text on the goroutine of whoever runs a batch: it may be the
// reader of a connection, which does not work long on one stream.
const mostText = 64 << 10

// encode encodes and sends.
func (a *attempt) encode(b, asked *infer.Batch, burst *infer.Burst) {
	v := a.place.Version
	if err := a.codec.Encode(asked, v.Name, v.Number, &a.q); err != nil {
		a.failed(b, err, burst)
		return
	}
	a.send(b, asked, burst)
}

// timeout returns how long the server may take, 0 if for ever: as long as anybody waits, and what it may take longer.
func (p *Pool) timeout(members []infer.Member, now int64) time.Duration {
	latest := int64(0)
	for i := range members {
		d := members[i].Call.Deadline
		if d == 0 {
			return 0
		}
		latest = max(latest, d)
	}
	return p.remaining(latest, now)
}

// remaining is timeout for a deadline: one that has passed is about to be noticed here.
func (p *Pool) remaining(deadline, now int64) time.Duration {
	return max(time.Duration(deadline-now), time.Millisecond) + p.opts.CancelAfter
}

// send hands the call to the endpoint's connections.
func (a *attempt) send(b, asked *infer.Batch, burst *infer.Burst) {
	a.since = burst.Clock()
	place, rows, hint, since := a.place, a.rows, a.hint, a.since
	place.Enter(rows)
	if why := a.call.start(place.Remote.Runner.(*endpoint), &a.q, a.pool.timeout(asked.Members, since), burst); why != nil {
		place.Remote.Unheard()
		place.Leave(rows, why.Code, burst.Clock()-since, hint)
		a.failed(b, why, burst)
	}
}

// answered takes the end of the call, on whatever goroutine the transport has it on.
func (a *attempt) answered(burst *infer.Burst) {
	b := a.batch.Load()
	now := burst.Clock()
	r, err := a.read(b)
	code := infer.OK
	if err != nil {
		code = err.Code
	}
	if code == infer.BadBackend {
		nonsense(a.place, err)
	}
	if !a.call.heard() {
		a.place.Remote.Unheard()
	}
	a.place.Leave(a.rows, code, now-a.since, a.hint)
	b.Ended = now
	if err != nil {
		a.failed(b, err, burst)
		return
	}
	a.over(b, r, nil, burst)
	r.Release()
}

// request is the first one that the run is for.
func (a *attempt) request() *infer.Request {
	if a.single != nil {
		return a.part.Members[0].Call.Request
	}
	return a.batch.Load().Members[0].Call.Request
}

// read makes a response of an answer, or an error of what is none.
func (a *attempt) read(b *infer.Batch) (*infer.Response, *infer.Error) {
	answer, err := a.call.answer(a.place)
	if err != nil {
		return nil, err
	}
	asked := b
	if a.single != nil {
		asked = &a.part
	}
	r := a.pool.memory.NewResponse()
	err = a.codec.Decode(asked, answer, r)
	if err == nil && len(asked.Members) > 1 && !hasRows(r, asked.Rows) {
		err = errRowsLost
	}
	if err != nil {
		r.Release()
		return nil, err
	}
	return r, nil
}

// hasRows tells whether every output has n rows.
func hasRows(r *infer.Response, n int64) bool {
	for i := range r.Outputs {
		if s := r.Outputs[i].Shape; len(s) == 0 || s[0] != n {
			return false
		}
	}
	return true
}

// failed goes on elsewhere where that makes sense, else it ends the run with err.
func (a *attempt) failed(b *infer.Batch, err *infer.Error, burst *infer.Burst) {
	if b.Live() > 0 {
		if place := elsewhere(a.place, err, a.tries, b.Members[0].Call.Request); place != nil {
			a.again(b, place, burst)
			return
		}
	}
	if a.single == nil && len(b.Members) > 1 && ofInput(err) && b.Live() > 0 {
		a.replay(b, err, burst)
		return
	}
	a.over(b, nil, err, burst)
}

// elsewhere returns where a run goes on that ended with err at its place, nil if nowhere. What the server did not
// work on goes to another endpoint, or to the same one, to which there may be another connection. What it turned
// away, because it shuts down or has the model no more, goes to another endpoint, once: those may all be full.
func elsewhere(place *backends.Place, err *infer.Error, tries int, r *infer.Request) *backends.Place {
	away := err.Origin == infer.FromBackend && (err.Code == infer.NotReady || err.Code == infer.UnknownModel)
	if err.Retry != infer.Unsent && (!away || tries > 1) || tries >= mostTries {
		return nil
	}
	if p := place.Version.Pick(r, place.Remote); p != nil {
		return p
	}
	if away || place.Remote.Suspected() {
		return nil
	}
	return place
}

// again goes on as another attempt: a call that may still be cancelled is never used twice.
func (a *attempt) again(b *infer.Batch, place *backends.Place, burst *infer.Burst) {
	next := a.pool.take(b, place)
	next.tries, next.single, next.rows = a.tries+1, a.single, a.rows
	next.part.Model, next.part.Members, next.part.Rows, next.part.Bytes = a.part.Model, a.part.Members, a.part.Rows, a.part.Bytes
	next.q.Path, next.q.Head, next.q.Binary = a.q.Path, a.q.Head, a.q.Binary
	next.q.Body.AppendList(a.q.Body)
	a.batch.Store(nil)
	a.drop()
	next.run(burst)
}

// over ends the run: the batch's, or its member's. The attempt is given back; r's reference stays the caller's.
func (a *attempt) over(b *infer.Batch, r *infer.Response, err *infer.Error, burst *infer.Burst) {
	single, place := a.single, a.place
	err = a.pool.named(err)
	a.batch.Store(nil)
	switch {
	case single != nil:
		single.ended(r, err, place, burst)
	case err != nil:
		b.Fail(err, burst)
	default:
		b.Finish(r, burst)
	}
	a.drop()
}
