package backends

import (
	"math/rand/v2"

	"github.com/sluice-serving/sluice/infer"
)

// Direct is the way of requests that do not merge, straight to a server: no slot, no lane, no lock. It
// implements [infer.Submitter].
type Direct struct {
	fleet   *Fleet
	model   *infer.Model
	version *Version
}

// Direct returns the direct way to a model, whose Handle is a version of the fleet.
func (f *Fleet) Direct(m *infer.Model) *Direct {
	return &Direct{fleet: f, model: m, version: m.Handle.(*Version)}
}

// Submit implements [infer.Submitter].
func (d *Direct) Submit(c *infer.Call, burst *infer.Burst) error {
	p := d.version.Pick(c.Request, nil)
	if p == nil {
		return d.version.Refusal()
	}
	b := c.OpenSingle()
	b.Model, b.Slots = d.model, aborter{}
	b.Slot = infer.Slot{Runner: p.Remote.Runner, Endpoint: p}
	b.Formed = burst.Clock()
	if !b.Add(c, infer.AllRows) {
		b.Discard() // it is done: whoever ended it told the others
		return nil
	}
	if !b.Seal() {
		b.Fail(infer.ErrInternal, burst) // its only member is done: this ends the batch and reaches nobody
		return nil
	}
	if err := p.Remote.Runner.Run(b, burst); err != nil {
		b.Fail(asError(err), burst)
	}
	return nil
}

// asError returns the *infer.Error that err is, or an internal one that has it as its cause.
func asError(err error) *infer.Error {
	if e, ok := err.(*infer.Error); ok { //nolint:errorlint // runners return it bare; a wrapped one says less
		return e
	}
	return &infer.Error{Code: infer.Internal, Origin: infer.FromGateway, Text: infer.ErrInternal.Text, Cause: err}
}

// Pick returns the place where a request is to run, other than at not: of two at random the one whose server
// has less to do, unless it is doubtful. It is nil if no server takes the version, or none but that one.
func (v *Version) Pick(r *infer.Request, not *Remote) *Place {
	usable := *v.usable.Load()
	n := len(usable)
	switch {
	case n == 0:
		return nil
	case v.Sticky:
		if key := r.Sequence(); key != 0 {
			return v.home(usable, r, key, not)
		}
	}
	if n == 1 {
		return other(usable[0], not)
	}
	i := int(rand.Uint32N(uint32(n)))
	j := int(rand.Uint32N(uint32(n - 1)))
	if j >= i {
		j++
	}
	p, q := usable[i], usable[j]
	switch {
	case p.Remote == not:
		p, q = q, p
		fallthrough
	case q.Remote == not:
		if p.doubtful() {
			return v.scan(usable, not)
		}
		return p
	case p.doubtful() || q.doubtful():
		return v.scan(usable, not)
	case q.Remote.InFlight() < p.Remote.InFlight():
		return q
	}
	return p
}

func other(p *Place, not *Remote) *Place {
	if p.Remote == not {
		return nil
	}
	return p
}

// scan looks at all places: what Pick does when something is wrong with one.
func (v *Version) scan(usable []*Place, not *Remote) *Place {
	var best *Place
	for _, p := range usable {
		switch {
		case p.Remote == not:
		case best == nil:
			best = p
		case p.doubtful() != best.doubtful():
			if best.doubtful() {
				best = p
			}
		case p.Remote.InFlight() < best.Remote.InFlight():
			best = p
		}
	}
	return best
}

// aborter tells a batch's runner that nobody waits, and has no slots.
type aborter struct{}

// TryAcquire is never called: a batch that goes the direct way has its place.
func (aborter) TryAcquire(*infer.Model) (infer.Slot, bool) { return infer.Slot{}, false }

// Release does nothing.
func (aborter) Release(infer.Slot) {}

// Abort implements [infer.Slots].
func (aborter) Abort(b *infer.Batch) { abort(b) }

// OnRoom does nothing.
func (aborter) OnRoom(func()) {}

// abort tells a batch's runner, if it can make use of that, that nobody waits for the batch any more.
func abort(b *infer.Batch) {
	if a, ok := b.Slot.Runner.(Aborter); ok {
		a.Abort(b)
	}
}
