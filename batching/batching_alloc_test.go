//go:build !race && !sluicedebug

package batching

import (
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
)

// freeing is an edge that lets go of the call.
type freeing struct{}

func (freeing) Done(c *infer.Call, _ *infer.Burst) { c.Release() }

func TestAllocs(t *testing.T) {
	for _, tc := range []struct {
		name    string
		members int
	}{{"direct", 1}, {"merged", 16}, {"full", 100}} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, puppet.Options{Hold: tc.members > 1}, QueueOptions{})
			defer r.close()
			q := r.queues["echo"]
			burst := new(infer.Burst)
			round := func() {
				burst.Begin()
				for i := range tc.members {
					c := r.ask(1, uint32(i))
					c.Then(infer.RoleEdge, freeing{})
					if err := q.Submit(c, burst); err != nil {
						t.Fatal(err)
					}
				}
				for r.puppet.Step() {
				}
			}
			if n := testing.AllocsPerRun(1000, round); n != 0 {
				t.Errorf("%v allocations for %d calls, want none", n, tc.members)
			}
		})
	}
}
