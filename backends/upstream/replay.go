package upstream

import (
	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
)

// replay runs the members of a batch one by one that a server failed because of what is in it, and finishes
// each as soon as it is done: one client does not fail another.
type replay struct {
	pool  *Pool
	batch *infer.Batch
	next  int // member that is to run, or runs
}

// replay begins to run the members alone.
func (a *attempt) replay(b *infer.Batch, why *infer.Error, burst *infer.Burst) {
	r := &replay{pool: a.pool, batch: b, next: -1}
	place := a.place
	a.pool.replayed(a.place.Version, why)
	a.batch.Store(nil)
	a.drop()
	r.step(place, burst)
}

// step runs the next member, or ends.
func (r *replay) step(place *backends.Place, burst *infer.Burst) {
	r.next++
	b := r.batch
	if r.next == len(b.Members) || b.Live() == 0 {
		r.end(burst)
		return
	}
	a := r.pool.take(b, place)
	a.single = r
	m := b.Members[r.next : r.next+1]
	a.part.Model, a.part.Members = b.Model, m
	a.part.Rows, a.part.Bytes = rowsOf(m[0]), m[0].Call.Request.Bytes
	a.rows = max(a.part.Rows, 1)
	a.run(burst)
}

// ended takes the end of the member that runs.
func (r *replay) ended(resp *infer.Response, err *infer.Error, place *backends.Place, burst *infer.Burst) {
	c := r.batch.Members[r.next].Call
	if err != nil {
		c.Fail(err, burst)
	} else {
		c.Finish(infer.Succeeded, resp, burst)
	}
	r.step(place, burst)
}

// end ends the batch, whose members are done.
func (r *replay) end(burst *infer.Burst) {
	nothing := r.pool.memory.NewResponse() // nobody is left to read it
	r.batch.Finish(nothing, burst)
	nothing.Release()
}

// rowsOf returns the rows of a member.
func rowsOf(m infer.Member) int64 {
	if m.Rows.N < 0 {
		return m.Call.Request.Rows
	}
	return m.Rows.N
}
