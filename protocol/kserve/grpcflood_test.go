package kserve

import (
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// TestMessageFloodsAreCheap sends what costs the sender little a byte; each ends at the first that is too many.
func TestMessageFloodsAreCheap(t *testing.T) {
	m := &infer.Model{
		Name: "m", Version: "3",
		Inputs:  []infer.Spec{{Name: "x", DType: tensor.Int8, Dims: []int64{1}}},
		Outputs: []infer.Spec{{Name: "y", DType: tensor.Int8, Dims: []int64{1}}},
	}
	for name, field := range map[string]string{
		"empty inputs": "\x2a\x00", "empty outputs": "\x32\x00", "empty raw": "\x3a\x00",
	} {
		mem := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<30)))
		d := NewMessageDecoder(mem.Slabs)
		flood := strings.Repeat(field, 1<<20)
		v := mem.Slabs.Get(len(flood)).View(0, len(flood))
		copy(v.B, flood)
		body := &slab.List{}
		body.AppendOwned(v)
		req := mem.NewRequest()
		var head Head
		if err := d.Decode(Source{Model: m, Body: body}, req, &head); err == nil || d.r.Pos() > 100 {
			t.Errorf("%s: %v, %d bytes read", name, err, d.r.Pos())
		}
		if cap(d.raws)+cap(req.Inputs)+cap(head.Outputs) > 16 {
			t.Errorf("%s: room for %d, %d and %d", name, cap(d.raws), cap(req.Inputs), cap(head.Outputs))
		}
		req.Release()
		body.Release()
	}
}
