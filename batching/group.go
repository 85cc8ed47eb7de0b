package batching

import (
	"errors"
	"sync"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

// Group drives the scheduler of one set of slots. It outlives generations and holds the queues of all that
// use these slots. It implements [infer.BatchOwner].
type Group struct {
	// Immutable after NewGroup.
	slots   infer.Slots
	metrics *Metrics

	bursts sync.Pool
	poke   chan struct{} // one slot: the time to wake has become earlier
	stop   chan struct{}
	wg     sync.WaitGroup

	mu struct {
		sync.Mutex
		scheduler *Scheduler
		armed     int64 // when the timer fires
	}
}

// NewGroup starts a group. metrics may be nil.
func NewGroup(slots infer.Slots, metrics *Metrics) *Group {
	g := &Group{slots: slots, metrics: metrics, poke: make(chan struct{}, 1), stop: make(chan struct{})}
	g.bursts.New = func() any { return new(infer.Burst) }
	g.mu.scheduler = NewScheduler(slots, g)
	g.mu.armed = never
	slots.OnRoom(func() { g.step(Event{Kind: Room}, nil) })
	g.wg.Go(g.tick)
	return g
}

// Close ends the group's goroutine. Its queues are closed before, and nothing of them runs any more.
func (g *Group) Close() {
	g.slots.OnRoom(func() {})
	close(g.stop)
	g.wg.Wait()
}

// NewQueue returns a queue whose calls run on the group's slots. Its owner closes it when the generation
// that it belongs to is drained. An error names the setting that makes no sense.
func (g *Group) NewQueue(opts QueueOptions) (*Queue, error) {
	q, err := NewQueue(opts)
	if err != nil {
		return nil, err
	}
	q.group = g
	if g.metrics != nil {
		q.metrics = g.metrics.queue(opts.Model)
	}
	return q, nil
}

// Submit implements [infer.Submitter]. The error is an [*infer.Error].
func (q *Queue) Submit(c *infer.Call, burst *infer.Burst) error {
	if err := q.check(c.Request); err != nil {
		return err
	}
	c.Then(infer.RoleLane, q)
	var room [actions]Action
	out := q.group.tell(Event{Kind: Arrive, Queue: q, Call: c}, burst.Clock(), room[:0])
	var rejected error
	if last := len(out) - 1; last >= 0 && out[last].Kind == Reject {
		rejected, out = out[last].Err, out[:last]
	}
	q.group.act(out, burst)
	return rejected
}

// Done implements [infer.Continuation]: a call that is done while it waits leaves its lane at once.
func (q *Queue) Done(c *infer.Call, burst *infer.Burst) {
	if c.From == infer.Queued {
		q.group.step(Event{Kind: Cancel, Call: c}, burst)
	}
}

// Waiting returns how many calls wait, and their rows; a request without rows counts as one.
func (q *Queue) Waiting() (calls int, rows int64) {
	q.group.mu.Lock()
	defer q.group.mu.Unlock()
	return q.calls, q.rows
}

// Close fails what waits, and refuses what comes, as draining. What runs ends as it would.
func (q *Queue) Close() {
	q.group.step(Event{Kind: Close, Queue: q}, nil)
	q.metrics.release()
}

// BatchDone implements [infer.BatchOwner]: the slot works again at once.
func (g *Group) BatchDone(b *infer.Batch, err *infer.Error, burst *infer.Burst) {
	g.slots.Release(b.Slot)
	g.step(Event{Kind: Result, Batch: b, Err: err}, burst)
}

// actions is how many actions of a step fit on the stack; more are rare, and allocated.
const actions = 4

// step tells the scheduler of an event and does what it wants done.
func (g *Group) step(e Event, burst *infer.Burst) {
	var room [actions]Action
	g.act(g.tell(e, burst.Clock(), room[:0]), burst)
}

// tell takes the lock for one step of the scheduler.
func (g *Group) tell(e Event, now int64, out []Action) []Action {
	g.mu.Lock()
	out = g.mu.scheduler.Step(e, now, out)
	early := g.mu.scheduler.Wake() < g.mu.armed
	if early {
		g.mu.armed = g.mu.scheduler.Wake()
	}
	g.mu.Unlock()
	if early {
		select {
		case g.poke <- struct{}{}:
		default:
		}
	}
	return out
}

// act does what the scheduler wants done. Without a burst it brings one, so that what runs at once, and what
// that makes run, does so in one.
func (g *Group) act(out []Action, burst *infer.Burst) {
	if len(out) == 0 {
		return
	}
	if burst != nil {
		g.perform(out, burst)
		return
	}
	burst = g.bursts.Get().(*infer.Burst)
	burst.Begin()
	g.perform(out, burst)
	burst.Flush()
	g.bursts.Put(burst)
}

func (g *Group) perform(out []Action, burst *infer.Burst) {
	for i := range out {
		a := &out[i]
		switch a.Kind {
		case Run:
			queueOf(a.Batch).metrics.formed(a.Batch, a.Cause)
			start(a.Batch, burst)
		case Fail:
			a.Call.Fail(a.Err, burst)
			a.Call.Release()
		case Drop:
			a.Call.Release()
		case Discard:
			a.Batch.Discard()
		case Return:
			g.slots.Release(a.Slot)
			g.step(Event{Kind: Room}, burst)
		case Reject:
			panic("BUG: batching: rejected a call that nobody brought")
		}
	}
}

func queueOf(b *infer.Batch) *Queue { return b.Members[0].Call.Queue.Lane.(*lane).queue }

// start runs b, or leaves it to whoever is starting batches further down on this stack; see Burst.Start.
func start(b *infer.Batch, burst *infer.Burst) {
	if burst.Start(b) {
		startAll(b, burst)
	}
}

// startAll runs b and what is left to it meanwhile. Should a runner panic, the others are started before that
// goes on its way: somebody may recover, and nobody else would start them.
func startAll(b *infer.Batch, burst *infer.Burst) {
	defer func() {
		if b == nil {
			return
		}
		if next := burst.Started(); next != nil {
			startAll(next, burst)
		}
	}()
	for ; b != nil; b = burst.Started() {
		b.Owner.(*Group).run(b, burst)
	}
}

func (g *Group) run(b *infer.Batch, burst *infer.Burst) {
	if !b.Seal() {
		b.Fail(infer.ErrInternal, burst) // its members are all done: this ends the batch and reaches nobody
		return
	}
	err := b.Slot.Runner.Run(b, burst)
	if err == nil {
		return
	}
	var why *infer.Error
	if !errors.As(err, &why) {
		why = &infer.Error{Code: infer.Internal, Origin: infer.FromGateway, Text: infer.ErrInternal.Text, Cause: err}
	}
	b.Refuse()
	g.slots.Release(b.Slot)
	g.step(Event{Kind: Refused, Batch: b, Err: why}, burst)
}

// tick tells the scheduler when calls may have waited for too long.
func (g *Group) tick() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		g.mu.Lock()
		at := g.mu.armed
		g.mu.Unlock()
		if at == never {
			timer.Stop()
		} else {
			timer.Reset(time.Duration(max(at-infer.Now(), 0)))
		}
		select {
		case <-timer.C:
			g.mu.Lock()
			g.mu.armed = never // step arms it anew
			g.mu.Unlock()
			g.step(Event{Kind: Tick}, nil)
		case <-g.poke:
		case <-g.stop:
			return
		}
	}
}
