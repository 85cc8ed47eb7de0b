package kserve

import (
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// whims is a server's script: it drops connections, dawdles, refuses, and answers nonsense.
func whims(run int64, w http.ResponseWriter, r *http.Request) bool {
	status := 0
	switch run % 53 {
	case 1:
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = c.Close()
		}
		return true
	case 2:
		w.Header().Set("Connection", "close")
		return false
	case 3:
		_, _ = io.WriteString(w, "hello")
		return true
	case 4:
		_, _ = io.WriteString(w, `{"outputs":[{"name":"y","datatype":"INT32","shape":[1,1],"data":[1]}]}`)
		return true
	case 5, 6, 7:
		timer := time.NewTimer(time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
		return false
	case 8:
		status = 500
	case 9:
		status = 503
	case 10:
		status = 400
	default:
		return false
	}
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(status)
	return true
}

// TestRESTStorm sends tagged calls, alone and merged, as JSON and as binary, to two servers that have whims, while calls
// are given up: every call ends once, with its own rows or an error.
func TestRESTStorm(t *testing.T) {
	for _, binary := range []bool{false, true} {
		serve := func() *web {
			return newWeb(t, &web{index: plainIndex, version: "1", maxBatch: 8, binary: binary, script: whims})
		}
		first, second := serve(), serve()
		opts := Options{Protocol: REST, Options: upstream.Options{Slots: 4, Connections: 3}}
		b := openBench(t, address(first.server), opts, address(second.server))
		m := b.has("m 1 ready")[0].Model
		each := 400
		if testing.Short() {
			each = 80
		}
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				seed := rand.New(rand.NewPCG(uint64(w), 1))
				for i := range each {
					b.gust(m, seed, uint32(w*each+i))
				}
			})
		}
		all.Wait()
		for end := time.Now().Add(patience); ; runtime.Gosched() {
			busy := int64(0)
			for _, s := range b.pool.Fleet().Status() {
				busy += s.InFlight + int64(s.Busy)
			}
			if busy == 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%d stay in flight", busy)
			}
		}
	}
}

// gust sends a few calls as one batch, gives up one of them at times, and waits for all.
func (b *bench) gust(m *infer.Model, seed *rand.Rand, tag uint32) {
	fleet := b.pool.Fleet()
	var slot infer.Slot
	for end := time.Now().Add(patience); ; runtime.Gosched() {
		var ok bool
		if slot, ok = fleet.TryAcquire(m); ok {
			break
		}
		if time.Now().After(end) {
			b.t.Error("no slot is free")
			return
		}
	}
	batch := b.memory.NewBatch()
	batch.Model, batch.Slots, batch.Slot, batch.Owner = m, fleet, slot, &owner{b, slot}
	var calls []*infer.Call
	var edges []*edge
	for k := range 1 + seed.IntN(3) {
		e := &edge{tag: tag<<2 | uint32(k), rows: int64(1 + seed.IntN(2)), done: make(chan struct{})}
		c := puppet.Ask(b.memory, &infer.Route{Model: m}, e.rows, width, e.tag)
		c.Then(infer.RoleEdge, e)
		batch.Add(c, infer.AllRows)
		calls, edges = append(calls, c), append(edges, e)
	}
	batch.Seal()
	if err := slot.Runner.Run(batch, nil); err != nil {
		b.t.Error(err)
	}
	if seed.IntN(4) == 0 {
		calls[0].Finish(infer.Abandoned, nil, nil)
	}
	for i, e := range edges {
		if <-e.done; e.err != nil && e.failed == nil {
			b.t.Errorf("a call got somebody else's answer: %v", e.err)
		}
		calls[i].Release()
	}
}

// owner gives the slot of a batch back.
type owner struct {
	b    *bench
	slot infer.Slot
}

// BatchDone implements [infer.BatchOwner].
func (o *owner) BatchDone(*infer.Batch, *infer.Error, *infer.Burst) { o.b.pool.Fleet().Release(o.slot) }
