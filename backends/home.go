package backends

import (
	"sync"
	"sync/atomic"

	"github.com/sluice-serving/sluice/infer"
)

// home returns the place of a sequence: the same one for as long as its server takes requests. A sequence
// whose server is gone starts anew at another, which refuses it if it cannot. One that began at a server before that
// was drained goes on there, and one that began elsewhere meanwhile stays there when the drain is over.
func (v *Version) home(usable []*Place, r *infer.Request, key uint64, not *Remote) *Place {
	best, most := highest(usable, key, not)
	leaving := v.leaving.Load()
	if leaving == nil && !v.moved.any.Load() {
		return best
	}
	var left *Place // where it would be without the drain
	if leaving != nil {
		if p, w := highest(*leaving, key, not); p != nil && (best == nil || w > most) {
			left = p
		}
	}
	if r.SequenceStarts() {
		v.moved.begin(key, best, left != nil && !r.SequenceEnds())
		return best
	}
	if to := v.moved.where(key, r.SequenceEnds()); to != nil {
		for _, p := range usable {
			if p.Remote == to && to != not {
				return p
			}
		}
		if leaving != nil {
			for _, p := range *leaving {
				if p.Remote == to && to != not {
					return p
				}
			}
		}
		return best
	}
	if left != nil {
		return left
	}
	return best
}

// highest returns the place that comes first for a sequence, and how high it stands.
func highest(places []*Place, key uint64, not *Remote) (best *Place, most uint64) {
	for _, p := range places {
		if w := mix(key ^ p.Remote.seed()); p.Remote != not && (best == nil || w > most) {
			best, most = p, w
		}
	}
	return best, most
}

// seed is a number of the server's own.
func (r *Remote) seed() uint64 {
	h := uint64(14695981039346656037)
	for i := range len(r.Name) {
		h = (h ^ uint64(r.Name[i])) * 1099511628211
	}
	return h
}

func mix(x uint64) uint64 {
	x ^= x >> 31
	x *= 0x9e3779b97f4a7c15
	return x ^ x>>29
}

// moved remembers which sequences of a version began elsewhere than at home, because their home was being drained. Those
// whose end never comes are kept until their server goes.
type moved struct {
	any atomic.Bool // there may be some

	mu struct {
		sync.Mutex
		to map[uint64]*Remote
	}
}

// mostMoved bounds how many sequences are remembered, about 5 MB.
const mostMoved = 1 << 16

// begin notes where a sequence begins, if it is elsewhere than at home.
func (m *moved) begin(key uint64, at *Place, elsewhere bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.to, key)
	if elsewhere && at != nil && len(m.mu.to) < mostMoved {
		if m.mu.to == nil {
			m.mu.to = map[uint64]*Remote{}
		}
		m.mu.to[key] = at.Remote
	}
	m.any.Store(len(m.mu.to) > 0)
}

// where returns the server of a sequence that began elsewhere than at home, nil for others. It is forgotten at its end.
func (m *moved) where(key uint64, ends bool) *Remote {
	m.mu.Lock()
	defer m.mu.Unlock()
	to := m.mu.to[key]
	if to != nil && ends {
		delete(m.mu.to, key)
		m.any.Store(len(m.mu.to) > 0)
	}
	return to
}

// forget drops what has begun at a server.
func (m *moved) forget(r *Remote) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, to := range m.mu.to {
		if to == r {
			delete(m.mu.to, key)
		}
	}
	m.any.Store(len(m.mu.to) > 0)
}
