//go:build cgo

package onnx

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

type heldOut struct {
	Accuracy map[string]float64
	Images   []struct {
		Label int64
		Image []float32
	}
}

func readHeldOut(t testing.TB) heldOut {
	t.Helper()
	src, err := os.ReadFile("../../examples/digits/heldout.json")
	if err != nil {
		t.Fatal(err)
	}
	var h heldOut
	if err := json.Unmarshal(src, &h); err != nil {
		t.Fatal(err)
	}
	if len(h.Images) < 300 {
		t.Fatalf("only %d images", len(h.Images))
	}
	return h
}

func TestDigitsAnswerAsTrained(t *testing.T) {
	h := readHeldOut(t)
	b := newBench(t, Options{Repository: digitsRepository})
	for version, want := range h.Accuracy {
		m := b.model(t, "digits", version)
		if m.MaxBatch != 64 || m.Outputs[1].Labels[9] != "nine" {
			t.Errorf("version %s: max batch %d (%s), labels %v", version, m.MaxBatch, m.Merge, m.Outputs[1].Labels)
		}
		var alone []answer
		right := 0
		for _, image := range h.Images {
			a := b.run(t, m, b.request(m, in{0, tensor.FP32, []int64{1, 64}, floats(image.Image...)}))[0]
			if a.err != nil {
				t.Fatal(a.err)
			}
			if int64(binary.LittleEndian.Uint64(a.outputs[0].data)) == image.Label {
				right++
			}
			alone = append(alone, a)
		}
		if got := float64(right) / float64(len(h.Images)); math.Abs(got-want) > 1e-6 {
			t.Errorf("version %s: accuracy %v, trained to %v", version, got, want)
		}
		for at := 0; at < len(h.Images); at += 64 {
			var requests []*infer.Request
			for _, image := range h.Images[at:min(at+64, len(h.Images))] {
				requests = append(requests, b.request(m, in{0, tensor.FP32, []int64{1, 64}, floats(image.Image...)}))
			}
			for i, a := range b.run(t, m, requests...) {
				if a.err != nil {
					t.Fatal(a.err)
				}
				one := alone[at+i]
				if !bytes.Equal(a.outputs[0].data, one.outputs[0].data) || missOfRow(tensor.FP32, one.outputs[1].data, a.outputs[1].data) > 1 {
					t.Fatalf("version %s, image %d: merged %v, alone %v", version, at+i, a, one)
				}
			}
		}
	}
	list, err := b.List(context.Background())
	if err != nil || len(list) != 2 || list[0].Version != "1" || list[1].State != infer.Ready {
		t.Errorf("list: %+v, %v", list, err)
	}
	for _, s := range list {
		t.Log(s.Name, s.Version, s.Model.Merge)
	}
}
