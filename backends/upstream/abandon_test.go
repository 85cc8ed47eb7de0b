package upstream_test

import (
	"sync"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// TestAbandonedRunsEndByThemselves has nobody wait for runs that their servers are to have time for.
func TestAbandonedRunsEndByThemselves(t *testing.T) {
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 8)}, Hold: true})
	b := newBench(t, upstream.Options{CancelAfter: time.Hour}, server)
	m := b.model("m")
	alone, one, two := b.direct(m, 1), b.ask(m, 1, 2), b.ask(m, 1, 3)
	o := b.merged(m, one, two)
	b.await("both runs are there", func() bool { return server.Held() == 2 })
	for _, a := range []*probe{alone, one, two} {
		a.call.Finish(infer.Abandoned, nil, nil)
		if a.wait() == nil {
			t.Error("a call that was ended was answered")
		}
	}
	select {
	case <-o.ended:
		t.Error("the batch ended before the server has answered")
	default:
	}
	for server.Step() {
	}
	if err := <-o.ended; err != nil {
		t.Errorf("the batch ended with %v", err)
	}
	b.await("both have ended", func() bool { return b.pool.Fleet().Status()[0].InFlight == 0 })
	if st := server.Stats(); st.Cancelled != 0 || st.Failed != 0 {
		t.Errorf("%d runs were cancelled, %d failed", st.Cancelled, st.Failed)
	}
}

// TestAbandonedRunsAreCancelled has the time pass that they are given.
func TestAbandonedRunsAreCancelled(t *testing.T) {
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}, Hold: true})
	b := newBench(t, upstream.Options{CancelAfter: 10 * time.Millisecond}, server)
	a := b.direct(b.model("m"), 1)
	b.await("the run is there", func() bool { return server.Held() == 1 })
	a.call.Finish(infer.Abandoned, nil, nil)
	_ = a.wait() // it is over
	b.await("it is cancelled", func() bool { return server.Stats().Cancelled == 1 })
}

// TestALateCancelMeetsNoOtherRun has runs be abandoned whose attempts run others by the time that they are cancelled.
func TestALateCancelMeetsNoOtherRun(t *testing.T) {
	server := serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{echo("m", 0)}})
	b := newBench(t, upstream.Options{CancelAfter: time.Millisecond}, server)
	m := b.model("m")
	var all sync.WaitGroup
	for w := range uint32(4) {
		all.Go(func() {
			for i := range uint32(500) {
				a := b.direct(m, w<<16|i)
				if i%2 == 0 {
					a.call.Finish(infer.Abandoned, nil, nil)
					_ = a.wait() // it is over
				} else if err := a.wait(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	b.await("all have ended", func() bool { return server.Stats().Running == 0 })
}

// TestAbandonedStreamsComeToTheirEnd has the messages of a stream taken for nobody.
func TestAbandonedStreamsComeToTheirEnd(t *testing.T) {
	server := serve(t, puppet.TritonOptions{
		Models: []puppet.TritonModel{decoupled()},
		Script: func(int64, *puppet.TritonRequest) puppet.TritonVerdict { return puppet.TritonVerdict{Responses: 200} },
	})
	b := newBench(t, upstream.Options{CancelAfter: time.Hour}, server)
	k := b.open(b.model("m"), 1, true)
	b.await("a response has come", func() bool { return k.got.Load() == 1 })
	k.call.Fail(infer.ErrClientGone, nil)
	b.await("the server has come to the end", func() bool { return server.Stats().Running == 0 })
	if st := server.Stats(); st.Cancelled != 0 || st.Failed != 0 || k.got.Load() != 1 {
		t.Errorf("%d streams were cancelled, %d failed, and %d responses were handed on", st.Cancelled, st.Failed, k.got.Load())
	}
	if err := k.ended(); err != infer.ErrClientGone {
		t.Errorf("ended with %v", err)
	}
}

// TestAbandonedStreamsThatSayMuchComeToTheirEnd has large responses taken for nobody, for longer than one pause.
func TestAbandonedStreamsThatSayMuchComeToTheirEnd(t *testing.T) {
	server := serve(t, puppet.TritonOptions{
		Models: []puppet.TritonModel{decoupled()},
		Script: func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
			return puppet.TritonVerdict{Responses: 300, Every: time.Millisecond}
		},
	})
	b := newBench(t, upstream.Options{CancelAfter: 100 * time.Millisecond}, server)
	k := b.openRows(b.model("m"), 64<<10/(4*width), 1, true)
	b.await("a response has come", func() bool { return k.got.Load() == 1 })
	k.call.Fail(infer.ErrClientGone, nil)
	b.await("the server has come to the end", func() bool { return server.Stats().Running == 0 })
	if st := server.Stats(); st.Cancelled != 0 || st.Failed != 0 {
		t.Errorf("%d streams were cancelled, %d failed", st.Cancelled, st.Failed)
	}
	if err := k.ended(); err != infer.ErrClientGone {
		t.Errorf("ended with %v", err)
	}
}

// TestAbandonedStreamsAreCancelled has a stream go on for longer than it is given.
func TestAbandonedStreamsAreCancelled(t *testing.T) {
	server := serve(t, puppet.TritonOptions{
		Models: []puppet.TritonModel{decoupled()},
		Script: func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
			return puppet.TritonVerdict{Responses: 1 << 20, Every: time.Millisecond}
		},
	})
	b := newBench(t, upstream.Options{CancelAfter: 10 * time.Millisecond}, server)
	k := b.open(b.model("m"), 1, false)
	b.await("responses come", func() bool { return k.got.Load() > 2 })
	k.call.Fail(infer.ErrClientGone, nil)
	b.await("the server gives it up", func() bool { return server.Stats().Running == 0 })
	if err := k.ended(); err != infer.ErrClientGone {
		t.Errorf("ended with %v", err)
	}
}
