//go:build cgo

package onnx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// Tolerances of merged rows, of the row's largest magnitude.
const (
	tolerance     = 1e-4
	halfTolerance = 1e-2

	// drift is how many times the tolerance floats may miss it and still look like the same numbers in
	// another order: such a proof is neither won nor lost.
	drift = 100
)

// difference is how merged rows differ from the rows alone. The zero difference is none.
type difference struct {
	why   string
	small bool // floats that drifted: other inputs may prove better
}

// differs compares a response with rows first to first+rows of a merged one, output by output.
func differs(model *infer.Model, alone, merged *infer.Response, first, rows int64) difference {
	for i := range alone.Outputs {
		a, m := &alone.Outputs[i].Tensor, &merged.Outputs[i].Tensor
		name := model.Outputs[alone.Outputs[i].Index].Name
		if a.DType != m.DType || len(a.Shape) == 0 || len(a.Shape) != len(m.Shape) || a.Shape[0] != rows ||
			m.Shape[0] < first+rows || !equalTail(a.Shape, m.Shape) {
			return difference{why: fmt.Sprintf("output %q has shape %s together and %s alone, for %d rows", name,
				tensor.ShapeString(m.Shape), tensor.ShapeString(a.Shape), rows)}
		}
		if miss := missOfRows(a, m, first, rows); miss > 1 {
			return difference{fmt.Sprintf("output %q differs from the rows alone", name), miss <= drift}
		}
	}
	return difference{}
}

func equalTail(a, b []int64) bool {
	for i := 1; i < len(a); i++ {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// missOfRows compares all rows of a with rows of m from first on: how far they are apart, in tolerances.
func missOfRows(a, m *tensor.Tensor, first, rows int64) float64 {
	var part slab.List
	defer part.Release()
	if m.Shape[0] > 0 {
		m.AppendRows(&part, first, rows)
	}
	x, y := flat(&a.Data), flat(&part)
	if bytes.Equal(x, y) {
		return 0
	}
	if len(x) != len(y) || !a.DType.IsFloat() {
		return math.Inf(1)
	}
	worst := 0.0
	row := len(x) / int(rows)
	for at := 0; at < len(x); at += row {
		worst = max(worst, missOfRow(a.DType, x[at:at+row], y[at:at+row]))
	}
	return worst
}

// flat returns the bytes of a list in one piece.
func flat(l *slab.List) []byte {
	if b, ok := l.Contiguous(); ok {
		return b
	}
	b := make([]byte, l.Size())
	l.CopyTo(b)
	return b
}

// missOfRow returns how far two rows of floats are apart, in tolerances of their type. NaN equals NaN, and
// infinity itself.
func missOfRow(d tensor.DType, x, y []byte) float64 {
	size := d.Size()
	limit := 0.0
	for i := 0; i < len(x); i += size {
		if v := math.Abs(floatAt(d, x[i:])); v > limit && !math.IsInf(v, 0) {
			limit = v
		}
	}
	if size == 2 {
		limit *= halfTolerance
	} else {
		limit *= tolerance
	}
	worst := 0.0
	for i := 0; i < len(x); i += size {
		a, b := floatAt(d, x[i:]), floatAt(d, y[i:])
		if a == b || math.IsNaN(a) && math.IsNaN(b) {
			continue
		}
		miss := math.Abs(a-b) / limit
		if math.IsNaN(miss) {
			return math.Inf(1)
		}
		worst = max(worst, miss)
	}
	return worst
}

// floatAt reads the float of type d at the start of b.
func floatAt(d tensor.DType, b []byte) float64 {
	switch d {
	case tensor.FP64:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case tensor.FP32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case tensor.BF16:
		return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
	default:
		return halfToFloat(binary.LittleEndian.Uint16(b))
	}
}

// halfToFloat widens an IEEE half.
func halfToFloat(h uint16) float64 {
	sign, exp, frac := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 != 0 {
		sign = -1
	}
	switch exp {
	case 0:
		return sign * math.Ldexp(frac, -24)
	case 31:
		if frac != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+frac, exp-25)
}

// alike tells whether all members carry the same rows, which would hide that a model mixes them.
func alike(members []infer.Member) bool {
	for i := 1; i < len(members); i++ {
		for k := range members[0].Call.Request.Inputs {
			a := &members[0].Call.Request.Inputs[k]
			b := inputOf(members[i].Call.Request, a.Index)
			if b == nil || !bytes.Equal(flat(&a.Data), flat(&b.Data)) {
				return false
			}
		}
	}
	return true
}
