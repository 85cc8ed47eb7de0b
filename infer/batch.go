package infer

import (
	"sync/atomic"

	"github.com/sluice-serving/sluice/slab"
)

// Member is a run of a call's rows in a batch. A call that is larger than a batch is several members.
type Member struct {
	Call *Call
	Rows Rows // of the call's request; all of it where the model has no batch axis
}

// BatchOwner is told that a batch is over: whoever acquired its slot.
type BatchOwner interface {
	// BatchDone is called once, before the end finishes the members, so that the slot works again at once. A
	// runner may have finished some or all of them one by one before that, and keeps the slot while it goes on.
	// err is nil when the run succeeded.
	BatchDone(batch *Batch, err *Error, b *Burst)
}

// Batch is a list of members that run together.
type Batch struct {
	// Set before Run, immutable until the batch is over.
	Model   *Model
	Members []Member
	Rows    int64 // of all members; 1 for a model without a batch axis
	Bytes   int64 // of all members' inputs
	Slot    Slot
	Slots   Slots // who is told when nobody waits any more; may be nil
	Owner   BatchOwner

	// Stamps: Formed is the owner's, Started and Ended are the runner's.
	Formed, Started, Ended int64

	refs   atomic.Int32
	live   atomic.Int32 // members that are not done, and 1 while the batch forms
	over   atomic.Bool
	run    atomic.Pointer[Tracked]
	inline [1]Member
	next   *Batch  // in a burst's list of batches to start
	mem    *Memory // nil for a batch embedded in its call
	shard  uint32
}

// Tracked is what a runner keeps for a batch under way; it is embedded in something of the runner's own.
type Tracked struct{ Of any }

// Track notes what the runner keeps for the batch, so that [Slots].Abort finds it. Who tracks then looks at
// Live: the last member may have gone before.
func (b *Batch) Track(t *Tracked) { b.run.Store(t) }

// Tracked returns what was tracked last, nil if nothing was.
func (b *Batch) Tracked() *Tracked { return b.run.Load() }

// NewBatch returns an empty batch from the pool.
func (m *Memory) NewBatch() *Batch {
	b, _ := m.batches.Get().(*Batch)
	if b == nil {
		b = &Batch{mem: m, shard: m.shard()}
	}
	m.shards[b.shard].batches.Add(1)
	b.open()
	return b
}

// OpenSingle returns the batch embedded in c, empty. It is for c's first run only: after a refusal the batch
// may still be on its way out.
func (c *Call) OpenSingle() *Batch {
	b := &c.Single
	b.Members = b.inline[:0]
	b.open()
	return b
}

func (b *Batch) open() {
	b.refs.Store(1)
	b.live.Store(1)
	b.over.Store(false)
	b.run.Store(nil)
	b.Rows, b.Bytes, b.Formed, b.Started, b.Ended = 0, 0, 0, 0, 0
}

// Add claims c and makes it a member with rows of its request. It fails if c is done. The batch takes a
// reference of its own.
func (b *Batch) Add(c *Call, rows Rows) bool {
	c.Retain()
	if b.Adopt(c, rows) {
		return true
	}
	c.Release()
	return false
}

// Adopt is Add for a claimer that holds a reference of its own to c: the batch takes that over unless it fails.
func (b *Batch) Adopt(c *Call, rows Rows) bool {
	// The member counts before the claim: whoever finishes the call right after it must find itself counted.
	b.refs.Add(1)
	b.live.Add(1)
	c.Then(RoleAttempt, b)
	if !c.Claim() {
		b.refs.Add(-1)
		b.live.Add(-1)
		return false
	}
	b.Members = append(b.Members, Member{Call: c, Rows: rows})
	n := rows.N
	if n < 0 {
		n = c.Request.Rows
	}
	b.Rows += n
	b.Bytes += c.Request.Bytes
	return true
}

// Seal ends the forming of the batch; it comes before Run. It tells whether anybody still waits: if not, the
// batch need not run, and its owner fails it.
func (b *Batch) Seal() bool { return b.live.Add(-1) > 0 }

// Refuse ends a batch that its runner did not accept. Its owner then takes members back or fails them, one by
// one, and gives the batch up by Discard.
func (b *Batch) Refuse() {
	if b.over.Swap(true) {
		panic("BUG: infer: batch refused after its end")
	}
}

// TakeBack moves member i of a refused batch back to Queued, for its owner to queue again; the batch does not
// count it any more. It fails if the call is done. The batch's reference to the call stays until Discard.
func (b *Batch) TakeBack(i int) bool {
	if !b.over.Load() {
		panic("BUG: infer: member taken from a batch that is not over")
	}
	if !b.Members[i].Call.Unclaim() {
		return false
	}
	b.live.Add(-1)
	b.refs.Add(-1) // not the last one: its owner's stands
	return true
}

// Discard drops the owner's reference to a batch that never ran: it has no members, or was refused.
func (b *Batch) Discard() {
	if len(b.Members) != 0 && !b.over.Load() {
		panic("BUG: infer: batch with members discarded")
	}
	b.release()
}

// Done implements [Continuation] in the role of the attempt: a member is done. The last one, if the batch
// is not over, aborts the run: nobody waits for it.
func (b *Batch) Done(_ *Call, _ *Burst) {
	if b.live.Add(-1) == 0 && !b.over.Load() && b.Slots != nil {
		b.Slots.Abort(b)
	}
	b.release()
}

// Live returns how many members are not done: a runner may skip a batch that has none.
func (b *Batch) Live() int32 { return b.live.Load() }

// Finish ends the batch with r, whose reference stays the caller's. If there are several members, they get
// their rows of it in order; outputs that have not one row for each row of the batch fail it. The runner must
// not touch the batch afterwards.
func (b *Batch) Finish(r *Response, burst *Burst) { b.end(r, nil, burst) }

// Fail ends the batch with an error for every member.
func (b *Batch) Fail(err *Error, burst *Burst) { b.end(nil, err, burst) }

func (b *Batch) end(r *Response, err *Error, burst *Burst) {
	if b.over.Swap(true) {
		panic("BUG: infer: batch finished twice")
	}
	split := len(b.Members) > 1
	if split && err == nil && !r.hasRows(b.Rows) {
		r, err = nil, errRowsLost
	}
	if b.Owner != nil {
		b.Owner.BatchDone(b, err, burst)
	}
	e := ending{from: Queued | Claimed, err: err, resp: r, rows: AllRows, batch: b}
	first := int64(0)
	for _, m := range b.Members {
		if split {
			n := m.Rows.N
			if n < 0 {
				n = m.Call.Request.Rows
			}
			e.rows = Rows{First: first, N: n}
			first += n
		}
		m.Call.finish(e, burst)
	}
	b.release()
}

// Input appends input index of every member, in order, to dst: a merge without a copy. It returns the rows
// appended. Members of one batch have the same inputs.
func (b *Batch) Input(dst *slab.List, index int) int64 {
	rows := int64(0)
	for _, m := range b.Members {
		for i := range m.Call.Request.Inputs {
			in := &m.Call.Request.Inputs[i]
			if in.Index == index {
				m.Rows.Append(dst, &in.Tensor)
				rows += m.Rows.Of(&in.Tensor)
				break
			}
		}
	}
	return rows
}

// release drops a reference; the last one drops the calls. A batch that is embedded in one of them is gone
// with it, so nothing of the batch is touched after that.
func (b *Batch) release() {
	switch n := b.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("BUG: infer: batch released twice")
	}
	b.Model, b.Slot, b.Slots, b.Owner = nil, Slot{}, nil, nil
	if b.mem == nil {
		var c *Call
		if len(b.Members) == 1 {
			c = b.Members[0].Call
		}
		b.Members, b.inline[0] = nil, Member{}
		if c != nil {
			c.Release()
		}
		return
	}
	for _, m := range b.Members {
		m.Call.Release()
	}
	clear(b.Members)
	b.Members = b.Members[:0]
	b.mem.shards[b.shard].batches.Add(-1)
	b.mem.batches.Put(b)
}
