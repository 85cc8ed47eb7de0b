package backends

// Pulse decides whether a server is healthy, from looks at it that succeed or fail. The first look decides at
// once; from then on as many in a row as it takes.
type Pulse struct {
	// HealthyAfter and UnhealthyAfter are how many looks in a row change the mind.
	HealthyAfter, UnhealthyAfter int

	healthy bool
	row     int // looks that contradict, in a row
	known   bool
}

// Beat takes a look in and returns whether the server is healthy.
func (p *Pulse) Beat(ok bool) bool {
	switch {
	case !p.known:
		p.known, p.healthy = true, ok
	case ok == p.healthy:
		p.row = 0
	default:
		need := p.UnhealthyAfter
		if ok {
			need = p.HealthyAfter
		}
		if p.row++; p.row >= need {
			p.healthy, p.row = ok, 0
		}
	}
	return p.healthy
}
