package batching

import (
	"fmt"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/slab"
)

// dropping is an edge that lets go of the call.
type dropping struct{}

func (dropping) Done(c *infer.Call, _ *infer.Burst) { c.Release() }

// instant is the least that a backend can be: any number of slots, and an answer made before.
type instant struct {
	slots    int
	out      int
	response *infer.Response
	held     []*infer.Batch // if there is one slot, until end
}

func (i *instant) TryAcquire(*infer.Model) (infer.Slot, bool) {
	if i.out == i.slots {
		return infer.Slot{}, false
	}
	i.out++
	return infer.Slot{Runner: i}, true
}

func (i *instant) Release(infer.Slot) { i.out-- }
func (i *instant) Abort(*infer.Batch) {}
func (i *instant) OnRoom(func())      {}
func (i *instant) end(b *infer.Burst) {
	for len(i.held) > 0 {
		batch := i.held[0]
		i.held = i.held[:copy(i.held, i.held[1:])]
		i.finish(batch, b)
	}
}

func (i *instant) Run(b *infer.Batch, burst *infer.Burst) error {
	if i.slots == 1 {
		i.held = append(i.held, b)
		return nil
	}
	i.finish(b, burst)
	return nil
}

func (i *instant) finish(b *infer.Batch, burst *infer.Burst) {
	out := &i.response.Outputs[0]
	out.Shape[0] = b.Rows
	b.Finish(i.response, burst)
}

// BenchmarkSubmit is what the scheduler, its driver and the life of a call and a batch cost: calls that find
// a slot free, and calls of which one does and 32 are merged. What making the call costs is measured beside it.
func BenchmarkSubmit(b *testing.B) {
	mem := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))
	model := puppet.Echo("echo", 32)
	made := puppet.Ask(mem, &infer.Route{Model: model}, 1, 4, 1).Request
	response := mem.NewResponse()
	out := response.AddOutput()
	out.Shape = response.Dims(2)
	for _, members := range []int{1, 33} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			backend := &instant{slots: 2, response: response}
			if members > 1 {
				backend.slots = 1
			}
			g := NewGroup(backend, NewMetrics(nil))
			defer g.Close()
			q, err := g.NewQueue(QueueOptions{Model: model})
			if err != nil {
				b.Fatal(err)
			}
			defer q.Close()
			burst := new(infer.Burst)
			b.ReportAllocs()
			for b.Loop() {
				burst.Begin()
				for range members {
					c := mem.NewCall(made)
					c.Then(infer.RoleEdge, dropping{})
					if err := q.Submit(c, burst); err != nil {
						b.Fatal(err)
					}
				}
				backend.end(burst)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/call")
		})
	}
	b.Run("call", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c := mem.NewCall(made)
			c.Then(infer.RoleEdge, dropping{})
			c.Finish(infer.Abandoned, nil, nil)
		}
	})
}

// BenchmarkLanes is what a call costs that waits among many lanes, of one queue each.
func BenchmarkLanes(b *testing.B) {
	for _, lanes := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("lanes=%d", lanes), func(b *testing.B) {
			mem := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))
			response := mem.NewResponse()
			out := response.AddOutput()
			out.Shape = response.Dims(2)
			backend := &instant{slots: 1, response: response}
			g := NewGroup(backend, NewMetrics(nil))
			defer g.Close()
			var queues []*Queue
			var made []*infer.Request
			for i := range lanes {
				model := puppet.Echo(fmt.Sprintf("echo%d", i), 32)
				q, err := g.NewQueue(QueueOptions{Model: model})
				if err != nil {
					b.Fatal(err)
				}
				defer q.Close()
				queues = append(queues, q)
				made = append(made, puppet.Ask(mem, &infer.Route{Model: model}, 1, 4, 1).Request)
			}
			burst := new(infer.Burst)
			burst.Begin()
			send := func(i int) {
				c := mem.NewCall(made[i])
				c.Then(infer.RoleEdge, dropping{})
				if err := queues[i].Submit(c, burst); err != nil {
					b.Fatal(err)
				}
			}
			for i := range queues {
				send(i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				send(i % lanes)
				batch := backend.held[0]
				backend.held = backend.held[:0]
				backend.finish(batch, burst)
			}
			backend.end(burst)
		})
	}
}
