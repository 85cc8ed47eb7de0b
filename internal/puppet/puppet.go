package puppet

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

// Puppet is a backend. It implements [infer.Runner], [infer.Opener], [infer.Slots] and [infer.Catalog].
type Puppet struct {
	// Immutable after New.
	opts Options

	poke chan struct{} // one slot: a run that ends earlier than the timer's was added
	stop chan struct{}
	wg   sync.WaitGroup
	room atomic.Pointer[func()]

	bursts sync.Pool
	runs   atomic.Int64

	mu struct {
		sync.Mutex
		slots    map[*infer.Model]int // slots out, by model; by nil if the models share them
		limit    int
		unloaded map[*infer.Model]bool
		held     []*outstanding // oldest first
		timed    schedule
		free     []*outstanding
		silent   []*telling // entries of streams that are over
		tellings []*telling // all entries
		stats    Stats
		closed   bool
	}
}

// Stats counts what a puppet did.
type Stats struct {
	Runs    int64 // accepted
	Rows    int64 // of those
	Refused int64
	Failed  int64
	Aborts  int64
	Running int   // now
	Most    int   // that ran at once
	Largest int64 // rows of a run

	Streams   int64 // accepted
	Responses int64 // to those
	Overruns  int64 // pulls while a response was due already
}

// outstanding is a run that has been accepted and has not ended.
type outstanding struct {
	batch   *infer.Batch
	verdict Verdict
	due     time.Time
	seq     int64

	telling *telling // what goes on, in place of a batch
}

// New starts a puppet. Options that Validate refuses are a test's mistake: New panics.
func New(opts Options) *Puppet {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		panic("BUG: puppet: " + err.Error())
	}
	p := &Puppet{opts: opts, poke: make(chan struct{}, 1), stop: make(chan struct{})}
	p.bursts.New = func() any { return new(infer.Burst) }
	p.mu.slots = make(map[*infer.Model]int)
	p.mu.unloaded = make(map[*infer.Model]bool)
	p.mu.limit = opts.Slots
	p.wg.Go(p.serve)
	return p
}

// Close ends every outstanding run as a failure and waits for the goroutine.
func (p *Puppet) Close() {
	p.mu.Lock()
	p.mu.closed = true
	left := p.mu.held
	p.mu.held = nil
	left = append(left, p.mu.timed...)
	p.mu.timed = nil
	tellings := p.mu.tellings
	p.mu.Unlock()
	close(p.stop)
	p.wg.Wait()
	for _, t := range tellings {
		t.interrupt()
	}
	for _, o := range left {
		if o.telling != nil {
			o.telling.abandon()
			continue
		}
		o.verdict.Fail = infer.ErrDraining
		p.end(o, nil)
	}
}

// Model returns the model of a name, nil if there is none.
func (p *Puppet) Model(name string) *infer.Model {
	for _, m := range p.opts.Models {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Stats returns what the puppet did so far.
func (p *Puppet) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.stats
}

// Run implements [infer.Runner].
func (p *Puppet) Run(b *infer.Batch, burst *infer.Burst) error {
	n := p.runs.Add(1)
	var v Verdict
	if p.opts.Script != nil {
		v = p.opts.Script(n, b)
	}
	p.mu.Lock()
	if v.Refuse == nil && p.mu.closed {
		v.Refuse = infer.ErrDraining
	}
	if v.Refuse != nil {
		p.mu.stats.Refused++
		p.mu.Unlock()
		return v.Refuse
	}
	s := &p.mu.stats
	s.Runs++
	s.Rows += b.Rows
	s.Running++
	s.Most, s.Largest = max(s.Most, s.Running), max(s.Largest, b.Rows)
	delay := p.opts.Fixed + time.Duration(b.Rows)*p.opts.Row + v.Delay
	b.Started = burst.Clock()
	if !p.opts.Hold && delay == 0 {
		p.mu.Unlock()
		p.answer(b, &v, burst)
		return nil
	}
	o := p.take()
	o.batch, o.verdict, o.seq = b, v, n
	if p.opts.Hold {
		p.mu.held = append(p.mu.held, o)
		p.mu.Unlock()
		return nil
	}
	o.due = time.Now().Add(delay)
	first := p.mu.timed.push(o)
	p.mu.Unlock()
	if first {
		p.wake()
	}
	return nil
}

// take returns an empty entry; it needs the lock.
func (p *Puppet) take() *outstanding {
	n := len(p.mu.free)
	if n == 0 {
		return &outstanding{}
	}
	o := p.mu.free[n-1]
	p.mu.free = p.mu.free[:n-1]
	return o
}

func (p *Puppet) wake() {
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// Step ends the oldest run that is held, on the caller's goroutine, and tells whether there was one.
func (p *Puppet) Step() bool {
	p.mu.Lock()
	if len(p.mu.held) == 0 {
		p.mu.Unlock()
		return false
	}
	o := p.mu.held[0]
	copy(p.mu.held, p.mu.held[1:])
	p.mu.held = p.mu.held[:len(p.mu.held)-1]
	p.mu.Unlock()
	burst := p.bursts.Get().(*infer.Burst)
	burst.Begin()
	p.end(o, burst)
	burst.Flush()
	p.bursts.Put(burst)
	return true
}

// Held returns how many runs wait for Step.
func (p *Puppet) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.held)
}

// end answers an outstanding run and keeps its entry for the next.
func (p *Puppet) end(o *outstanding, burst *infer.Burst) {
	b, v := o.batch, o.verdict
	p.mu.Lock()
	*o = outstanding{}
	p.mu.free = append(p.mu.free, o)
	p.mu.Unlock()
	p.answer(b, &v, burst)
}

func (p *Puppet) answer(b *infer.Batch, v *Verdict, burst *infer.Burst) {
	p.mu.Lock()
	p.mu.stats.Running--
	if v.Fail != nil {
		p.mu.stats.Failed++
	}
	p.mu.Unlock()
	b.Ended = burst.Clock()
	if v.Fail != nil {
		b.Fail(v.Fail, burst)
		return
	}
	r := b.Members[0].Call.Memory().NewResponse()
	if p.opts.Answer != nil {
		p.opts.Answer(r, b)
	} else {
		fill(r, b, v.LoseRows)
	}
	b.Finish(r, burst)
	r.Release()
}

// EchoInputs answers each output of a batch with the input of its index.
func EchoInputs(r *infer.Response, b *infer.Batch) { fill(r, b, 0) }

// fill answers each output with the input of its index.
func fill(r *infer.Response, b *infer.Batch, lose int64) {
	for i := range b.Model.Outputs {
		in := input(b.Members[0].Call.Request, i)
		if in == nil {
			continue
		}
		out := r.AddOutput()
		out.Index, out.DType = i, in.DType
		rows := b.Input(&out.Data, i)
		shape := r.Dims(len(in.Shape))
		copy(shape, in.Shape)
		if len(shape) > 0 && b.Model.MaxBatch > 0 {
			shape[0] = rows - lose
		}
		out.Shape = shape
	}
}

func input(r *infer.Request, index int) *infer.Input {
	for i := range r.Inputs {
		if r.Inputs[i].Index == index {
			return &r.Inputs[i]
		}
	}
	return nil
}

// serve ends the runs that are due.
func (p *Puppet) serve() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due []*outstanding
	burst := new(infer.Burst)
	for {
		now := time.Now()
		p.mu.Lock()
		for len(p.mu.timed) > 0 && !p.mu.timed[0].due.After(now) {
			due = append(due, p.mu.timed.pop())
		}
		wait := time.Duration(-1)
		if len(p.mu.timed) > 0 {
			wait = p.mu.timed[0].due.Sub(now)
		}
		p.mu.Unlock()
		if len(due) > 0 {
			burst.Begin()
			for _, o := range due {
				if o.telling != nil {
					o.telling.tell(true, burst)
				} else {
					p.end(o, burst)
				}
			}
			burst.Flush()
			clear(due)
			due = due[:0]
			continue // a run may have been added and be due by now
		}
		if wait < 0 {
			timer.Stop()
		} else {
			timer.Reset(wait)
		}
		select {
		case <-timer.C:
		case <-p.poke:
		case <-p.stop:
			return
		}
	}
}
