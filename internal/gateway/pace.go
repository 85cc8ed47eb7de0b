package gateway

import "time"

const (
	firstPace = 5 * time.Millisecond
	// idleShare keeps the time spent on refreshing below a sixth: a thousand models that load one by one are
	// a thousand changes, and each refresh looks at all of them.
	idleShare = 5
)

// pace spaces refreshes out: a change is taken up soon, and a run of changes not one by one.
type pace struct {
	timer *time.Timer
	armed bool
	rest  time.Time // not before
}

func newPace() *pace {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &pace{timer: t}
}

// poked notes a change.
func (p *pace) poked() {
	if !p.armed {
		p.armed = true
		p.timer.Reset(max(firstPace, time.Until(p.rest)))
	}
}

// due yields when the changes are to be taken up.
func (p *pace) due() <-chan time.Time { return p.timer.C }

// took notes that they were, and what it took.
func (p *pace) took(d time.Duration) {
	p.armed = false
	p.rest = time.Now().Add(idleShare * d)
}

func (p *pace) stop() { p.timer.Stop() }
