//go:build !race && !sluicedebug

package kserve_test

import (
	"fmt"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
)

// TestPathDoesNotAllocate takes requests with differing ids through the decoder and their echo through the
// encoder, in every encoding.
func TestPathDoesNotAllocate(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(id int) ([]byte, int)
	}{
		{"binary", func(id int) ([]byte, int) {
			head := fmt.Sprintf(`{"id":"r%d","parameters":{"timeout":%d,"binary_data_output":true,"p":"v"},"inputs":[{"name":"A","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}},`+
				`{"name":"B","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}],"outputs":[{"name":"SUM","parameters":{"binary_data":true}}]}`, id, 1000+id)
			return append([]byte(head), f32(1, 2, 3, 4)...), len(head)
		}},
		{"json", func(id int) ([]byte, int) {
			return fmt.Appendf(nil, `{"id":"r%d","inputs":[{"name":"A","shape":[1,2],"datatype":"FP32","data":[[0.30000001192092896,2e5]]},`+
				`{"name":"B","shape":[1,2],"datatype":"FP32","data":[16777217.0,4]}],"outputs":[{"name":"SUM"},{"name":"DIFF","parameters":{"classification":2}}]}`, id), rest.NoHeader
		}},
		{"data first, escapes", func(id int) ([]byte, int) {
			return fmt.Appendf(nil, `{"id":"\u0072%d","inputs":[{"data":[NaN,2],"name":"\u0041","shape":[1,2],"datatype":"FP32"},`+
				`{"name":"B","shape":[1,2],"datatype":"FP32","data":[3,4]}],"extra":{"x":[1,{"y":"\u00e9"}]}}`, id), rest.NoHeader
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			mem, m := newMemory(), addSub()
			const many = 8
			var bodies [many]*slab.List
			var heads [many]int
			for i := range many {
				var b []byte
				b, heads[i] = tc.make(i * 999)
				bodies[i] = bodyOf(mem.Slabs, b, 0)
			}
			dec, enc := rest.NewDecoder(mem.Slabs), rest.NewEncoder(mem.Slabs)
			var head kserve.Head
			var reply slab.List
			i := 0
			got := testing.AllocsPerRun(2000, func() {
				i++
				req := mem.NewRequest()
				if err := dec.Decode(kserve.Source{Model: m, Body: bodies[i%many], HeaderLen: heads[i%many], MaxBytes: 1 << 20}, req, &head); err != nil {
					t.Fatal(err)
				}
				resp := mem.NewResponse()
				for i := range req.Inputs {
					in := &req.Inputs[i]
					o := resp.AddOutput()
					o.Index, o.DType, o.Shape = in.Index, in.DType, in.Shape
					o.Data.AppendList(&in.Data)
				}
				if _, err := enc.Encode(kserve.Answer{Request: req, Head: &head, Model: m, Response: resp, Rows: infer.AllRows}, &reply); err != nil {
					t.Fatal(err)
				}
				reply.Release()
				resp.Release()
				req.Release()
			})
			if got != 0 {
				t.Errorf("%v allocations a request, want 0", got)
			}
		})
	}
}

// TestMessagesDoNotAllocate does the same over gRPC, in one slab and in several.
func TestMessagesDoNotAllocate(t *testing.T) {
	for _, piece := range []int{0, 50} {
		for _, typed := range []bool{false, true} {
			mem, m := newMemory(), addSub()
			const many = 8
			var bodies [many]*slab.List
			for i := range many {
				bodies[i] = bodyOf(mem.Slabs, addSubMessage(t, i*999, typed), piece)
			}
			dec, enc := kserve.NewMessageDecoder(mem.Slabs), kserve.NewMessageEncoder(mem.Slabs)
			var head kserve.Head
			var reply slab.List
			i := 0
			got := testing.AllocsPerRun(2000, func() {
				i++
				req := mem.NewRequest()
				if _, err := dec.PeekModel(bodies[i%many]); err != nil {
					t.Fatal(err)
				}
				if err := dec.Decode(kserve.Source{Model: m, Body: bodies[i%many], MaxBytes: 1 << 20}, req, &head); err != nil {
					t.Fatal(err)
				}
				resp := mem.NewResponse()
				for i := range req.Inputs {
					in := &req.Inputs[i]
					o := resp.AddOutput()
					o.Index, o.DType, o.Shape = in.Index, in.DType, in.Shape
					o.Data.AppendList(&in.Data)
				}
				frame := kserve.Frame{Prefix: true, Stream: true, Final: kserve.FinalYes}
				if err := enc.Encode(kserve.Answer{Request: req, Head: &head, Model: m, Response: resp, Rows: infer.Rows{N: 1}}, frame, &reply); err != nil {
					t.Fatal(err)
				}
				reply.Release()
				resp.Release()
				req.Release()
			})
			if got != 0 {
				t.Errorf("pieces of %d, contents %v: %v allocations a request, want 0", piece, typed, got)
			}
		}
	}
}

// addSubMessage is a request for addSub with differing ids, parameters and one classified output.
func addSubMessage(t *testing.T, id int, typed bool) []byte {
	p := &pb.ModelInferRequest{
		ModelName: "addsub", Id: fmt.Sprint("r", id), Parameters: map[string]*pb.InferParameter{"timeout": intParam(int64(1000 + id)), "p": stringParam("v")},
		Inputs:  []*inputMsg{inputOf("A", "FP32", 1, 2), inputOf("B", "FP32", 1, 2)},
		Outputs: []*outputMsg{{Name: "SUM"}, outputOf("DIFF", "classification", intParam(2))},
	}
	if typed {
		p.Inputs[0].Contents = &pb.InferTensorContents{Fp32Contents: []float32{1, 2}}
		p.Inputs[1].Contents = &pb.InferTensorContents{Fp32Contents: []float32{3, 4}}
	} else {
		p.RawInputContents = [][]byte{f32(1, 2), f32(3, 4)}
	}
	return marshalMessage(t, p)
}

// TestHopsDoNotAllocate takes requests through the gateway, to a backend and back: as they came, merged, and
// classified by us.
func TestHopsDoNotAllocate(t *testing.T) {
	plain := marshalMessage(t, addSubRequest(1))
	for _, request := range [][]byte{plain, addSubMessage(t, 5, false), addSubMessage(t, 5, true)} {
		for _, piece := range []int{0, 50} {
			for _, members := range []int{1, 6} {
				for _, stream := range []bool{false, true} {
					data, rows := string(make([]byte, 8*members)), int64(members)
					answer := answeredBy([]string{data, data}, answered("DIFF", "FP32", rows, 2), answered("SUM", "FP32", rows, 2))
					answer.Parameters = map[string]*pb.InferParameter{"p": stringParam("v")}
					h := newHop(t, addSub(), request, answer, members, piece, stream)
					if got := testing.AllocsPerRun(1000, func() { h.run(t) }); got != 0 {
						t.Errorf("%d bytes in pieces of %d, %d members, stream %v: %v allocations, want 0", len(request), piece, members, stream, got)
					}
				}
			}
		}
	}
}

// TestRESTDoesNotAllocate takes requests to a server over REST and its answers back, as JSON and as binary.
func TestRESTDoesNotAllocate(t *testing.T) {
	for _, binary := range []bool{false, true} {
		m := addSub()
		r := batchOf(t, m, 0, sent{msg: addSubRequest(1)}, sent{json: addSubJSON})
		head, answer := []byte(nil), `{"id":"7","parameters":{"a":"b"},"outputs":[{"name":"SUM","shape":[2,2],"datatype":"FP32","data":[1,2,3,4]}]}`
		if binary {
			answer = `{"outputs":[{"name":"SUM","shape":[2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}]}`
			head = fmt.Append(nil, len(answer))
			answer += string(f32(1, 2, 3, 4))
		}
		body := bodyOf(r.mem.Slabs, []byte(answer), 0)
		enc, dec := rest.NewRequestEncoder(r.mem.Slabs), rest.NewResponseDecoder(r.mem.Slabs)
		var out slab.List
		got := testing.AllocsPerRun(2000, func() {
			if _, err := enc.Encode(r.batch, binary, &out); err != nil {
				t.Fatal(err)
			}
			out.Release()
			resp := r.mem.NewResponse()
			if err := dec.Decode(r.batch, head, body, resp); err != nil {
				t.Fatal(err)
			}
			resp.Release()
		})
		if got != 0 {
			t.Errorf("binary %v: %v allocations a request, want 0", binary, got)
		}
		body.Release()
		r.end(t)
	}
}
