//go:build cgo

package onnx

import (
	"encoding/binary"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// FuzzRequest gives a model any type, shape and bytes, alone and beside a good request: C must be handed
// nothing that it would read beyond, and the good request is answered.
func FuzzRequest(f *testing.F) {
	b := newBench(f, Options{Repository: testdata(f, map[string]string{"relu": "", "text": "", "flags": ""})})
	shape := func(dims ...int64) []byte { return ints(dims...) }
	f.Add(uint8(0), uint8(tensor.FP32), shape(1, 4), floats(1, 2, 3, 4))
	f.Add(uint8(0), uint8(tensor.FP32), shape(0, 4), []byte{})
	f.Add(uint8(0), uint8(tensor.FP32), shape(1<<60, 4), floats(1))
	f.Add(uint8(1), uint8(tensor.Bytes), shape(2), words("a", "\x00b"))
	f.Add(uint8(1), uint8(tensor.Bytes), shape(1), []byte{255, 255, 255, 255})
	f.Add(uint8(2), uint8(tensor.Bool), shape(3), []byte{0, 1, 255})
	good := []in{
		{0, tensor.FP32, []int64{1, 4}, floats(1, 2, 3, 4)},
		{0, tensor.Bytes, []int64{1}, words("good")},
		{0, tensor.Bool, []int64{1}, []byte{1}},
	}
	f.Fuzz(func(t *testing.T, model, dtype uint8, dims, data []byte) {
		model %= 3
		m := b.model(t, []string{"relu", "text", "flags"}[model], "1")
		bad := in{dtype: tensor.DType(dtype), data: data}
		for ; len(dims) >= 8; dims = dims[8:] {
			bad.shape = append(bad.shape, int64(binary.LittleEndian.Uint64(dims)))
		}
		alone := b.run(t, m, b.request(m, bad))[0]
		if alone.err != nil && alone.err.Code != infer.Invalid {
			t.Errorf("alone: %v", alone.err)
		}
		if len(bad.shape) == 0 || bad.shape[0] < 0 || bad.shape[0] > 1<<20 {
			return // no lane would put it beside another
		}
		if both := b.run(t, m, b.request(m, good[model]), b.request(m, bad)); both[0].err != nil || (both[1].err == nil) != (alone.err == nil) {
			t.Errorf("beside a good request: %v, %v, alone %v", both[0].err, both[1].err, alone.err)
		}
	})
}
