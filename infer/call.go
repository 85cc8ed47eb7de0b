package infer

import "sync/atomic"

// Phase is where a call stands on its way.
type Phase uint8

// The phases. Queued -> Claimed -> Done; Queued -> Done; Claimed -> Queued by the claimer only.
const (
	idle Phase = iota
	Queued
	Claimed
	Done
)

const (
	phaseBits = 8
	phaseMask = 1<<phaseBits - 1
)

// Role orders the continuations of a call.
type Role uint8

// The roles, in the order in which their continuations run. The attempt's runs only for a call that was
// claimed.
const (
	RoleAttempt Role = iota
	RoleLane
	RoleRouter
	RoleEdge

	roles
)

// Stamps are the times of a call's stages, 0 where it did not get there.
type Stamps struct {
	Received int64 // the head of the request was read
	Decoded  int64 // the request is whole
	Queued   int64 // the router handed it on
	Formed   int64 // its batch was formed
	Started  int64 // the backend began to run it
	Ended    int64 // the backend was done
	Finished int64 // somebody won Finish
}

// Call is one execution of a request.
type Call struct {
	// Set by the edge before Submit.
	Request  *Request // the call holds a reference
	Deadline int64    // on the clock of Now; 0: none
	Stamps   Stamps

	// Set by the router before it hands the call on.
	Target *Target
	Expiry *Expiry // nil without a deadline

	// Written by the winner of Finish, read by continuations only.
	Error    *Error // nil when it succeeded
	Response *Response
	Rows     Rows
	From     Phase // the phase in which Finish met it

	word  atomic.Uint64 // epoch<<phaseBits | phase
	refs  atomic.Int32
	conts [roles]Continuation
	wake  chan struct{}
	shard uint32
	mem   *Memory

	// Single is the batch of a call that travels alone, Stream the stream of one that is opened.
	Single Batch
	Stream Stream

	// Queue is the lane's: where the call stands in it, guarded by the scheduler's lock.
	Queue struct {
		Prev, Next *Call
		Lane       any
		Since      int64  // when it came, on the clock of Now
		Number     uint64 // in the order of coming
		Refusals   int    // of runs that it was part of
	}

	// wheel is the expiry's, guarded by its shard's lock.
	wheel struct {
		prev, next *Call
		deadline   int64
		bucket     int32
		linked     bool
	}
}

// NewCall returns a queued call of r with one reference, the caller's, and a reference to r.
func (m *Memory) NewCall(r *Request) *Call {
	c, _ := m.calls.Get().(*Call)
	if c == nil {
		c = &Call{mem: m, shard: m.shard(), wake: make(chan struct{}, 1)}
	}
	m.shards[c.shard].calls.Add(1)
	r.Retain()
	c.Request, c.Rows = r, AllRows
	c.refs.Store(1)
	c.word.Store(c.word.Load()&^phaseMask | uint64(Queued))
	return c
}

// Shard is a number that spreads calls evenly, for sharded counters.
func (c *Call) Shard() uint32 { return c.shard }

// Epoch names this life of the call: a finish that carries an older one is refused.
func (c *Call) Epoch() uint64 { return c.word.Load() >> phaseBits }

// Memory returns where the call comes from.
func (c *Call) Memory() *Memory { return c.mem }

// Then sets the continuation of a role. The one whose role it is sets it before the call becomes visible
// to anybody who may finish it; a claimer sets the attempt's before it claims.
func (c *Call) Then(r Role, k Continuation) { c.conts[r] = k }

// Claim moves a queued call to Claimed, the only way into a batch. It fails if the call is done.
func (c *Call) Claim() bool { return c.step(Queued, Claimed) }

// Unclaim gives a claimed call back to its queue, after a refused or unsent run. Only the claimer may. It
// fails if the call is done.
func (c *Call) Unclaim() bool { return c.step(Claimed, Queued) }

func (c *Call) step(from, to Phase) bool {
	w := c.word.Load()
	return Phase(w&phaseMask) == from && c.word.CompareAndSwap(w, w&^phaseMask|uint64(to))
}

// Finish ends a call with what a response answers, r's reference staying the caller's, or with an outcome's
// canonical error. It returns false if the call was done before.
func (c *Call) Finish(o Outcome, r *Response, b *Burst) bool {
	return c.finish(ending{from: Queued | Claimed, err: canonical[o], resp: r, rows: AllRows}, b)
}

// Fail is Finish with an error of the caller's.
func (c *Call) Fail(err *Error, b *Burst) bool {
	return c.finish(ending{from: Queued | Claimed, err: err, rows: AllRows}, b)
}

// FailQueued fails a call that waits in a queue, and leaves one that runs alone: a client that may have
// closed only its sending side.
func (c *Call) FailQueued(err *Error, b *Burst) bool {
	return c.finish(ending{from: Queued, err: err, rows: AllRows}, b)
}

// FailLife is Fail for who holds no reference: it fails the call only if it still lives the life that epoch
// names.
func (c *Call) FailLife(epoch uint64, err *Error, b *Burst) bool {
	return c.finish(ending{from: Queued | Claimed, epoch: epoch, checkEpoch: true, err: err, rows: AllRows}, b)
}

// expire fails the call if it still lives the life that epoch names.
func (c *Call) expire(epoch uint64, b *Burst) bool {
	return c.finish(ending{from: Queued | Claimed, epoch: epoch, checkEpoch: true, expired: true, rows: AllRows}, b)
}

// ending is how a call is to end.
type ending struct {
	from       Phase // phases that it may end, as a set: Queued and Claimed are 1 and 2
	checkEpoch bool
	epoch      uint64
	expired    bool
	err        *Error
	resp       *Response
	rows       Rows
	batch      *Batch // whose stamps the call takes over
}

func (c *Call) finish(e ending, b *Burst) bool {
	var phase Phase
	for {
		w := c.word.Load()
		phase = Phase(w & phaseMask)
		if phase&e.from == 0 || phase == Done || e.checkEpoch && w>>phaseBits != e.epoch {
			return false
		}
		if c.word.CompareAndSwap(w, w&^phaseMask|uint64(Done)) {
			break
		}
	}
	// The edge leaves only by its continuation, so its reference stands and ours may be added.
	c.Retain()
	if x := c.Expiry; x != nil {
		x.remove(c)
	}
	c.settle(e, phase, b)
	first := RoleLane
	if phase == Claimed {
		first = RoleAttempt
	}
	for r := first; r < roles; r++ {
		if k := c.conts[r]; k != nil {
			k.Done(c, b)
		}
	}
	c.Release()
	return true
}

// settle writes the outcome: the winner's privilege.
func (c *Call) settle(e ending, phase Phase, b *Burst) {
	c.From = phase
	c.Stamps.Finished = b.Clock()
	c.Error, c.Response, c.Rows = e.err, e.resp, e.rows
	if e.resp != nil {
		e.resp.Retain()
	}
	if e.expired {
		c.Error = ErrExpiredInQueue
		if phase == Claimed {
			c.Error = ErrExpiredInFlight
		}
	}
	if e.batch != nil {
		c.Stamps.Formed, c.Stamps.Started, c.Stamps.Ended = e.batch.Formed, e.batch.Started, e.batch.Ended
	}
}

// Outcome returns the class of how the call ended.
func (c *Call) Outcome() Outcome {
	if c.Error == nil {
		return Succeeded
	}
	return c.Error.Code.Outcome()
}

// Wake makes Woken yield: what the continuation of an edge that waits does.
func (c *Call) Wake() { c.wake <- struct{}{} }

// Woken yields once for each Wake. Whoever waits must take it before his last release.
func (c *Call) Woken() <-chan struct{} { return c.wake }

// Retain adds a reference.
func (c *Call) Retain() {
	if c.refs.Add(1) <= 1 {
		panic("BUG: infer: call retained after release")
	}
}

// Release drops a reference. The last one drops the request and the response.
func (c *Call) Release() {
	switch n := c.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("BUG: infer: call released twice")
	}
	c.Request.Release()
	if c.Response != nil {
		c.Response.Release()
	}
	c.Request, c.Target, c.Expiry, c.Error, c.Response = nil, nil, nil, nil, nil
	c.Deadline, c.Stamps, c.From = 0, Stamps{}, idle
	c.Stream = Stream{}
	clear(c.conts[:])
	c.Queue.Lane, c.Queue.Refusals = nil, 0
	c.word.Store((c.word.Load()>>phaseBits + 1) << phaseBits)
	c.mem.shards[c.shard].calls.Add(-1)
	c.mem.calls.Put(c)
}
