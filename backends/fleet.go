package backends

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/telemetry"
)

// Fleet is the servers of one pool and the model versions that they have. It implements [infer.Slots] for
// versions whose requests merge; the others go the direct way ([Fleet.Direct]). Handle of the models that run
// there is a [*Version].
type Fleet struct {
	// Immutable after NewFleet.
	metrics *Metrics
	pool    string

	mu struct {
		sync.Mutex
		remotes  []*Remote
		versions []*Version
		drained  map[string]bool // those to be drained as soon as they are added
	}
	onRoom atomic.Pointer[func()]
}

// Remote is one server.
type Remote struct {
	// Immutable.
	Name     string
	pool     string
	Runner   infer.Runner
	duration *telemetry.Histogram

	inFlight atomic.Int64 // rows
	suspect  atomic.Bool
	live     atomic.Bool // healthy, for those who hold no lock
	draining atomic.Bool // written under Fleet.mu
	panic    atomic.Bool // it is asked as a last resort
	failures atomic.Int64
	unheard  atomic.Int64 // runs whose end is not the server's word

	// Guarded by Fleet.mu.
	healthy  bool
	reason   string
	versions []VersionAt
}

// Version is a model version as the servers know it, and where it can run.
type Version struct {
	// Immutable.
	Name, Number string
	// Sticky has the requests of a sequence go to one server.
	Sticky bool
	// Binary tells that the servers take binary tensors over REST.
	Binary bool
	fleet  *Fleet

	// usable are the places that may have requests, and leaving those that would but for a drain: nil where there are
	// none. Both are immutable, and replaced under Fleet.mu.
	usable, leaving atomic.Pointer[[]*Place]

	begun begun

	// Guarded by Fleet.mu.
	places []*Place // one a server that has the version
	next   int      // where the next scan starts, so that equals take turns
}

// Place is a version at a server.
type Place struct {
	// Immutable.
	Version  *Version
	Remote   *Remote
	outcomes *telemetry.CounterRow

	refused  atomic.Bool
	trusted  atomic.Int64 // when it was, last, behind a refusal
	nonsense atomic.Int32 // answers that made none, in a row

	// Guarded by Fleet.mu.
	ready  bool
	resort bool // it is asked whether or not the server is healthy
	slots  int
	busy   int
}

// NewFleet returns a fleet without servers; pool is its pool's name.
func NewFleet(pool string, m *Metrics) *Fleet {
	f := &Fleet{pool: pool, metrics: m}
	f.mu.drained = map[string]bool{}
	return f
}

// Add puts a server into the fleet, not healthy yet. Its runner finds the place that it is to run a batch at
// in the batch's slot.
func (f *Fleet) Add(name string, runner infer.Runner) (*Remote, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.ContainsFunc(f.mu.remotes, func(r *Remote) bool { return r.Name == name }) {
		return nil, fmt.Errorf("endpoint %q is there twice", name)
	}
	r := &Remote{Name: name, pool: f.pool, Runner: runner, reason: "not reached yet"}
	r.draining.Store(f.mu.drained[name])
	delete(f.mu.drained, name)
	f.metrics.add(r)
	f.mu.remotes = append(f.mu.remotes, r)
	return r, nil
}

// Remove takes a server out: it has no more requests. What runs there ends as it would.
func (f *Fleet) Remove(r *Remote) {
	f.mu.Lock()
	f.mu.remotes = slices.DeleteFunc(f.mu.remotes, func(o *Remote) bool { return o == r })
	for _, v := range f.mu.versions {
		v.places = slices.DeleteFunc(v.places, func(p *Place) bool {
			if p.Remote != r {
				return false
			}
			p.outcomes.Release()
			return true
		})
		v.begun.forget(r)
		v.publish()
	}
	f.mu.Unlock()
	f.metrics.remove(r)
	f.Room()
}

// NewVersion makes a version known, which no server has yet.
func (f *Fleet) NewVersion(name, number string, sticky bool) *Version {
	v := &Version{Name: name, Number: number, Sticky: sticky, fleet: f}
	v.usable.Store(new([]*Place))
	f.mu.Lock()
	f.mu.versions = append(f.mu.versions, v)
	f.mu.Unlock()
	return v
}

// Forget takes a version out: no server takes its requests any more. What runs ends as it would.
func (f *Fleet) Forget(v *Version) {
	f.mu.Lock()
	f.mu.versions = slices.DeleteFunc(f.mu.versions, func(o *Version) bool { return o == v })
	for _, p := range v.places {
		p.ready = false
		p.outcomes.Release()
	}
	v.publish()
	v.places = nil
	f.mu.Unlock()
	f.Room()
}

// Put says whether v is ready at a server, whether it is asked for there even if the server is not healthy, as a last
// resort, and how many batches may be outstanding there.
func (v *Version) Put(r *Remote, ready, resort bool, count int) {
	f := v.fleet
	f.mu.Lock()
	i := slices.IndexFunc(v.places, func(p *Place) bool { return p.Remote == r })
	if i < 0 {
		if !ready {
			f.mu.Unlock()
			return
		}
		i = len(v.places)
		v.places = append(v.places, &Place{Version: v, Remote: r, outcomes: f.metrics.outcomes(r, v.Name)})
	}
	p := v.places[i]
	room := ready && (!p.ready || count > p.slots || resort && !p.resort)
	if ready {
		p.slots = count
	}
	if p.ready != ready {
		p.refused.Store(false)
	}
	if p.ready != ready || p.resort != resort {
		p.ready, p.resort = ready, resort
		v.publish()
	}
	f.mu.Unlock()
	if room {
		f.Room()
	}
}

// publish replaces the list of places that may have requests. It runs under Fleet.mu.
func (v *Version) publish() {
	usable := make([]*Place, 0, len(v.places))
	var leaving *[]*Place
	for _, p := range v.places {
		switch {
		case !p.ready || !p.Remote.healthy && !p.resort:
		case !p.Remote.draining.Load():
			usable = append(usable, p)
		case leaving == nil:
			leaving = &[]*Place{p}
		default:
			*leaving = append(*leaving, p)
		}
	}
	v.leaving.Store(leaving)
	v.usable.Store(&usable)
}

// Usable tells whether any server takes requests for v.
func (v *Version) Usable() bool { return len(*v.usable.Load()) > 0 }

// SetHealth says whether a server takes requests, and if not, why.
func (f *Fleet) SetHealth(r *Remote, healthy bool, reason string) {
	r.live.Store(healthy)
	if healthy {
		r.suspect.Store(false)
	}
	f.mu.Lock()
	r.reason = reason
	changed := r.healthy != healthy
	r.healthy = healthy
	if changed {
		f.publishAll()
	}
	f.mu.Unlock()
	if changed {
		f.Room() // those that wait for this server alone are to be told too
	}
}

// publishAll runs under mu.
func (f *Fleet) publishAll() {
	for _, v := range f.mu.versions {
		v.publish()
	}
}

// Refusal says why no server takes requests for v.
func (v *Version) Refusal() *infer.Error {
	if v.leaving.Load() != nil {
		return infer.ErrDrained
	}
	return infer.ErrNoEndpoint
}

// SetDraining lets a server take no new batches, or take them again. It tells whether there is one of that
// name; one that is to come is drained from its start, and a server that goes takes its drain along.
func (f *Fleet) SetDraining(name string, draining bool) bool {
	f.mu.Lock()
	i := slices.IndexFunc(f.mu.remotes, func(r *Remote) bool { return r.Name == name })
	switch {
	case i >= 0:
		f.mu.remotes[i].draining.Store(draining)
		f.publishAll()
	case draining:
		f.mu.drained[name] = true
	default:
		delete(f.mu.drained, name)
	}
	f.mu.Unlock()
	f.Room()
	return i >= 0
}

// SetPanic notes whether the server is asked for anything as a last resort, for who looks at its state.
func (r *Remote) SetPanic(on bool) { r.panic.Store(on) }

// Draining tells whether an operator lets the server take no new batches.
func (r *Remote) Draining() bool { return r.draining.Load() }

// Suspect notes that a server could not be reached: others are preferred until it was seen healthy again. It
// tells whether that is news.
func (r *Remote) Suspect() bool { return !r.suspect.Load() && !r.suspect.Swap(true) }

// Suspected tells whether the server could not be reached a moment ago.
func (r *Remote) Suspected() bool { return r.suspect.Load() }

// SetVersions says where the versions stand at a server, for [Fleet.Status].
func (f *Fleet) SetVersions(r *Remote, all []VersionAt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.versions = all
}

// Refuse notes that the server turned a request for the version away, as one does that has the model no more: the
// other places get its requests, if there are any, until the server was seen to have it. It tells whether that is
// news.
func (p *Place) Refuse() bool { return !p.refused.Load() && !p.refused.Swap(true) }

// mostNonsense is how many answers in a row may make no sense before other places are preferred. A single one may be due
// to what a client has asked.
const mostNonsense = 5

// Nonsense notes that an answer made no sense. It tells whether that has the place count as one that refuses, as of now.
func (p *Place) Nonsense() bool { return p.nonsense.Add(1) >= mostNonsense && p.Refuse() }

// Refused returns the places at a server that have turned a request away.
func (f *Fleet) Refused(r *Remote) []*Place {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*Place
	for _, v := range f.mu.versions {
		for _, p := range v.places {
			if p.Remote == r && p.refused.Load() {
				all = append(all, p)
			}
		}
	}
	return all
}

// Trust gives a place its requests again: the server was seen to have the version after it had refused one.
func (p *Place) Trust() {
	p.nonsense.Store(0)
	p.trusted.Store(infer.Now())
	p.refused.Store(false)
	p.Version.fleet.Room()
}

// fullFor is for how long a place counts as full that was seen to have the version after it had refused a request.
const fullFor = 10 * time.Second

// Full tells whether the server, if it turns a request away, is rather full than without the version: it did so a short
// while ago, and had it. That is no reason to keep others away.
func (p *Place) Full() bool {
	at := p.trusted.Load()
	return at != 0 && time.Duration(infer.Now()-at) < fullFor
}

// doubtful tells whether other places are preferred.
func (p *Place) doubtful() bool { return p.refused.Load() || p.Remote.suspect.Load() }

// InFlight returns the rows that run at the server.
func (r *Remote) InFlight() int64 { return r.inFlight.Load() }

// Runs returns how many runs have ended at the server, however they did.
func (r *Remote) Runs() int64 {
	n, _ := r.duration.Totals()
	return n
}

// Unheard notes that the server has said nothing of the run that is about to leave: it ran out of time, or was never
// sent.
func (r *Remote) Unheard() { r.unheard.Add(1) }

// Answered returns of how many runs the server has said itself how they ended.
func (r *Remote) Answered() int64 { return r.Runs() - r.unheard.Load() }

// Enter counts a run of so many rows in.
func (p *Place) Enter(rows int64) { p.Remote.inFlight.Add(rows) }

// Leave counts it out: how it ended, and how long it took. hint is any number of the caller's own.
func (p *Place) Leave(rows int64, code infer.Code, took int64, hint uint32) {
	p.Remote.inFlight.Add(-rows)
	p.Remote.duration.ObserveAt(hint, took)
	p.outcomes.At(int(code)).AddAt(hint, 1)
	if code == infer.OK && p.nonsense.Load() > 0 {
		p.nonsense.Store(0)
	}
	if code.Outcome() == infer.Failed {
		p.Remote.failures.Add(1)
	}
}

// Close gives back what the fleet counts in. Nothing runs any more.
func (f *Fleet) Close() {
	f.mu.Lock()
	versions, remotes := f.mu.versions, f.mu.remotes
	f.mu.Unlock()
	for _, v := range slices.Clone(versions) {
		f.Forget(v)
	}
	for _, r := range remotes {
		f.metrics.remove(r)
	}
}

// Status returns how the servers stand, in the order in which they were added.
func (f *Fleet) Status() []EndpointStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]EndpointStatus, 0, len(f.mu.remotes))
	for _, r := range f.mu.remotes {
		s := EndpointStatus{
			Name: r.Name, Draining: r.draining.Load(), Unhealthy: !r.healthy, Panic: r.panic.Load(), Reason: r.reason,
			Batches: r.Runs(), Failures: r.failures.Load(), InFlight: r.InFlight(), Versions: r.versions,
		}
		for _, v := range f.mu.versions {
			for _, p := range v.places {
				if p.Remote == r {
					s.Slots += p.slots
					s.Busy += p.busy
				}
			}
		}
		all = append(all, s)
	}
	return all
}
