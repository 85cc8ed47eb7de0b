//go:build !race && !sluicedebug

package tfserving

import (
	"fmt"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// TestHopsDoNotAllocate takes requests of every type through the gateway, to a backend and back: as they came, and merged.
func TestHopsDoNotAllocate(t *testing.T) {
	for _, d := range everyType {
		for _, members := range []int{1, 6} {
			for _, piece := range []int{0, 60} {
				for i, form := range forms {
					h := newHop(t, d, 20, members, piece, form)
					if got := testing.AllocsPerRun(200, func() { h.run(t) }); got != 0 {
						t.Errorf("%s, %d members, pieces of %d, form %d: %v allocations, want 0", d, members, piece, i, got)
					}
				}
			}
		}
	}
}

// TestRESTDoesNotAllocate reads a request and writes its answer.
func TestRESTDoesNotAllocate(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		m          *infer.Model
	}{
		{"floats", `{"instances":[[1.5,2.5],[3.5,4.5]]}`, single(tensor.FP32, -1, 2)},
		{"named", `{"instances":[{"x":[1.5,2.5]},{"x":[3.5,4.5]}]}`, single(tensor.FP32, -1, 2)},
		{"strings", `{"inputs":["a","b\n",{"b64":"YQ=="}]}`, single(tensor.Bytes, -1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem := newMemory()
			body := bodyOf(mem.Slabs, []byte(tc.body), 0)
			dec, enc := NewDecoder(mem.Slabs), NewEncoder(mem.Slabs)
			var out slab.List
			got := testing.AllocsPerRun(1000, func() {
				req := mem.NewRequest()
				form, err := dec.Decode(Source{Model: tc.m, Body: body}, req)
				if err != nil {
					t.Fatal(err)
				}
				resp := mem.NewResponse()
				o := resp.AddOutput()
				o.Index, o.DType, o.Shape = 0, req.Inputs[0].DType, req.Inputs[0].Shape
				o.Data.AppendList(&req.Inputs[0].Data)
				if err := enc.Encode(Answer{req, tc.m, resp, infer.AllRows}, form, &out); err != nil {
					t.Fatal(fmt.Sprint(err))
				}
				out.Release()
				resp.Release()
				req.Release()
			})
			if got != 0 {
				t.Errorf("%v allocations, want 0", got)
			}
		})
	}
}

// TestRowsDoNotAllocate takes a batch to a server over REST and its answer back.
func TestRowsDoNotAllocate(t *testing.T) {
	r := batchOf(t, addSub(), 0, addSubRow(), addSubRow())
	defer r.end(t)
	body := bodyOf(r.mem.Slabs, []byte(`{"predictions":[{"SUM":[1,2],"DIFF":[5,6]},{"SUM":[1,2],"DIFF":[5,6]}]}`), 0)
	defer body.Release()
	enc, dec := NewInstancesEncoder(r.mem.Slabs), NewPredictionsDecoder(r.mem.Slabs)
	var out slab.List
	got := testing.AllocsPerRun(1000, func() {
		if err := enc.Encode(r.batch, &out); err != nil {
			t.Fatal(err)
		}
		out.Release()
		resp := r.mem.NewResponse()
		if err := dec.Decode(r.batch, body, resp); err != nil {
			t.Fatal(err)
		}
		resp.Release()
	})
	if got != 0 {
		t.Errorf("%v allocations a request, want 0", got)
	}
}
