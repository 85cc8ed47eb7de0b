package peer

import (
	"testing"
	"time"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/slab"
)

// A run must take what was asked, where a Go timer takes half a millisecond more.
func TestDeviceIsOnTime(t *testing.T) {
	p, end, ok, err := newDevice(puppet.Options{Fixed: 2 * time.Millisecond, Row: 20 * time.Microsecond, Slots: 1})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	mem := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
	route := &infer.Route{Model: p.Model("echo")}
	var took generator.Histogram
	for i := range 60 {
		c := puppet.Ask(mem, route, 32, 1, uint32(i))
		c.Then(infer.RoleEdge, awake{})
		b := c.OpenSingle()
		b.Model = route.Model
		b.Add(c, infer.AllRows)
		b.Seal()
		begin := time.Now()
		if err := p.Run(b, nil); err != nil {
			t.Fatal(err)
		}
		<-c.Woken()
		took.Record(time.Since(begin))
		if err := puppet.Answered(c, 32, 1, uint32(i)); err != nil {
			t.Fatal(err)
		}
		c.Release()
	}
	// The fastest run tells: on a machine that does other work too, all but a few may be late.
	if got := took.Quantile(0); got < 2600*time.Microsecond || got > 3*time.Millisecond {
		t.Errorf("the fastest run took %s, want 2.64 ms and little more", got)
	}
	end() // the last run's batch may be released after its caller was woken
	if err := mem.Check(); err != nil {
		t.Error(err)
	}
	for _, opts := range []puppet.Options{{Slots: 1}, {Slots: 2, Fixed: time.Second}} {
		if _, _, ok, err := newDevice(opts); ok || err != nil {
			t.Errorf("newDevice(%+v) = %v, %v: there is nothing that it could time", opts, ok, err)
		}
	}
}

// awake wakes the goroutine that waits for a call.
type awake struct{}

func (awake) Done(c *infer.Call, _ *infer.Burst) { c.Wake() }
