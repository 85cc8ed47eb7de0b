package upstream

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/infer"
)

// standing is what an endpoint is to a version.
type standing uint8

const (
	// away: it gets no requests for the version.
	away standing = iota
	// takes: it is healthy, and has the version ready.
	takes
	// resort: no endpoint takes the version, and this one may: it has it as the others do, and fails its looks only in
	// that it does not answer them in time, though it has answered something not long ago; or it answers them again, and not
	// for long enough. What a server refuses, or says that it has not got, is never asked for there.
	resort
)

// stands returns what each endpoint is to a version.
func stands(key id, v *version, reports []*report) []standing {
	all := make([]standing, len(reports))
	for i, r := range reports {
		if r == nil || v == nil || r.drained {
			continue
		}
		at := r.versions[key]
		switch ready := at.state == infer.Ready; {
		case at.desc == nil || !v.desc.Same(at.desc):
		case r.healthy && ready:
			all[i] = takes
		case (r.healthy || r.may) && (ready || at.may):
			all[i] = resort
		}
	}
	if slices.Contains(all, takes) {
		for i := range all {
			if all[i] == resort {
				all[i] = away
			}
		}
	}
	return all
}

// place tells the fleet where a version may run, and returns it. Who comes is told before who goes, so that requests never
// find nobody in between.
func (p *Pool) place(key id, v *version, reports []*report) []standing {
	all := stands(key, v, reports)
	if v == nil {
		return all
	}
	for _, going := range []bool{false, true} {
		for i, r := range reports {
			if r == nil || (all[i] == away) != going {
				continue
			}
			at := r.versions[key]
			ready := all[i] != away
			if r.reason == infer.ReasonDrained { // the fleet keeps requests away by itself, but for those of its sequences
				ready = r.drained && at.state == infer.Ready && at.desc != nil && v.desc.Same(at.desc)
			}
			v.handle.Put(p.endpoints[i].remote, ready, all[i] == resort, p.slots(at.desc))
		}
	}
	return all
}

// tellPanic has it known, in the log once, where requests go though nobody there is known to be well.
func (p *Pool) tellPanic() {
	var addresses []string
	versions := 0
	for _, e := range p.endpoints {
		e.remote.SetPanic(p.panicking[e] > 0)
		if n := p.panicking[e]; n > 0 {
			addresses, versions = append(addresses, e.address), max(versions, n)
		}
	}
	if (versions > 0) == p.panics {
		return
	}
	p.panics = versions > 0
	if p.panics {
		p.log.Warn("no endpoint of versions passes its health checks: those that may live all the same are asked",
			zap.Strings("endpoints", addresses), zap.Int("versions", versions))
	} else {
		p.log.Info("endpoints pass their health checks again, or are asked no more")
	}
}

// life is when a server has shown that it lives. It is owned by the goroutine that looks.
type life struct {
	shown    time.Time
	answered int64
}

// recent takes a look in, and tells whether the server has shown within so long that it lives: by a look, or by answers to
// runs, of which there have been so many.
func (l *life) recent(looked bool, answered int64, within time.Duration) bool {
	if looked || answered > l.answered {
		l.shown, l.answered = time.Now(), answered
	}
	return !l.shown.IsZero() && time.Since(l.shown) < within
}
