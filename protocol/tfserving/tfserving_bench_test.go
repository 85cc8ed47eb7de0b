package tfserving

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// BenchmarkHop takes requests with a row of elements from clients to a backend, and its answer back.
func BenchmarkHop(b *testing.B) {
	for _, d := range []tensor.DType{tensor.FP32, tensor.Int64, tensor.Bytes} {
		for _, size := range []int{256, 16 << 10} {
			for _, members := range []int{1, 16} {
				for i, form := range forms {
					b.Run(fmt.Sprintf("%s/%d/members=%d/%s", d, size, members, formNames[i]), func(b *testing.B) {
						h := newHop(b, d, size, members, 0, form)
						b.ReportAllocs()
						for b.Loop() {
							h.run(b)
						}
					})
				}
			}
		}
	}
}

// BenchmarkREST decodes a request with rows of 256 floats and encodes its echo.
func BenchmarkREST(b *testing.B) {
	m := single(tensor.FP32, -1, 256)
	row := "[" + strings.Repeat("0.12345678, ", 255) + "1.5]"
	for _, tc := range []struct{ name, body string }{
		{"rows", `{"instances":[` + row + `]}`},
		{"named", `{"instances":[{"x":` + row + `}]}`},
		{"columns", `{"inputs":{"x":[` + row + `]}}`},
		{"64 rows", `{"instances":[` + strings.Repeat(row+",", 63) + row + `]}`},
	} {
		b.Run(tc.name, func(b *testing.B) {
			mem := newMemory()
			body := bodyOf(mem.Slabs, []byte(tc.body), 0)
			dec, enc := NewDecoder(mem.Slabs), NewEncoder(mem.Slabs)
			var out slab.List
			b.ReportAllocs()
			b.SetBytes(int64(len(tc.body)))
			for b.Loop() {
				req := mem.NewRequest()
				form, err := dec.Decode(Source{Model: m, Body: body}, req)
				if err != nil {
					b.Fatal(err)
				}
				resp := mem.NewResponse()
				o := resp.AddOutput()
				o.Index, o.DType, o.Shape = 0, tensor.FP32, req.Inputs[0].Shape
				o.Data.AppendList(&req.Inputs[0].Data)
				if err := enc.Encode(Answer{req, m, resp, infer.AllRows}, form, &out); err != nil {
					b.Fatal(err)
				}
				out.Release()
				resp.Release()
				req.Release()
			}
		})
	}
}
