//go:build !race && !sluicedebug

package router

import (
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
)

func TestLookupAndSubmitDoNotAllocate(t *testing.T) {
	r := newRouter(t, Model{Name: "m", Versions: []Version{
		{Name: "1", Weight: 95, Target: target("1", 4)}, {Name: "2", Weight: 5, Target: target("2", 4)},
	}})
	m := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
	name := []byte("m")
	if n := testing.AllocsPerRun(1000, func() {
		q := infer.Query{Name: name}
		route, _ := r.Lookup(&q)
		req := m.NewRequest()
		req.Bind(route, &q)
		c := m.NewCall(req)
		req.Release()
		_ = r.Submit(c, nil)
		c.Release()
	}); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}
