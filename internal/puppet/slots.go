package puppet

import (
	"fmt"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

// owner returns the key of the slots that m uses.
func (p *Puppet) owner(m *infer.Model) *infer.Model {
	if p.opts.PerModel {
		return m
	}
	return nil
}

// ticket is where a slot belongs: nil is the set that the models share.
type ticket = *infer.Model

// TryAcquire implements [infer.Slots].
func (p *Puppet) TryAcquire(m *infer.Model) (infer.Slot, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m = original(m)
	key := p.owner(m)
	if p.mu.unloaded[m] || p.mu.slots[key] >= p.mu.limit {
		return infer.Slot{}, false
	}
	p.mu.slots[key]++
	return infer.Slot{Runner: p, Endpoint: ticket(key)}, true
}

// Release implements [infer.Slots].
func (p *Puppet) Release(s infer.Slot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := s.Endpoint.(ticket)
	p.mu.slots[key]--
	if p.mu.slots[key] < 0 {
		panic("BUG: puppet: slot released twice")
	}
}

// Abort implements [infer.Slots]: a run that waits for its time ends at once; one that is held stays.
func (p *Puppet) Abort(b *infer.Batch) {
	p.mu.Lock()
	p.mu.stats.Aborts++
	first := false
	for i, o := range p.mu.timed {
		if o.batch == b {
			o.verdict.Fail = infer.ErrClientGone
			o.due = time.Time{}
			p.mu.timed.fix(i)
			first = true
			break
		}
	}
	p.mu.Unlock()
	if first {
		p.wake()
	}
}

// OnRoom implements [infer.Slots].
func (p *Puppet) OnRoom(f func()) { p.room.Store(&f) }

// Resize changes the number of slots. What is out stays out.
func (p *Puppet) Resize(slots int) {
	p.mu.Lock()
	p.mu.limit = slots
	p.mu.Unlock()
	p.tellRoom()
}

func (p *Puppet) tellRoom() {
	if f := p.room.Load(); f != nil {
		(*f)()
	}
}

// Out returns how many slots are out.
func (p *Puppet) Out() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, out := range p.mu.slots {
		n += out
	}
	return n
}

// Check returns an error if a run is outstanding or a slot is out: what a leak check asks at rest.
func (p *Puppet) Check() error {
	out, s := p.Out(), p.Stats()
	if out != 0 || s.Running != 0 {
		return fmt.Errorf("puppet: %d slots are out, %d runs are outstanding", out, s.Running)
	}
	return nil
}
