package infer

import (
	"sync/atomic"
	"time"
)

// Query names what a client wants to reach: the first half of Submit, asked before the body is decoded.
type Query struct {
	Name    []byte
	Version []byte // empty: the route decides
	Label   []byte // a label in place of a version; empty: none
	// Header returns the value of a request header field, nil if absent. It is asked only for what the
	// route's rules name.
	Header HeaderGetter

	// Spread is any number that differs among concurrent queries, for instance Request.Shard: it keeps
	// cores from fighting over one counter.
	Spread uint32

	// Hold keeps the answered route's generation alive. Lookup fills it in; the caller moves it into the
	// request (Request.Bind) or gives it up (Hold.Drop).
	Hold Hold
}

// HeaderGetter looks up request headers.
type HeaderGetter interface {
	Header(name string) []byte
}

// Target is a version of a model that requests can be sent to.
type Target struct {
	Model  *Model
	Pool   string // the pool's name
	Next   Submitter
	Open   Opener // nil: the backend has no streams
	Labels []string
	// Edge is the edge's own: the metric handles of this version.
	Edge any
}

// Submitter accepts calls: a lane or a pool, as the router sees it.
type Submitter interface {
	Submit(*Call, *Burst) error
}

// Route is an immutable entry of one generation: what a query leads to.
type Route struct {
	// Model is what requests are decoded against. If there are several targets, all have its signature.
	Model   *Model
	Targets []*Target
	// Headers are the names of the headers that rules, sticky key and tenant need: the edge copies their
	// values into the request.
	Headers []string
	// Deadline is for requests that bring none; 0: none.
	Deadline time.Duration
	// MaxBody bounds a request's decoded body in bytes.
	MaxBody int64
	// Policy is the router's own: how Submit picks a target.
	Policy any
	// Edge is the edge's own: the metric handles for requests that reach no target.
	Edge any
}

// generationShards spreads the count of holders, so that cores do not fight over one cache line.
const generationShards = 8

// Generation counts who still holds routes of one configuration: its lanes close when nobody does.
type Generation struct {
	ID   uint64
	Hash string // of the configuration's sources

	retired atomic.Bool
	drained chan struct{} // one slot: poked by each release after retirement
	shards  [generationShards]struct {
		n atomic.Int64
		_ [56]byte
	}
}

// NewGeneration returns a generation that nobody holds.
func NewGeneration(id uint64, hash string) *Generation {
	return &Generation{ID: id, Hash: hash, drained: make(chan struct{}, 1)}
}

// Hold is one holder's mark on a generation. The zero Hold holds nothing.
type Hold struct {
	gen   *Generation
	shard uint32
}

// Acquire marks a holder. It fails if the generation is retired: ask the next one. hint spreads holders.
func (g *Generation) Acquire(hint uint32) (Hold, bool) {
	shard := hint % generationShards
	g.shards[shard].n.Add(1)
	if g.retired.Load() {
		h := Hold{gen: g, shard: shard}
		h.Drop()
		return Hold{}, false
	}
	return Hold{gen: g, shard: shard}, true
}

// Drop gives the mark up and empties the hold.
func (h *Hold) Drop() {
	g := h.gen
	if g == nil {
		return
	}
	h.gen = nil
	g.shards[h.shard].n.Add(-1)
	if g.retired.Load() {
		select {
		case g.drained <- struct{}{}:
		default:
		}
	}
}

// Generation returns what is held, nil for the zero Hold.
func (h *Hold) Generation() *Generation { return h.gen }

// Holders returns how many hold the generation now.
func (g *Generation) Holders() int64 {
	n := int64(0)
	for i := range g.shards {
		n += g.shards[i].n.Load()
	}
	return n
}

// Retire lets nobody acquire the generation any more and returns once nobody holds it, or stop yields. It
// tells which. No shard can gain a lasting holder after the mark, so each reading zero means drained.
func (g *Generation) Retire(stop <-chan struct{}) bool {
	g.retired.Store(true)
	for g.Holders() != 0 {
		select {
		case <-g.drained:
		case <-stop:
			return g.Holders() == 0
		}
	}
	return true
}
