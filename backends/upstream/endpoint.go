package upstream

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// endpoint is one server. It implements [infer.Runner] and [backends.Aborter].
type endpoint struct {
	// Immutable after New.
	pool    *Pool
	address string
	client  client
	remote  *backends.Remote
	poke    chan struct{}      // one slot: somebody thinks that a look is due
	wanted  chan chan struct{} // who wants a look, and to be told when it is over
	left    chan struct{}      // closed when the looks have ended
	stop    context.CancelFunc // ends the looks; set when they begin

	last atomic.Pointer[report] // what the latest look that succeeded saw

	// Owned by the goroutine that looks.
	pulse  backends.Pulse
	renew  int // whose turn it is to be described again
	turn   int // whose turn it is to be asked whether they are ready
	failed string
	life   life
}

// id names a version.
type id struct{ name, version string }

// report is what a look saw. It is immutable once it is published.
type report struct {
	versions map[id]seen
	healthy  bool
	drained  bool   // it would be, but for an operator
	may      bool   // it is not, and may serve all the same: see standing
	reason   string // why it is not
}

// seen is a version at an endpoint.
type seen struct {
	listed bool        // as ready, by the server
	number string      // how the server calls it
	terms  int64       // as it is listed now
	labels []string    // as it is listed now
	state  infer.State // ready once it is described, unless its ready calls fail
	reason string
	desc   *Description   // nil until it is described
	pulse  backends.Pulse // of its ready calls, since it is listed as ready
	heard  time.Time      // when its ready calls were answered last
	may    bool           // it is not ready because they are not answered in time, and may be all the same
}

const (
	// firstLook is how long the first look may take, which has to connect.
	firstLook = 2 * time.Second
	// describeTime bounds how long a version may take to be described.
	describeTime = 5 * time.Second
	// describers is how many versions are described at a time.
	describers = 8
	// leastPause is between looks, whoever thinks that one is due.
	leastPause = 100 * time.Millisecond
	// renewals is how many versions a look describes again.
	renewals = 4
	// readyCalls is how many versions a look asks about whether they are ready.
	readyCalls = 64
)

// watch looks at the endpoint until ctx is done, and tells when it has looked once, or never will.
func (e *endpoint) watch(ctx context.Context, looked func()) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer looked()
	defer close(e.left)
	var last time.Time // when the latest look was over
	for {
		var wanted chan struct{}
		select {
		case <-timer.C:
		case wanted = <-e.wanted:
		case <-e.poke:
			if wait := leastPause - time.Since(last); wait > 0 {
				timer.Reset(wait)
				continue
			}
		case <-ctx.Done():
			return
		}
		e.look(ctx, last.IsZero())
		last = time.Now()
		looked()
		if wanted != nil {
			close(wanted)
		}
		timer.Reset(e.pause())
	}
}

// pause is the time until the next look, spread by a fifth so that looks at many endpoints do not meet.
func (e *endpoint) pause() time.Duration {
	d := e.pool.opts.Interval
	return d - d/5 + rand.N(2*d/5+1)
}

// hurry has the endpoint looked at soon.
func (e *endpoint) hurry() {
	select {
	case e.poke <- struct{}{}:
	default:
	}
}

// look looks once and publishes what it saw.
func (e *endpoint) look(ctx context.Context, first bool) {
	answered := e.remote.Answered()
	refused := e.pool.fleet.Refused(e.remote)
	all, err := e.list(ctx, first)
	if ctx.Err() != nil {
		return
	}
	// A server that is too busy to answer a look in time, but answers requests, is well.
	late := errors.Is(err, context.DeadlineExceeded)
	alive := err == nil || late && e.remote.Answered() > answered
	healthy := e.pulse.Beat(alive)
	recent := e.life.recent(err == nil, e.remote.Answered(), e.pool.opts.LastResort)
	r := &report{healthy: healthy, may: !healthy && (alive || late && recent)}
	old := e.last.Load()
	if old != nil {
		r.versions = old.versions
	}
	if err != nil {
		r.reason = e.unwell(err)
		e.complain(r.reason)
	} else {
		e.recovered()
		if !healthy {
			r.reason = "it has just come back"
		}
		r.versions = sort(all, r.versions)
		if r.undescribed() {
			e.publish(r)
			r = &report{healthy: r.healthy, may: r.may, reason: r.reason, versions: r.versions}
		}
		e.describeAll(ctx, r)
		e.askAll(ctx, r, answered)
		if ctx.Err() != nil {
			return // what was not answered because we close says nothing of the server
		}
	}
	if old != nil {
		e.tell(old.versions, r.versions)
	}
	e.publish(r)
	if err == nil {
		r.trust(refused)
	}
}

// unwell says why a look failed, for operators: what keeps it from connecting, where that is why.
func (e *endpoint) unwell(err error) string {
	why, said := e.client.trouble(), (*StatusError)(nil)
	switch {
	case errors.As(err, &said) && said.Status == grpc.InvalidArgument && e.client.rest != nil && e.pool.opts.TLS == nil:
		why = err.Error() + ": a server that speaks TLS may answer so"
	case said != nil, why == "":
		why = err.Error()
	}
	return "it fails its health checks: " + why
}

// tell logs which versions take requests at the endpoint that did not, or no more.
func (e *endpoint) tell(old, now map[id]seen) {
	for key, was := range old {
		s, listed := now[key]
		if !listed {
			s.state, s.reason = infer.Unavailable, "the server does not list it any more"
		}
		if (was.state == infer.Ready) == (s.state == infer.Ready) {
			continue
		}
		fields := []zap.Field{zap.String("endpoint", e.address), zap.String("model", key.name), zap.String("version", key.version)}
		if s.state == infer.Ready {
			e.pool.log.Info("a version is ready at an endpoint again", fields...)
		} else {
			e.pool.log.Warn("a version is not ready at an endpoint any more", append(fields, zap.String("reason", s.reason))...)
		}
	}
}

// trust gives places their requests again that had refused one, where the look saw the version ready since.
func (r *report) trust(refused []*backends.Place) {
	for _, p := range refused {
		for key, s := range r.versions {
			if key.name == p.Version.Name && s.number == p.Version.Number && s.state == infer.Ready {
				p.Trust()
			}
		}
	}
}

func (e *endpoint) publish(r *report) {
	e.last.Store(r)
	e.pool.merge()
}

// complain logs what is wrong, once.
func (e *endpoint) complain(reason string) {
	if e.failed == reason {
		return
	}
	e.failed = reason
	e.pool.log.Warn("an endpoint fails its health checks", zap.String("endpoint", e.address), zap.String("reason", reason))
}

func (e *endpoint) recovered() {
	if e.failed == "" {
		return
	}
	e.failed = ""
	e.pool.log.Info("an endpoint answers its health checks again", zap.String("endpoint", e.address))
}

// list asks whether the server is live, and what it has.
func (e *endpoint) list(ctx context.Context, first bool) ([]Listed, error) {
	timeout := e.pool.opts.Timeout
	if first {
		timeout = max(timeout, firstLook)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return e.pool.opts.Dialect.Look(ctx, e.ask)
}

// sort takes in what the server lists, with what is known of versions that were ready before.
func sort(all []Listed, old map[id]seen) map[id]seen {
	now := make(map[id]seen, len(all))
	for _, l := range all {
		key := id{l.Name, l.Version}
		s := seen{number: l.Number, state: l.State, reason: l.Reason}
		if l.State == infer.Ready {
			if s = old[key]; !s.listed || s.number != l.Number {
				s = seen{listed: true, number: l.Number, state: infer.Loading, reason: "it is being looked at"}
			}
			s.terms, s.labels = l.Terms, l.Labels
		}
		now[key] = s
	}
	return now
}

// undescribed tells whether a version is new.
func (r *report) undescribed() bool {
	for _, s := range r.versions {
		if s.listed && s.state == infer.Loading {
			return true
		}
	}
	return false
}

// describeAll describes what is ready and was not described, and a few others again.
func (e *endpoint) describeAll(ctx context.Context, r *report) {
	var due, known []id
	for key, s := range r.versions {
		switch {
		case !s.listed:
		case s.desc == nil || s.desc.terms != s.terms:
			due = append(due, key)
		default:
			known = append(known, key)
		}
	}
	slices.SortFunc(known, compareIDs)
	for range min(renewals, len(known)) {
		e.renew++
		due = append(due, known[e.renew%len(known)])
	}
	if len(due) == 0 {
		return
	}
	r.update(due, func(key id, s seen) seen { return e.described(ctx, key, s) })
}

// update replaces what is known of versions by what f returns of each, a few at a time.
func (r *report) update(due []id, f func(id, seen) seen) {
	now := make([]seen, len(due))
	places := make(chan struct{}, describers)
	var all sync.WaitGroup
	for i, key := range due {
		places <- struct{}{}
		all.Go(func() {
			now[i] = f(key, r.versions[key])
			<-places
		})
	}
	all.Wait()
	versions := maps.Clone(r.versions)
	for i, key := range due {
		versions[key] = now[i]
	}
	r.versions = versions
}

// askAll asks about versions that are described whether they are ready: all of them, or as many in turns as a look may.
func (e *endpoint) askAll(ctx context.Context, r *report, answered int64) {
	if e.pool.opts.Dialect.Ready == nil {
		return
	}
	var known, due []id
	for key, s := range r.versions {
		if s.desc != nil {
			known = append(known, key)
		}
	}
	slices.SortFunc(known, compareIDs)
	for range min(readyCalls, len(known)) {
		e.turn++
		due = append(due, known[e.turn%len(known)])
	}
	if len(due) > 0 {
		r.update(due, func(key id, s seen) seen { return e.asked(ctx, key, s, answered) })
	}
}

// asked asks whether a version is ready. The first answer since it is listed counts at once, and from then on it takes as
// many in a row as of looks at an endpoint to change what is thought of it. A server that is too busy to say, but has
// answered requests since the look began, is not held to say no.
func (e *endpoint) asked(ctx context.Context, key id, s seen, answered int64) seen {
	ctx, cancel := context.WithTimeout(ctx, e.pool.opts.Timeout)
	defer cancel()
	why, err := e.pool.opts.Dialect.Ready(ctx, e.ask, Listed{Name: key.name, Version: key.version, Number: s.number, State: infer.Ready})
	if err != nil {
		if ctx.Err() == nil || e.remote.Answered() > answered {
			return s // the looks at the endpoint tell
		}
		why = "the server does not say in time whether it is ready"
		s.may = time.Since(s.heard) < e.pool.opts.LastResort // not where it has never answered
	} else {
		s.may, s.heard = why == "", time.Now()
	}
	s.pulse.HealthyAfter, s.pulse.UnhealthyAfter = e.pool.opts.HealthyAfter, e.pool.opts.UnhealthyAfter
	switch ready := s.pulse.Beat(why == ""); {
	case ready:
		s.state, s.reason = infer.Ready, ""
	case why != "":
		s.state, s.reason = infer.Unavailable, why
	default:
		s.state, s.reason = infer.Unavailable, "it has just come back"
	}
	return s
}

// described asks the server about a version of which old is known.
func (e *endpoint) described(ctx context.Context, key id, old seen) seen {
	ctx, cancel := context.WithTimeout(ctx, max(describeTime, e.pool.opts.Timeout))
	defer cancel()
	d, err := e.pool.opts.Dialect.Describe(ctx, e.ask, Listed{Name: key.name, Version: key.version, Number: old.number, State: infer.Ready, Terms: old.terms})
	if err == nil {
		d.terms = old.terms
	}
	var refused *StatusError
	said := errors.As(err, &refused) || errors.Is(err, ErrUnusable)
	now := seen{listed: true, number: old.number, terms: old.terms, labels: old.labels}
	switch {
	case err == nil && old.desc != nil && old.desc.Same(d) && old.desc.Instances == d.Instances && old.desc.terms == d.terms:
		return old
	case err == nil && old.desc != nil:
		now = old // what its ready calls said goes on
		now.desc = d
	case err == nil:
		now.state, now.desc = infer.Ready, d
	case old.desc != nil && !said:
		return old // the next look tells
	case said:
		now.state, now.reason = infer.Unavailable, err.Error()
	default:
		now.state, now.reason = infer.Loading, "the server was asked about it in vain: "+err.Error()
	}
	return now
}

// ask asks the server a question.
func (e *endpoint) ask(ctx context.Context, path string, question, answer proto.Message) error {
	if e.client.rest != nil {
		return e.askREST(ctx, question, answer)
	}
	return ask(ctx, e.client.grpc, e.pool.memory.Slabs, path, question, answer)
}
