package batching

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// stress is what the callers of TestStress share.
type stress struct {
	*rig
	expiry   *infer.Expiry
	received atomic.Int64
	rejected atomic.Int64
	outcomes [infer.Outcomes]atomic.Int64

	// other is the queue of the model whose generations change.
	other atomic.Pointer[Queue]
	opts  QueueOptions
}

// reload does what a reload does: a new queue, and the end of the old one.
func (s *stress) reload() {
	q, err := s.group.NewQueue(s.opts)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.other.Swap(q).Close()
}

func (s *stress) queue(name string) *Queue {
	if name == "other" {
		return s.other.Load()
	}
	return s.queues[name]
}

// caller is an edge with a window of calls in flight.
type caller struct {
	*stress
	random *rand.Rand
	free   chan *inFlight // as many as there are
	burst  infer.Burst
}

// inFlight is a call of a caller, used again when it is done.
type inFlight struct {
	*caller
	rows, width int64
	tag         uint32
	pending     atomic.Bool
}

// Done implements [infer.Continuation].
func (f *inFlight) Done(c *infer.Call, _ *infer.Burst) {
	if !f.pending.Swap(false) {
		f.t.Errorf("call %d is done twice", f.tag)
	}
	f.outcomes[c.Outcome()].Add(1)
	if c.Error == nil {
		if err := puppet.Answered(c, f.rows, f.width, f.tag); err != nil {
			f.t.Errorf("call %d: %v", f.tag, err)
		}
	}
	c.Release()
	f.free <- f
}

func (k *caller) submit(tag uint32) {
	f := <-k.free
	names := [...]string{"echo", "echo", "other", "alone"}
	name := names[k.random.IntN(len(names))]
	f.rows, f.width, f.tag = 1, int64(1+k.random.IntN(4)), tag
	switch k.random.IntN(20) {
	case 0:
		f.rows = 0
	case 1:
		f.rows = 50 // more than the models take
	case 2, 3, 4:
		f.rows = int64(1 + k.random.IntN(12))
	}
	if name == "alone" {
		f.rows = 1
	}
	f.pending.Store(true)
	c := puppet.Ask(k.mem, k.routes[name], f.rows, f.width, tag)
	c.Then(infer.RoleEdge, f)
	c.Retain() // to cancel it
	epoch := c.Epoch()
	if k.random.IntN(2) == 0 {
		c.Deadline = infer.Now() + k.random.Int64N(int64(5*time.Millisecond))
		c.Expiry = k.expiry
	}
	deadline := c.Deadline
	var burst *infer.Burst
	if k.random.IntN(3) > 0 {
		burst = &k.burst
		burst.Begin()
	}
	k.received.Add(1)
	if err := k.queue(name).Submit(c, burst); err != nil {
		var why *infer.Error
		errors.As(err, &why)
		switch {
		case why == infer.ErrQueueFull:
		case why == infer.ErrDraining && name == "other":
		case why != nil && why.Code == infer.Invalid && f.rows == 50:
		default:
			k.t.Errorf("call %d of %d rows was rejected: %v", tag, f.rows, err)
		}
		k.rejected.Add(1)
		f.pending.Store(false)
		c.Release()
		c.Release()
		k.free <- f
		return
	}
	if deadline != 0 {
		k.expiry.Add(c, epoch, deadline)
	}
	switch k.random.IntN(10) {
	case 0:
		c.Finish(infer.Abandoned, nil, burst)
	case 1:
		c.FailQueued(infer.ErrClientGone, burst)
	}
	c.Release()
	burst.Flush()
}

// Calls with deadlines, cancels, refused and failed runs, and slots that come and go, from several callers at
// once: each call ends once, each answer is the caller's own, and all is given back.
func TestStress(t *testing.T) {
	total := 1_000_000
	if testing.Short() {
		total = 30_000
	}
	const callers, window = 6, 48
	var p *puppet.Puppet
	opts := puppet.Options{
		Slots:  3,
		Models: []*infer.Model{puppet.Echo("echo", 16), puppet.Echo("other", 32), puppet.Echo("alone", 0)},
		Script: func(run int64, _ *infer.Batch) (v puppet.Verdict) {
			switch {
			case run%53 == 0:
				v.Refuse = infer.ErrNoEndpoint
			case run%97 == 0:
				v.Refuse = infer.ErrInternal
			case run%31 == 0:
				v.Fail = infer.ErrInternal
			}
			if run%4 == 0 {
				v.Delay = time.Duration(run%5) * 50 * time.Microsecond
			}
			if run%1000 == 0 {
				p.Resize(int(run/1000)%4 + 2)
			}
			return v
		},
	}
	s := &stress{expiry: infer.NewExpiry()}
	s.opts = QueueOptions{MaxRows: 8, MaxQueueRows: 300, MaxWait: 8 * time.Millisecond, MaxLanes: 3}
	s.rig = newRig(t, opts, s.opts)
	s.opts.Model = opts.Models[1]
	s.other.Store(s.queues["other"])
	p = s.puppet
	var group sync.WaitGroup
	for i := range callers {
		k := &caller{stress: s, random: rand.New(rand.NewPCG(1, uint64(i))), free: make(chan *inFlight, window)}
		for range window {
			k.free <- &inFlight{caller: k}
		}
		group.Go(func() {
			for n := range total / callers {
				k.submit(uint32(n*callers + i))
				if i == 0 && n%300 == 0 {
					s.reload()
				}
			}
			for range window {
				<-k.free
			}
		})
	}
	group.Wait()
	s.expiry.Close()
	s.queues["other"] = s.other.Load()
	s.close()
	ended := s.rejected.Load()
	counts := make(map[string]int64)
	for o := range s.outcomes {
		ended += s.outcomes[o].Load()
		counts[infer.Outcome(o).String()] = s.outcomes[o].Load()
	}
	if received := s.received.Load(); received != ended {
		t.Errorf("%d calls were received and %d ended", received, ended)
	}
	for _, o := range []infer.Outcome{infer.Succeeded, infer.Shed, infer.Expired, infer.Abandoned, infer.Failed} {
		if s.outcomes[o].Load() == 0 {
			t.Errorf("no call ended as %s: the test does not reach what it is for", o)
		}
	}
	t.Logf("%d calls, %d rejected, %v, puppet %+v", s.received.Load(), s.rejected.Load(), counts, s.puppet.Stats())
}
