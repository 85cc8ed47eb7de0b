//go:build !race && !sluicedebug

package infer

import (
	"testing"
	"time"
)

func TestLifeOfACallDoesNotAllocate(t *testing.T) {
	m := newMemory()
	x := NewExpiry()
	defer x.Close()
	model := &Model{MaxBatch: 4}
	edge := &edgeWait{}
	n := int64(0)
	got := testing.AllocsPerRun(2000, func() {
		n++
		c := newCall(m, 2)
		c.Then(RoleEdge, edge)
		c.Deadline, c.Expiry = Now()+int64(time.Second)+n, x
		x.Add(c, c.Epoch(), c.Deadline)
		b := c.OpenSingle()
		b.Model = model
		b.Add(c, AllRows)
		b.Seal()
		r := m.NewResponse()
		r.AddOutput().Shape = append(r.Dims(1)[:0], 2)
		b.Finish(r, nil)
		r.Release()
		<-c.Woken()
		c.Release()
	})
	if got != 0 {
		t.Errorf("%v allocations a call, want 0", got)
	}
}
