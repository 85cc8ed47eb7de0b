package upstream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
)

// merge has the looks put together soon.
func (p *Pool) merge() {
	select {
	case p.due <- struct{}{}:
	default:
	}
}

// mergeAll puts the looks together until ctx is done, and follows what names stand for.
func (p *Pool) mergeAll(ctx context.Context) {
	looked := make(chan struct{})
	waiting := make(map[*name]struct{}, len(p.names)) // those whose first look-up is awaited
	for _, n := range p.names {
		waiting[n] = struct{}{}
	}
	defer func() { p.looked.Add(-len(waiting)) }()
	defer close(p.closed)
	p.running.Go(func() {
		p.looked.Wait()
		close(looked)
	})
	for {
		select {
		case <-p.due:
			p.mergeOnce()
		case <-p.refresh:
			for _, e := range p.endpoints {
				e.hurry()
			}
		case answer := <-p.censuses:
			p.mergeOnce()
			answer <- slices.Clone(p.endpoints)
		case f := <-p.found:
			_, first := waiting[f.name]
			if p.learn(ctx, f, first); first {
				delete(waiting, f.name)
				p.looked.Done()
			}
			p.mergeOnce()
		case <-looked:
			looked = nil
			p.mergeOnce()
			close(p.first)
		case <-ctx.Done():
			return
		}
	}
}

// mergeOnce makes of all looks what the pool has, and tells the fleet.
func (p *Pool) mergeOnce() {
	reports := make([]*report, len(p.endpoints))
	takers := make([]*report, len(p.endpoints)) // as far as requests are concerned
	for i, e := range p.endpoints {
		r := e.last.Load()
		reports[i], takers[i] = r, r
		switch {
		case r == nil:
			continue
		case e.remote.Draining():
			takers[i] = &report{versions: r.versions, drained: r.healthy, reason: infer.ReasonDrained}
		}
		if r.healthy { // who is not any more is told below, when others have been found
			p.fleet.SetHealth(e.remote, true, cmp.Or(r.reason, p.odd[e]))
		}
	}
	p.panicking = map[*endpoint]int{}
	ids := sortedIDs(reports)
	l := &listing{nameless: p.nameless()}
	odd := map[*endpoint]string{}
	for _, key := range ids {
		l.versions = append(l.versions, p.mergeVersion(key, takers, odd))
	}
	for i, r := range reports {
		if r != nil && !r.healthy {
			p.fleet.SetHealth(p.endpoints[i].remote, false, cmp.Or(r.reason, p.odd[p.endpoints[i]]))
		}
	}
	p.tellOdd(odd, reports)
	p.tellPanic()
	for i, r := range reports {
		p.fleet.SetVersions(p.endpoints[i].remote, p.versionsAt(ids, r))
	}
	for key, v := range p.versions {
		if _, found := slices.BinarySearchFunc(ids, key, compareIDs); !found {
			delete(p.versions, key)
			p.fleet.Forget(v.handle)
		}
	}
	if len(ids) == 0 {
		l.err = p.unreached(reports)
	}
	old := p.list.Swap(l)
	if !l.equal(old) {
		select {
		case p.changed <- struct{}{}:
		default:
		}
	}
}

// unreached returns why nothing is known, nil if an endpoint says that it has nothing.
func (p *Pool) unreached(reports []*report) error {
	var why *unreachedError
	for _, n := range p.names {
		if n.err != nil {
			return n.err
		}
	}
	for _, r := range reports {
		switch {
		case r == nil:
		case r.versions != nil:
			return nil
		case why == nil:
			why = &unreachedError{r.reason}
		}
	}
	if why == nil {
		return errUnknown
	}
	return why
}

// unreachedError says why no endpoint is known to have anything.
type unreachedError struct{ reason string }

func (e *unreachedError) Error() string {
	return "no endpoint has answered yet; the first: " + e.reason
}

func (l *listing) equal(o *listing) bool {
	return (l.err == nil) == (o.err == nil) && slices.EqualFunc(l.versions, o.versions, sameStatus)
}

func sameStatus(a, b infer.VersionStatus) bool {
	return a.Name == b.Name && a.Version == b.Version && a.State == b.State && a.Reason == b.Reason && a.Model == b.Model &&
		a.Drained == b.Drained && slices.Equal(a.Labels, b.Labels)
}

// mergeVersion puts together what the endpoints say of a version, and notes who describes it otherwise.
func (p *Pool) mergeVersion(key id, reports []*report, odd map[*endpoint]string) infer.VersionStatus {
	d := choose(p.versions[key], key, reports)
	if d != nil {
		p.keep(key, d)
	}
	v := p.versions[key]
	stands := p.place(key, v, reports)
	s := infer.VersionStatus{Name: key.name, Version: key.version, State: infer.Unavailable}
	var reasons, differs []string
	for i, r := range reports {
		e := p.endpoints[i]
		if r == nil {
			continue
		}
		at, there := r.versions[key]
		switch {
		case !there:
		case stands[i] != away:
			s.State = infer.Ready
			if s.Labels == nil { // servers that disagree are about to agree
				s.Labels = at.labels
			}
			if stands[i] == resort {
				p.panicking[e]++
			}
		case at.desc != nil && v != nil && !v.desc.Same(at.desc):
			how := v.desc.difference(at.desc)
			odd[e] = fmt.Sprintf("it describes version %.32q of model %.64q otherwise than others and gets no requests for it: %s", key.version, key.name, how)
			reasons = append(reasons, "another endpoint describes it otherwise")
			differs = append(differs, how)
		case at.state != infer.Unavailable && r.healthy && s.State == infer.Unavailable:
			s.State = infer.Loading
		case !r.healthy:
			s.Drained = s.Drained || r.drained && at.state == infer.Ready
			reasons = append(reasons, r.reason)
		default:
			reasons = append(reasons, at.reason)
		}
	}
	if s.State == infer.Ready {
		s.Model, s.Drained = v.model, false
		switch {
		case slices.Contains(stands, resort):
			s.Reason = "no endpoint passes its health checks: it is asked for at those that may live all the same"
		case len(differs) > 0:
			s.Reason = fmt.Sprintf("%d of %d endpoints describe it otherwise and get no requests for it: %s", len(differs), len(reports), differs[0])
		}
		return s
	}
	s.Reason = strings.Join(slices.Compact(reasons), "; ")
	return s
}

// versionsAt is where the versions stand at an endpoint.
func (p *Pool) versionsAt(ids []id, r *report) []backends.VersionAt {
	if r == nil {
		return nil
	}
	all := make([]backends.VersionAt, 0, len(r.versions))
	for _, key := range ids {
		at, there := r.versions[key]
		if !there {
			continue
		}
		one := backends.VersionAt{Model: key.name, Version: key.version, State: at.state, Reason: at.reason}
		switch v := p.versions[key]; {
		case at.desc != nil && v != nil && !v.desc.Same(at.desc):
			one.State, one.Reason = infer.Unavailable, "other endpoints describe it otherwise: "+v.desc.difference(at.desc)
		case !r.healthy:
			one.State, one.Reason = infer.Unavailable, r.reason
		}
		all = append(all, one)
	}
	return all
}

// choose returns the description that holds for a version: the one that does, if an endpoint that takes requests for it
// has it, else that of the first one that does, so that servers which are replaced one by one serve all the time. Where
// none takes requests, the one that holds stays if anybody has it. It is nil if none has one.
func choose(v *version, key id, reports []*report) *Description {
	var first, takes *Description
	holds := false
	for _, r := range reports {
		if r == nil {
			continue
		}
		s := r.versions[key]
		if s.desc == nil {
			continue
		}
		same := v != nil && v.desc.Same(s.desc)
		if same {
			holds = true
		}
		if first == nil {
			first = s.desc
		}
		if !r.healthy || s.state != infer.Ready {
			continue
		}
		if same {
			return v.desc
		}
		if takes == nil {
			takes = s.desc
		}
	}
	switch {
	case takes != nil:
		return takes
	case holds:
		return v.desc
	}
	return first
}

// keep has d hold for a version from now on.
func (p *Pool) keep(key id, d *Description) {
	v := p.versions[key]
	if v != nil && v.desc == d {
		return
	}
	if v != nil && v.desc.terms == d.terms { // else the configuration has changed
		p.log.Warn("a version has changed under its name", zap.String("model", key.name), zap.String("version", key.version),
			zap.String("how", v.desc.difference(d)))
	}
	next := &version{desc: d}
	if v != nil && v.desc.Number == d.Number && v.desc.Binary == d.Binary && v.desc.Sequences == d.Sequences {
		next.handle = v.handle // what waits goes on
	} else {
		if v != nil {
			p.fleet.Forget(v.handle)
		}
		next.handle = p.fleet.NewVersion(key.name, d.Number, d.Sequences)
		next.handle.Binary = d.Binary // before anybody has it
	}
	m := d.Model
	m.Handle = next.handle
	m.Regions = p.opts.SharedMemory && !m.AnyRows // what may be split cannot be elsewhere
	next.model = &m
	p.versions[key] = next
}

// slots is how many batches may be outstanding at an endpoint that describes a version as d.
func (p *Pool) slots(d *Description) int {
	const unknown = 2
	switch {
	case p.opts.Slots > 0:
		return p.opts.Slots
	case d == nil || d.Instances == 0:
		return unknown
	}
	return d.Instances
}

// tellOdd has it known, in the log once, where endpoints disagree.
func (p *Pool) tellOdd(odd map[*endpoint]string, reports []*report) {
	for i, e := range p.endpoints {
		if p.odd[e] == odd[e] {
			continue
		}
		if odd[e] != "" {
			p.log.Warn("endpoints disagree", zap.String("endpoint", e.address), zap.String("reason", odd[e]))
		}
		p.fleet.SetHealth(e.remote, reports[i].healthy, cmp.Or(reports[i].reason, odd[e]))
	}
	p.odd = odd
}
