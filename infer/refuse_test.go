package infer

import (
	"testing"
)

// aborts counts the aborts of its batches and does nothing else that a Slots does.
type aborts struct {
	Slots
	n int
}

func (a *aborts) Abort(*Batch) { a.n++ }

func TestARefusedBatchGivesItsMembersBack(t *testing.T) {
	m := newMemory()
	var calls []*Call
	b, slots := m.NewBatch(), &aborts{}
	b.Slots = slots
	for range 3 {
		c := newCall(m, 2)
		calls = append(calls, c)
		if !b.Add(c, AllRows) {
			t.Fatal("a queued call was not added")
		}
	}
	if b.Rows != 6 || !b.Seal() {
		t.Fatalf("batch of %d rows, want 6", b.Rows)
	}
	b.Refuse()
	calls[1].Fail(ErrClientGone, nil)
	for i, want := range []bool{true, false, true} {
		if got := b.TakeBack(i); got != want {
			t.Errorf("member %d taken back: %v, want %v", i, got, want)
		}
	}
	if slots.n != 0 {
		t.Errorf("a batch that never ran was aborted %d times", slots.n)
	}
	b.Discard()
	// They are queued as before: they run again, in other batches.
	for _, i := range []int{0, 2} {
		again := m.NewBatch()
		if !again.Add(calls[i], AllRows) {
			t.Fatalf("call %d was not queued again", i)
		}
		again.Seal()
		again.Fail(ErrInternal, nil)
	}
	for i, c := range calls {
		want := ErrInternal
		if i == 1 {
			want = ErrClientGone
		}
		if c.Error != want {
			t.Errorf("call %d ended with %v, want %v", i, c.Error, want)
		}
		c.Release()
	}
	mustBeClean(t, m)
}

func TestAdoptTakesTheReferenceOver(t *testing.T) {
	m := newMemory()
	gone, stays := newCall(m, 1), newCall(m, 1)
	gone.Retain()
	gone.Fail(ErrClientGone, nil)
	b := m.NewBatch()
	if b.Adopt(gone, AllRows) {
		t.Error("a done call was adopted")
	}
	gone.Release()
	gone.Release()
	stays.Retain()
	if !b.Adopt(stays, AllRows) {
		t.Fatal("a queued call was not adopted")
	}
	b.Seal()
	b.Fail(ErrInternal, nil)
	stays.Release()
	mustBeClean(t, m)
}

func TestBurstStartsOneBatchAfterTheOther(t *testing.T) {
	m := newMemory()
	var order []*Batch
	burst := new(Burst)
	b := []*Batch{m.NewBatch(), m.NewBatch(), m.NewBatch(), m.NewBatch()}
	var start func(*Batch)
	start = func(first *Batch) {
		if !burst.Start(first) {
			return
		}
		for at := first; at != nil; at = burst.Started() {
			before := len(order)
			order = append(order, at)
			if at == b[0] { // what comes while it starts waits for it
				start(b[1])
				start(b[2])
				if len(order) != before+1 {
					t.Error("a batch was started inside another")
				}
			}
		}
	}
	start(b[0])
	start(b[3])
	for i := range b {
		if i >= len(order) || order[i] != b[i] {
			t.Fatalf("started %v, want %v", order, b)
		}
		b[i].Discard()
	}
	mustBeClean(t, m)
}
