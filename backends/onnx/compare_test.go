//go:build cgo

package onnx

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/sluice-serving/sluice/tensor"
)

func TestMissOfRow(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		name string
		x, y []float32
		want func(miss float64) bool
	}{
		{"equal", []float32{1, 2}, []float32{1, 2}, func(m float64) bool { return m == 0 }},
		{"within", []float32{1, 100}, []float32{1.009, 100}, func(m float64) bool { return m > 0.8 && m <= 1 }},
		{"beyond", []float32{1, 100}, []float32{1.02, 100}, func(m float64) bool { return m > 1 && m < drift }},
		{"far", []float32{1, 100}, []float32{50, 100}, func(m float64) bool { return m > drift }},
		{"both NaN", []float32{nan, 1}, []float32{nan, 1}, func(m float64) bool { return m == 0 }},
		{"NaN alone", []float32{nan, 1}, []float32{0, 1}, func(m float64) bool { return math.IsInf(m, 1) }},
		{"NaN together", []float32{0, 1}, []float32{nan, 1}, func(m float64) bool { return math.IsInf(m, 1) }},
		{"infinities", []float32{inf, 1}, []float32{inf, 1}, func(m float64) bool { return m == 0 }},
		{"opposite infinities", []float32{inf, 1}, []float32{-inf, 1}, func(m float64) bool { return math.IsInf(m, 1) }},
		{"infinity does not widen", []float32{inf, 1}, []float32{inf, 2}, func(m float64) bool { return m > drift }},
		{"zeros of both signs", []float32{0}, []float32{float32(math.Copysign(0, -1))}, func(m float64) bool { return m == 0 }},
		{"zero and something", []float32{0}, []float32{1e-30}, func(m float64) bool { return math.IsInf(m, 1) }},
	} {
		if miss := missOfRow(tensor.FP32, floats(c.x...), floats(c.y...)); !c.want(miss) {
			t.Errorf("%s: got %v", c.name, miss)
		}
	}
}

func TestHalves(t *testing.T) {
	for h := range 1 << 16 {
		f := halfToFloat(uint16(h))
		if math.IsNaN(f) {
			continue
		}
		got := floatToHalf(f)
		if math.Abs(f) < 6.1035e-05 { // below the normal halves
			got |= uint16(h) & 0x3ff
		}
		if got != uint16(h) {
			t.Fatalf("%#04x is %v and came back as %#04x", h, f, got)
		}
	}
	if floatToHalf(1e9) != 0x7c00 || floatToHalf(-1e9) != 0xfc00 || floatToHalf(1) != 0x3c00 {
		t.Error("infinities or one")
	}
	b := binary.LittleEndian.AppendUint16(nil, 0x3fc0)
	if got := floatAt(tensor.BF16, b); got != 1.5 {
		t.Errorf("bfloat16 1.5: got %v", got)
	}
}
