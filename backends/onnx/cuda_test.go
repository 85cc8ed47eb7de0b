//go:build cgo

package onnx

import (
	"bytes"
	"testing"

	"github.com/sluice-serving/sluice/backends/onnx/ort"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// TestCUDA compares a CUDA device with the CPU, where there is one.
func TestCUDA(t *testing.T) {
	if err := ort.Load(library(t)); err != nil {
		t.Fatal(err)
	}
	if err := ort.Probe(0); err != nil {
		t.Skip(err)
	}
	h := readHeldOut(t)
	cpu := newBench(t, Options{Repository: digitsRepository})
	cuda := newBench(t, Options{Repository: digitsRepository, Devices: []string{"cuda:0"}})
	ask := func(b *bench) []answer {
		m := b.model(t, "digits", "2")
		var requests []*infer.Request
		for _, image := range h.Images[:32] {
			requests = append(requests, b.request(m, in{0, tensor.FP32, []int64{1, 64}, floats(image.Image...)}))
		}
		return b.run(t, m, requests...)
	}
	want := ask(cpu)
	for range 3 {
		for i, a := range ask(cuda) {
			if a.err != nil || !bytes.Equal(a.outputs[0].data, want[i].outputs[0].data) || missOfRow(tensor.FP32, want[i].outputs[1].data, a.outputs[1].data) > drift {
				t.Fatalf("image %d: got %+v, want %+v", i, a, want[i])
			}
		}
	}
}
