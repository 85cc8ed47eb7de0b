package infer

import (
	"sync"
	"sync/atomic"
	"testing"
)

// trickle is an opener that gives as many responses as it is pulled for.
type trickle struct {
	m     *Memory
	pulls atomic.Int64
	ended atomic.Int64
}

func (k *trickle) Open(s *Stream) error {
	if !s.Accept(k, k) {
		return nil
	}
	k.Pull(s)
	return nil
}

func (k *trickle) Pull(s *Stream) {
	k.pulls.Add(1)
	r := k.m.NewResponse()
	s.Sink.Respond(s, r, nil)
	r.Release()
}

func (k *trickle) Done(*Call, *Burst) { k.ended.Add(1) }

// cup is a sink that drops what comes for another stream than its own.
type cup struct {
	of    *Stream
	taken atomic.Int64
}

func (c *cup) Respond(s *Stream, _ *Response, _ *Burst) {
	if s == c.of {
		c.taken.Add(1)
	}
}

func TestStreamIsPulledAndEndsOnce(t *testing.T) {
	m := newMemory()
	k, sink := &trickle{m: m}, &cup{}
	c := newCall(m, 1)
	var log []string
	c.Then(RoleEdge, trace{"edge", &log})
	s := c.OpenStream(sink)
	sink.of = s
	if err := k.Open(s); err != nil {
		t.Fatal(err)
	}
	s.Source.Pull(s)
	s.Source.Pull(s)
	if got := sink.taken.Load(); got != 3 {
		t.Errorf("%d responses for Open and two pulls", got)
	}
	if len(log) != 0 || k.ended.Load() != 0 {
		t.Error("done before its end")
	}
	if !s.End(nil, nil) {
		t.Error("its end came second")
	}
	if len(log) != 1 || c.Outcome() != Succeeded || k.ended.Load() != 1 {
		t.Errorf("ended %v, told %v, the backend %d times", c.Outcome(), log, k.ended.Load())
	}
	if c.From != Claimed || c.Stamps.Started == 0 || c.Stamps.Ended < c.Stamps.Started {
		t.Errorf("from phase %d, stamps %+v", c.From, c.Stamps)
	}
	c.Release()
	mustBeClean(t, m)
}

func TestStreamOfACallThatIsDoneIsNotTaken(t *testing.T) {
	m := newMemory()
	k := &trickle{m: m}
	c := newCall(m, 1)
	c.Fail(ErrClientGone, nil)
	if err := k.Open(c.OpenStream(&cup{})); err != nil {
		t.Fatal(err)
	}
	if k.pulls.Load() != 0 || k.ended.Load() != 0 {
		t.Error("the backend took it")
	}
	c.Release()
	mustBeClean(t, m)
}

// TestLateResponsesMeetNoOtherStream races the end of streams against their responses. A sink that names its
// stream by the pointer must never take a response of one before, although calls are pooled.
func TestLateResponsesMeetNoOtherStream(t *testing.T) {
	m := newMemory()
	for range 2000 {
		k, sink := &trickle{m: m}, &cup{}
		c := newCall(m, 1)
		s := c.OpenStream(sink)
		sink.of = s
		if err := k.Open(s); err != nil {
			t.Fatal(err)
		}
		epoch := c.Epoch()
		c.Retain() // the goroutine's that responds
		var wg sync.WaitGroup
		wg.Go(func() {
			k.Pull(s)
			if s.Call.Epoch() != epoch {
				t.Error("the call was reborn under a reference")
			}
			s.End(nil, nil)
			c.Release()
		})
		c.FailLife(epoch, ErrExpiredInFlight, nil)
		c.Release()
		wg.Wait()
		if k.ended.Load() != 1 {
			t.Fatalf("the backend was told %d times", k.ended.Load())
		}
	}
	mustBeClean(t, m)
}
