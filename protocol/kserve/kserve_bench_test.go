package kserve_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// BenchmarkRequest decodes a request with a row of 256 floats (1 KiB) and encodes its echo.
func BenchmarkRequest(b *testing.B) {
	m := &infer.Model{
		Name: "echo", Version: "1", MaxBatch: 32,
		Inputs: []infer.Spec{spec("x", tensor.FP32, -1, 256)}, Outputs: []infer.Spec{spec("y", tensor.FP32, -1, 256)},
	}
	numbers, data := []byte{'['}, []byte(nil)
	for i := range 256 {
		f := float32(math.Sin(float64(i)) * 3)
		if i > 0 {
			numbers = append(numbers, ", "...)
		}
		numbers = fmt.Append(numbers, f)
		data = append(data, f32(f)...)
	}
	numbers = append(numbers, ']')
	head := `{"id":"42","inputs":[{"name":"x","shape":[1,256],"datatype":"FP32","parameters":{"binary_data_size":1024}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`
	for _, tc := range []struct {
		name string
		body []byte
		head int
	}{
		{"binary", append([]byte(head), data...), len(head)},
		{"json", fmt.Appendf(nil, `{"id":"42","inputs":[{"name":"x","shape":[1,256],"datatype":"FP32","data":%s}],"outputs":[{"name":"y"}]}`, numbers), rest.NoHeader},
	} {
		b.Run(tc.name, func(b *testing.B) {
			mem := newMemory()
			body := bodyOf(mem.Slabs, tc.body, 0)
			dec, enc := rest.NewDecoder(mem.Slabs), rest.NewEncoder(mem.Slabs)
			var h kserve.Head
			var reply slab.List
			b.ReportAllocs()
			for b.Loop() {
				req := mem.NewRequest()
				if err := dec.Decode(kserve.Source{Model: m, Body: body, HeaderLen: tc.head, MaxBytes: 1 << 20}, req, &h); err != nil {
					b.Fatal(err)
				}
				resp := mem.NewResponse()
				o := resp.AddOutput()
				o.DType, o.Shape = tensor.FP32, req.Inputs[0].Shape
				o.Data.AppendList(&req.Inputs[0].Data)
				if _, err := enc.Encode(kserve.Answer{Request: req, Head: &h, Model: m, Response: resp, Rows: infer.AllRows}, &reply); err != nil {
					b.Fatal(err)
				}
				reply.Release()
				resp.Release()
				req.Release()
			}
		})
	}
}

// BenchmarkMessage decodes a gRPC request with a row of 256 floats (1 KiB) and encodes its echo.
func BenchmarkMessage(b *testing.B) {
	m := &infer.Model{
		Name: "echo", Version: "1", MaxBatch: 32,
		Inputs: []infer.Spec{spec("x", tensor.FP32, -1, 256)}, Outputs: []infer.Spec{spec("y", tensor.FP32, -1, 256)},
	}
	vals := make([]float32, 256)
	for i := range vals {
		vals[i] = float32(i) / 3
	}
	raw := &pb.ModelInferRequest{
		ModelName: "echo", Id: "42",
		Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{1, 256}}},
		Outputs:          []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "y"}},
		RawInputContents: [][]byte{f32(vals...)},
	}
	typed := proto.Clone(raw).(*pb.ModelInferRequest)
	typed.RawInputContents = nil
	typed.Inputs[0].Contents = &pb.InferTensorContents{Fp32Contents: vals}
	for _, tc := range []struct {
		name  string
		msg   *pb.ModelInferRequest
		piece int
	}{{"raw", raw, 0}, {"raw in pieces", raw, 512}, {"contents", typed, 0}} {
		msg := marshalMessage(b, tc.msg)
		b.Run(tc.name, func(b *testing.B) { benchMessage(b, m, msg, tc.piece) })
	}
}

func benchMessage(b *testing.B, m *infer.Model, msg []byte, piece int) {
	mem := newMemory()
	body := bodyOf(mem.Slabs, msg, piece)
	dec, enc := kserve.NewMessageDecoder(mem.Slabs), kserve.NewMessageEncoder(mem.Slabs)
	var h kserve.Head
	var reply slab.List
	b.ReportAllocs()
	for b.Loop() {
		if p, err := dec.PeekModel(body); err != nil || string(p.Name) != "echo" {
			b.Fatal(p, err)
		}
		req := mem.NewRequest()
		if err := dec.Decode(kserve.Source{Model: m, Body: body, MaxBytes: 1 << 20}, req, &h); err != nil {
			b.Fatal(err)
		}
		resp := mem.NewResponse()
		o := resp.AddOutput()
		o.DType, o.Shape = tensor.FP32, req.Inputs[0].Shape
		o.Data.AppendList(&req.Inputs[0].Data)
		if err := enc.Encode(kserve.Answer{Request: req, Head: &h, Model: m, Response: resp, Rows: infer.AllRows}, kserve.Frame{Prefix: true}, &reply); err != nil {
			b.Fatal(err)
		}
		reply.Release()
		resp.Release()
		req.Release()
	}
}

// BenchmarkMessageFloods decodes a megabyte of what costs a sender little.
func BenchmarkMessageFloods(b *testing.B) {
	params := ""
	for i := range 64 {
		params += fmt.Sprintf("\x22\x06\x0a\x02%02d\x12\x00", i)
	}
	m := &infer.Model{Name: "m", Inputs: []infer.Spec{spec("x", tensor.Int8, -1)}}
	for _, tc := range []struct{ name, msg string }{
		{"parameters", strings.Repeat(params, 1<<20/len(params))},
		{"groups", strings.Repeat("\x4b\x4c", 1<<19)},
		{"unknown varints", strings.Repeat("\x48\x00", 1<<19)},
		{"names", strings.Repeat("\x0a\x00", 1<<19)},
		{"contents", string(marshalMessage(b, typed(&pb.InferTensorContents{IntContents: make([]int32, 1<<20)}, "INT8", 1<<20)))},
	} {
		b.Run(tc.name, func(b *testing.B) {
			mem := newMemory()
			body := bodyOf(mem.Slabs, []byte(tc.msg), 16<<10)
			dec := kserve.NewMessageDecoder(mem.Slabs)
			var h kserve.Head
			b.SetBytes(int64(len(tc.msg)))
			for b.Loop() {
				req := mem.NewRequest()
				_ = dec.Decode(kserve.Source{Model: m, Body: body}, req, &h)
				req.Release()
			}
		})
	}
}
