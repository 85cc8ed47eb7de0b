package infer

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sluice-serving/sluice/slab"
)

const memoryShards = 8

// Memory is where requests, calls, batches and responses come from, and the slabs under them. It is older
// than any generation. It counts what is out, so that tests can see that all came back.
type Memory struct {
	Slabs *slab.Pool

	requests  sync.Pool
	calls     sync.Pool
	batches   sync.Pool
	responses sync.Pool

	next   atomic.Uint32
	shards [memoryShards]memoryShard
}

type memoryShard struct {
	requests, calls, batches, responses atomic.Int64
	_                                   [32]byte
}

// NewMemory returns a memory whose bytes come from slabs.
func NewMemory(slabs *slab.Pool) *Memory { return &Memory{Slabs: slabs} }

// Live is how many objects are out.
type Live struct{ Requests, Calls, Batches, Responses, Bytes int64 }

// Live returns what is out now; all zero when nothing is in flight.
func (m *Memory) Live() Live {
	l := Live{Bytes: m.Slabs.Budget().InUse()}
	for i := range m.shards {
		s := &m.shards[i]
		l.Requests += s.requests.Load()
		l.Calls += s.calls.Load()
		l.Batches += s.batches.Load()
		l.Responses += s.responses.Load()
	}
	return l
}

// Check returns an error if anything is out: what a leak check asks at rest.
func (m *Memory) Check() error {
	if l := m.Live(); l != (Live{}) {
		return fmt.Errorf("still out: %+v %v", l, m.Slabs.Leaks())
	}
	return nil
}

// shard gives a new object its shard, which it keeps for life.
func (m *Memory) shard() uint32 { return m.next.Add(1) % memoryShards }
