package batching

import (
	"fmt"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// dropping is an edge that lets go of the call.
type dropping struct{}

func (dropping) Done(c *infer.Call, _ *infer.Burst) { c.Release() }

// BenchmarkSubmit sends members calls at a time: the first finds the slot free and the others are merged.
// What making the calls costs is measured beside it.
func BenchmarkSubmit(b *testing.B) {
	for _, members := range []int{1, 33} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			r := newRig(b, puppet.Options{Hold: members > 1}, QueueOptions{})
			defer r.close()
			q := r.queues["echo"]
			burst := new(infer.Burst)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				burst.Begin()
				for range members {
					c := r.ask(1, 1)
					c.Then(infer.RoleEdge, dropping{})
					if err := q.Submit(c, burst); err != nil {
						b.Fatal(err)
					}
				}
				for r.puppet.Step() {
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/call")
		})
	}
	b.Run("without", func(b *testing.B) {
		r := newRig(b, puppet.Options{}, QueueOptions{})
		defer r.close()
		b.ReportAllocs()
		for b.Loop() {
			c := r.ask(1, 1)
			c.Then(infer.RoleEdge, dropping{})
			c.Finish(infer.Abandoned, nil, nil)
		}
	})
}
