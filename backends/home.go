package backends

import (
	"maps"
	"sync"

	"github.com/sluice-serving/sluice/infer"
)

// home returns the place of a sequence: where it has begun, for as long as that server takes requests, and though it is
// drained; whatever servers come, go or are drained meanwhile. A sequence whose server is gone goes on at another, which
// refuses it if it cannot. Where one begins is for its id to say, so that gateways beside each other agree; one that
// nothing is known of, since another gateway has seen it begin, is looked for by that as well.
func (v *Version) home(usable []*Place, r *infer.Request, key uint64, not *Remote) *Place {
	best, most := highest(usable, key, not)
	if r.SequenceStarts() {
		v.begun.note(key, best, r.SequenceEnds())
		return best
	}
	leaving := v.leaving.Load()
	if to := v.begun.where(key, r.SequenceEnds()); to != nil {
		p := placeAt(usable, to, not)
		if p == nil && leaving != nil {
			p = placeAt(*leaving, to, not)
		}
		if p != nil {
			return p
		}
		return best
	}
	if leaving != nil {
		if p, w := highest(*leaving, key, not); p != nil && (best == nil || w > most) {
			return p
		}
	}
	return best
}

// placeAt returns the place at a server, nil if there is none or it is not wanted.
func placeAt(places []*Place, at, not *Remote) *Place {
	for _, p := range places {
		if p.Remote == at && at != not {
			return p
		}
	}
	return nil
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

// begun remembers where the sequences of a version have begun. Those whose end never comes give way to others: two
// generations are kept, and what is asked for moves into the young one.
type begun struct {
	mu struct {
		sync.Mutex
		young, old map[uint64]*Remote
	}
}

// mostBegun bounds a generation, about 1 MB.
const mostBegun = 1 << 15

// note remembers where a sequence begins, unless it ends there, too.
func (b *begun) note(key uint64, at *Place, ends bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.young, key)
	delete(b.mu.old, key)
	if at != nil && !ends {
		b.keep(key, at.Remote)
	}
}

// keep runs under mu.
func (b *begun) keep(key uint64, at *Remote) {
	if b.mu.young == nil || len(b.mu.young) >= mostBegun {
		b.mu.young, b.mu.old = map[uint64]*Remote{}, b.mu.young
	}
	b.mu.young[key] = at
}

// where returns the server where a sequence has begun, nil if that is not known. It is forgotten at its end.
func (b *begun) where(key uint64, ends bool) *Remote {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, young := b.mu.young[key]
	if !young {
		at = b.mu.old[key]
	}
	switch {
	case at == nil:
	case ends:
		delete(b.mu.young, key)
		delete(b.mu.old, key)
	case !young:
		delete(b.mu.old, key)
		b.keep(key, at)
	}
	return at
}

// forget drops what has begun at a server.
func (b *begun) forget(r *Remote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	gone := func(_ uint64, at *Remote) bool { return at == r }
	maps.DeleteFunc(b.mu.young, gone)
	maps.DeleteFunc(b.mu.old, gone)
}
