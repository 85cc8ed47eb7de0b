package kserve_test

import (
	"fmt"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// echo returns a model of rows of n bytes, a request for it and the answer to as many of them.
func echo(t testing.TB, n, members int) (*infer.Model, []byte, *pb.ModelInferResponse) {
	m := &infer.Model{
		Name: "echo", Version: "1", MaxBatch: 64,
		Inputs: []infer.Spec{spec("x", tensor.FP32, -1, int64(n/4))}, Outputs: []infer.Spec{spec("y", tensor.FP32, -1, int64(n/4))},
	}
	request := marshalMessage(t, &pb.ModelInferRequest{
		ModelName: "echo", Id: "42", Inputs: []*inputMsg{inputOf("x", "FP32", 1, int64(n/4))}, RawInputContents: [][]byte{make([]byte, n)},
	})
	answer := &pb.ModelInferResponse{
		ModelName: "echo", ModelVersion: "1", Id: "42", Outputs: []*tensorMsg{answered("y", "FP32", int64(members), int64(n/4))},
		RawOutputContents: [][]byte{make([]byte, n*members)},
	}
	return m, request, answer
}

// BenchmarkHop decodes requests, encodes them for a backend, decodes its answer and encodes it for the clients. The
// time is that of one request.
func BenchmarkHop(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		for _, members := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, members), func(b *testing.B) {
				m, request, answer := echo(b, size, members)
				h := newHop(b, m, request, answer, members, 0, false)
				b.ReportAllocs()
				for b.Loop() {
					h.run(b)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/request")
			})
		}
	}
}

// BenchmarkEncodeRequest writes the request of a batch.
func BenchmarkEncodeRequest(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		m, request, _ := echo(b, size, 1)
		p := &pb.ModelInferRequest{}
		unmarshal(b, request, p)
		for _, members := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, members), func(b *testing.B) {
				of := make([]sent, members)
				for i := range of {
					of[i].msg = p
				}
				r := batchOf(b, m, 0, of...)
				enc := kserve.NewRequestEncoder(r.mem.Slabs)
				var list slab.List
				b.ReportAllocs()
				for b.Loop() {
					if err := enc.Encode(r.batch, "other", "2", &list); err != nil {
						b.Fatal(err)
					}
					list.Release()
				}
				b.StopTimer()
				r.end(b)
			})
		}
	}
}

// BenchmarkDecodeResponse reads an answer.
func BenchmarkDecodeResponse(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			m, request, answer := echo(b, size, 1)
			p := &pb.ModelInferRequest{}
			unmarshal(b, request, p)
			r := batchOf(b, m, 0, sent{msg: p})
			msg := bodyOf(r.mem.Slabs, marshalMessage(b, answer), 0)
			dec := kserve.NewResponseDecoder(r.mem.Slabs)
			var body slab.List
			b.ReportAllocs()
			for b.Loop() {
				body.AppendList(msg)
				resp := r.mem.NewResponse()
				if err := dec.Decode(m, r.batch, &body, resp); err != nil {
					b.Fatal(err)
				}
				resp.Release()
			}
			b.StopTimer()
			msg.Release()
			r.end(b)
		})
	}
}
