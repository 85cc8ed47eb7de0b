package telemetry

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

const (
	cacheLine = 64
	minShards = 4
	maxShards = 32
)

// cell is one shard of a counter, alone on its cache line.
type cell struct {
	n atomic.Int64
	_ [cacheLine - 8]byte
}

type cells []cell

func newCells() cells { return make(cells, shardCount(runtime.GOMAXPROCS(0))) }

// shardCount is twice the processors, as a power of two: goroutines choose a shard by hash, and a spare one for each
// processor halves the chance that two of them meet.
func shardCount(procs int) int {
	return min(maxShards, max(minShards, 1<<bits.Len(uint(2*procs-1))))
}

func (c cells) at(hint uint32) *atomic.Int64 { return &c[hint&uint32(len(c)-1)].n }

func (c cells) sum() int64 {
	var total int64
	for i := range c {
		total += c[i].n.Load()
	}
	return total
}

// shardHint is a number that differs between goroutines that run at the same time and mostly stays the same for one
// goroutine: the hashed page of its stack. Stacks never overlap, so it costs two instructions where asking the runtime
// for the processor would cost a pin, and it needs no state to be passed along. A wrong guess costs a shared cache
// line, never a wrong figure.
func shardHint() uint32 {
	var here byte
	page := uint64(uintptr(unsafe.Pointer(&here)) >> 11)
	return uint32(page * 0x9e3779b97f4a7c15 >> 40)
}
