//go:build cgo

package onnx

import (
	"fmt"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// cycle runs requests, which stay the caller's, in one batch.
func (b *bench) cycle(t testing.TB, m *infer.Model, requests []*infer.Request, calls []*infer.Call) {
	for i, r := range requests {
		calls[i] = b.memory.NewCall(r)
		calls[i].Then(infer.RoleEdge, edge{})
	}
	b.submit(t, m, owner{b.group}, calls...)
	for _, c := range calls {
		<-c.Woken()
		if c.Error != nil {
			t.Fatal(c.Error)
		}
		c.Release()
	}
}

func BenchmarkDigits(b *testing.B) {
	bench := newBench(b, Options{Repository: digitsRepository})
	m := bench.model(b, "digits", "2")
	for _, members := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			var requests []*infer.Request
			for range members {
				requests = append(requests, bench.request(m, in{0, tensor.FP32, []int64{1, 64}, make([]byte, 256)}))
			}
			calls := make([]*infer.Call, members)
			b.ReportAllocs()
			for b.Loop() {
				bench.cycle(b, m, requests, calls)
			}
			for _, r := range requests {
				r.Release()
			}
		})
	}
}
