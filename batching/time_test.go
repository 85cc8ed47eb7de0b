package batching

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// closedLoop runs callers of one row in a closed loop for a second and returns what the puppet did in it.
func closedLoop(t *testing.T, callers int, maxRows int64) (stats puppet.Stats, mean time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		opts := puppet.Options{Fixed: 2 * time.Millisecond, Row: 20 * time.Microsecond}
		r := newRig(t, opts, QueueOptions{MaxRows: maxRows})
		var group sync.WaitGroup
		start := time.Now()
		var total time.Duration
		var mu sync.Mutex
		calls := 0
		for i := range callers {
			group.Go(func() {
				for time.Since(start) < time.Second {
					began := time.Now()
					c := r.ask(1, uint32(i))
					c.Then(infer.RoleEdge, waker{})
					if err := r.queues["echo"].Submit(c, nil); err != nil {
						t.Error(err)
						return
					}
					<-c.Woken()
					if err := puppet.Answered(c, 1, 4, uint32(i)); err != nil {
						t.Error(err)
					}
					c.Release()
					mu.Lock()
					total += time.Since(began)
					calls++
					mu.Unlock()
				}
			})
		}
		group.Wait()
		stats, mean = r.puppet.Stats(), total/time.Duration(calls)
		synctest.Wait()
		r.close()
	})
	return stats, mean
}

// waker is the edge of a call that somebody waits for.
type waker struct{}

func (waker) Done(c *infer.Call, _ *infer.Burst) { c.Wake() }

func TestClosedLoop(t *testing.T) {
	off, _ := closedLoop(t, 64, 1)
	on, _ := closedLoop(t, 64, 32)
	batch, gain := float64(on.Rows)/float64(on.Runs), float64(on.Rows)/float64(off.Rows)
	t.Logf("mean batch %.1f rows, %.1f times the rows of batching off", batch, gain)
	if batch < 28 {
		t.Errorf("mean batch %.1f rows, want at least 28", batch)
	}
	if gain < 20 {
		t.Errorf("%.1f times the rows of batching off, want at least 20", gain)
	}
	_, alone := closedLoop(t, 1, 32)
	if want := 2020 * time.Microsecond; alone != want {
		t.Errorf("one caller waits for %v, want %v: nothing holds a call when a slot is free", alone, want)
	}
}

// A queue's bound on the wait is kept while nothing else happens.
func TestMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, puppet.Options{Hold: true}, QueueOptions{MaxWait: 10 * time.Millisecond})
		_, running := r.submit(1, 1, nil)
		time.Sleep(time.Millisecond)
		_, first := r.submit(1, 2, nil)
		time.Sleep(4 * time.Millisecond)
		_, second := r.submit(1, 3, nil)
		time.Sleep(6*time.Millisecond - time.Nanosecond)
		synctest.Wait()
		if first.look().done != 0 {
			t.Error("failed before its time")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		first.failedWith(t, "after 10ms", infer.ErrWaitedTooLong)
		time.Sleep(3 * time.Millisecond)
		r.puppet.Step()
		r.puppet.Step()
		synctest.Wait()
		running.ok(t, "the first")
		second.ok(t, "the third, in time")
		r.close()
	})
}

// Deadlines pass in the queue, and in flight; when nobody is left the run is told.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := infer.NewExpiry()
		r := newRig(t, puppet.Options{Fixed: 50 * time.Millisecond}, QueueOptions{})
		send := func(tag uint32, after time.Duration) *edge {
			c := r.ask(1, tag)
			e := &edge{rows: 1, tag: tag}
			c.Then(infer.RoleEdge, e)
			c.Deadline, c.Expiry = infer.Now()+int64(after), x
			epoch, deadline := c.Epoch(), c.Deadline
			if err := r.queues["echo"].Submit(c, nil); err != nil {
				t.Fatal(err)
			}
			x.Add(c, epoch, deadline)
			return e
		}
		inFlight := send(1, 20*time.Millisecond)
		queued := send(2, 10*time.Millisecond)
		patient := send(3, time.Second)
		time.Sleep(15 * time.Millisecond)
		synctest.Wait()
		queued.failedWith(t, "queued", infer.ErrExpiredInQueue)
		if calls, _ := r.queues["echo"].Waiting(); calls != 1 {
			t.Errorf("%d calls are queued, want the one that has time", calls)
		}
		if inFlight.look().done != 0 {
			t.Error("the call in flight failed before its time")
		}
		// Its deadline ends the run, for it was the only member: the slot is free for the next.
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		inFlight.failedWith(t, "in flight", infer.ErrExpiredInFlight)
		if s := r.puppet.Stats(); s.Aborts != 1 || s.Runs != 2 {
			t.Errorf("%d aborts and %d runs, want 1 and 2", s.Aborts, s.Runs)
		}
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		patient.ok(t, "the one that has time")
		x.Close()
		r.close()
	})
}
