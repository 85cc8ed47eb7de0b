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
	"github.com/sluice-serving/sluice/wire/h2"
)

// endpoint is one server. It implements [infer.Runner] and [backends.Aborter].
type endpoint struct {
	// Immutable after New.
	pool    *Pool
	address string
	client  *h2.Client
	remote  *backends.Remote
	poke    chan struct{}      // one slot: somebody thinks that a look is due
	wanted  chan chan struct{} // who wants a look, and to be told when it is over
	left    chan struct{}      // closed when the looks have ended
	stop    context.CancelFunc // ends the looks; set when they begin

	last atomic.Pointer[report] // what the latest look that succeeded saw

	// Owned by the goroutine that looks.
	pulse  backends.Pulse
	renew  int // whose turn it is to be described again
	failed string
}

// id names a version.
type id struct{ name, version string }

// report is what a look saw. It is immutable once it is published.
type report struct {
	versions map[id]seen
	healthy  bool
	reason   string // why it is not
}

// seen is a version at an endpoint.
type seen struct {
	listed bool        // as ready, by the server
	number string      // how the server calls it
	state  infer.State // ready once it is described
	reason string
	desc   *Description // nil unless it is ready
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
	all, err := e.list(ctx, first)
	if ctx.Err() != nil {
		return
	}
	// A server that is too busy to answer a look in time, but answers requests, is well.
	alive := err == nil || errors.Is(err, context.DeadlineExceeded) && e.remote.Answered() > answered
	healthy := e.pulse.Beat(alive)
	r := &report{healthy: healthy}
	if old := e.last.Load(); old != nil {
		r.versions = old.versions
	}
	if err != nil {
		r.reason = "it fails its health checks: " + err.Error()
		e.complain(r.reason)
	} else {
		e.recovered()
		if !healthy {
			r.reason = "it has just come back"
		}
		r.versions = sort(all, r.versions)
		if r.undescribed() {
			e.publish(r)
			r = &report{healthy: r.healthy, reason: r.reason, versions: r.versions}
		}
		e.describeAll(ctx, r)
	}
	e.publish(r)
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
		case s.desc == nil:
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
	found := make([]seen, len(due))
	places := make(chan struct{}, describers)
	var all sync.WaitGroup
	for i, key := range due {
		places <- struct{}{}
		all.Go(func() {
			found[i] = e.described(ctx, key, r.versions[key])
			<-places
		})
	}
	all.Wait()
	versions := maps.Clone(r.versions)
	for i, key := range due {
		versions[key] = found[i]
	}
	r.versions = versions
}

// described asks the server about a version of which old is known.
func (e *endpoint) described(ctx context.Context, key id, old seen) seen {
	ctx, cancel := context.WithTimeout(ctx, max(describeTime, e.pool.opts.Timeout))
	defer cancel()
	d, err := e.pool.opts.Dialect.Describe(ctx, e.ask, Listed{Name: key.name, Version: key.version, Number: old.number, State: infer.Ready})
	var refused *StatusError
	said := errors.As(err, &refused) || errors.Is(err, ErrUnusable)
	now := seen{listed: true, number: old.number}
	switch {
	case err == nil && old.desc != nil && old.desc.Same(d) && old.desc.Instances == d.Instances:
		return old
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
	return ask(ctx, e.client, e.pool.memory.Slabs, path, question, answer)
}
