//go:build cgo && !race && !sluicedebug

package onnx

import (
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// TestRunDoesNotAllocate runs a batch from a free slot to the finished call, single and merged.
func TestRunDoesNotAllocate(t *testing.T) {
	b := newBench(t, Options{Repository: digitsRepository})
	m := b.model(t, "digits", "2")
	for _, members := range []int{1, 4} {
		var requests []*infer.Request
		for range members {
			requests = append(requests, b.request(m, in{0, tensor.FP32, []int64{1, 64}, make([]byte, 256)}))
		}
		calls := make([]*infer.Call, members)
		if n := testing.AllocsPerRun(1000, func() { b.cycle(t, m, requests, calls) }); n != 0 {
			t.Errorf("%d members: %v allocations a run", members, n)
		}
		for _, r := range requests {
			r.Release()
		}
	}
}
