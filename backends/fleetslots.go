package backends

import (
	"slices"

	"github.com/sluice-serving/sluice/infer"
)

// TryAcquire implements [infer.Slots]: a slot at the server that is the least busy with the version for its
// size. Where no server takes the version at all, the slot is one whose runner says so: nobody is to wait for
// what may never come.
func (f *Fleet) TryAcquire(m *infer.Model) (infer.Slot, bool) {
	v := m.Handle.(*Version)
	f.mu.Lock()
	defer f.mu.Unlock()
	usable := *v.usable.Load()
	if len(usable) == 0 {
		return infer.Slot{Runner: nowhere{v.Refusal()}}, true
	}
	elsewhere := slices.ContainsFunc(usable, func(p *Place) bool { return !p.refused.Load() })
	var best *Place
	for i := range usable {
		p := usable[(v.next+i)%len(usable)]
		if elsewhere && p.refused.Load() {
			continue // it would only turn the batch away
		}
		if p.busy < p.slots && (best == nil || better(p, best)) {
			best = p
		}
	}
	if best == nil {
		return infer.Slot{}, false
	}
	v.next++
	best.busy++
	return infer.Slot{Runner: best.Remote.Runner, Endpoint: best}, true
}

// better tells whether p is the better one of two places with room: one that is not suspect, then the one
// that is less busy for its size, then the one whose server has less to do for others.
func better(p, than *Place) bool {
	if s := p.Remote.suspect.Load(); s != than.Remote.suspect.Load() {
		return !s
	}
	// busy/slots compared crosswise, without a division.
	if a, b := p.busy*than.slots, than.busy*p.slots; a != b {
		return a < b
	}
	return p.Remote.InFlight() < than.Remote.InFlight()
}

// Release implements [infer.Slots].
func (f *Fleet) Release(s infer.Slot) {
	p, _ := s.Endpoint.(*Place)
	if p == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p.busy--
	if p.busy < 0 {
		panic("BUG: backends: slot released twice")
	}
}

// Abort implements [infer.Slots].
func (f *Fleet) Abort(b *infer.Batch) { abort(b) }

// OnRoom implements [infer.Slots].
func (f *Fleet) OnRoom(fn func()) { f.onRoom.Store(&fn) }

// Room tells that there may be room: a server came back, a model was loaded; or that there never will be.
func (f *Fleet) Room() {
	if fn := f.onRoom.Load(); fn != nil {
		(*fn)()
	}
}

// nowhere runs what no endpoint takes, and says why.
type nowhere struct{ why *infer.Error }

// Run implements [infer.Runner].
func (n nowhere) Run(b *infer.Batch, burst *infer.Burst) error {
	b.Started, b.Ended = burst.Clock(), burst.Clock()
	b.Fail(n.why, burst)
	return nil
}
