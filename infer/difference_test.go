package infer

import (
	"testing"

	"github.com/sluice-serving/sluice/tensor"
)

func TestDifference(t *testing.T) {
	x := Spec{Name: "x", DType: tensor.FP32, Dims: []int64{-1, 2}}
	y := Spec{Name: "y", DType: tensor.FP32, Dims: []int64{-1, 2}}
	model := func(change func(*Model)) *Model {
		m := &Model{Inputs: []Spec{x}, Outputs: []Spec{y}, MaxBatch: 8}
		change(m)
		return m
	}
	for _, tc := range []struct {
		name   string
		change func(*Model)
		want   string
	}{
		{"same", func(m *Model) { m.MaxBatch = 4 }, ""},
		{"datatype", func(m *Model) { m.Inputs[0].DType = tensor.Int64 }, `input "x" is INT64 [-1,2] instead of FP32 [-1,2]`},
		{"shape", func(m *Model) { m.Outputs[0].Dims = []int64{-1, 3} }, `output "y" is FP32 [-1,3] instead of FP32 [-1,2]`},
		{"any shape", func(m *Model) { m.Inputs[0].Dims = nil }, `input "x" is FP32 of any shape instead of FP32 [-1,2]`},
		{"optional", func(m *Model) { m.Inputs[0].Optional = true }, `input "x" is FP32 [-1,2], optional, instead of FP32 [-1,2]`},
		{"missing", func(m *Model) { m.Outputs = nil }, `there is no output "y"`},
		{"more", func(m *Model) { m.Inputs = append(m.Inputs, y) }, `there is an input "y"`},
		{"batch", func(m *Model) { m.MaxBatch = 0 }, "max_batch_size is 0 instead of 8"},
		{"decoupled", func(m *Model) { m.Decoupled = true }, "decoupled is true instead of false"},
		{"sequences", func(m *Model) { m.NumberedSequences = true }, "the ids of sequences are numbers: true instead of false"},
		{"signatures", func(m *Model) { m.Signatures = []Signature{{Name: "s"}} }, "the signatures are others"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := model(func(*Model) {})
			other := model(tc.change)
			if got := m.Difference(other); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if (m.Difference(other) == "") != m.SameSignature(other) {
				t.Error("the words and SameSignature disagree")
			}
		})
	}
	two := func(a, b Spec) *Model { return &Model{Inputs: []Spec{a, b}} }
	if got := two(x, y).Difference(two(y, x)); got != "the inputs are in another order" {
		t.Errorf("in another order: %q", got)
	}
}
