//go:build cgo

package onnx

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/sluice-serving/sluice/backends/onnx/ort"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// maxSample bounds the bytes of one made-up input of one row.
const maxSample = 64 << 20

// recipe says how inputs are made up.
type recipe struct {
	integers int64 // integers are 0 to integers-1
	free     int64 // the length of free axes other than the batch axis
}

// recipes are tried in this order until one settles the matter. Those that differ only in what the inputs do
// not have are left out.
func recipes(inputs []infer.Spec, batched bool) []recipe {
	integers, free := []int64{10}, []int64{32}
	for i := range inputs {
		s := &inputs[i]
		if s.DType.IsInteger() {
			integers = []int64{10, 256, 2}
		}
		for k, d := range s.Dims {
			if d < 0 && (k > 0 || !batched) {
				free = []int64{32, 64}
			}
		}
	}
	var all []recipe
	for _, f := range free {
		for _, n := range integers {
			all = append(all, recipe{n, f})
		}
	}
	return all
}

// sample makes up inputs for rows of a model. Row n of an input is the same in every run, and differs from
// row n+1 wherever its type has room for it: by sign, too, since what a model answers may hang on that.
type sample struct {
	recipe
	inputs  []infer.Spec
	batched bool // axis 0 is the batch axis
}

// shape returns the shape of an input for so many rows, or nil if it cannot be made up.
func (s *sample) shape(spec *infer.Spec, rows int) []int64 {
	shape := make([]int64, len(spec.Dims))
	for i, d := range spec.Dims {
		switch {
		case s.batched && i == 0:
			d = int64(rows)
		case d < 0:
			d = s.free
		}
		shape[i] = d
	}
	if size, err := tensor.ByteSize(spec.DType, shape); err != nil || size > maxSample*int64(max(rows, 1)) {
		return nil
	}
	return shape
}

// row appends one row of input index.
func (s *sample) row(dst []byte, index, n int, elements int64) []byte {
	rng := rand.New(rand.NewPCG(uint64(index)+1, uint64(n)+1))
	d := s.inputs[index].DType
	for i := range elements {
		integer, float := rng.Int64N(s.integers), rng.NormFloat64()
		if i == 0 {
			integer, float = (int64(n)*3+1)%s.integers, math.Copysign(float, float64(n&1)-0.5)
		}
		switch d {
		case tensor.Bool:
			dst = append(dst, byte(integer&1))
		case tensor.Bytes:
			dst = appendText(dst, rng, byte(integer))
		case tensor.FP16:
			dst = binary.LittleEndian.AppendUint16(dst, floatToHalf(float))
		case tensor.BF16:
			dst = binary.LittleEndian.AppendUint16(dst, uint16(math.Float32bits(float32(float))>>16))
		case tensor.FP32:
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(float)))
		case tensor.FP64:
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(float))
		default:
			var b [8]byte
			binary.LittleEndian.PutUint64(b[:], uint64(integer))
			dst = append(dst, b[:d.Size()]...)
		}
	}
	return dst
}

// appendText appends a word, or a few, behind their length.
func appendText(dst []byte, rng *rand.Rand, first byte) []byte {
	n := 1 + rng.IntN(8)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, 'a'+first%26)
	for range n - 1 {
		dst = append(dst, "abcdefghijklmnopqrstuvwxyz    "[rng.IntN(30)])
	}
	return dst
}

// floatToHalf rounds to the IEEE half below in magnitude. It is for numbers of ordinary size: what is too
// small becomes zero, too large infinity.
func floatToHalf(f float64) uint16 {
	bits := math.Float32bits(float32(f))
	sign, exp, frac := uint16(bits>>16&0x8000), int(bits>>23&255)-127+15, uint16(bits>>13&1023)
	switch {
	case exp <= 0:
		return sign
	case exp >= 31:
		return sign | 31<<10
	}
	return sign | uint16(exp)<<10 | frac
}

// run runs the rows of the sample and returns what came out, as a response of w's memory.
func (s *sample) run(w *worker, l *loaded, rows []int) (*infer.Response, *infer.Error) {
	model := l.model.Load()
	session := l.session(w)
	w.frame.Begin(session)
	w.want = w.want[:0]
	for i := range session.Outputs {
		w.frame.Want(&session.Outputs[i])
		w.want = append(w.want, i)
	}
	data := make([][]byte, 0, len(s.inputs))
	for i := range s.inputs {
		spec := &s.inputs[i]
		if spec.Optional {
			continue
		}
		shape := s.shape(spec, len(rows))
		if shape == nil {
			return nil, invalid("input %q is too large to make up", spec.Name)
		}
		b := s.fill(i, shape, rows)
		count, _ := tensor.Elements(shape)
		w.frame.Add(&session.Inputs[i], shape, count, len(b))
		data = append(data, b)
	}
	w.frame.Stage()
	defer w.frame.Release()
	for i, b := range data {
		copy(w.frame.Input(i), b)
	}
	if err := w.frame.Run(nil); err != nil {
		return nil, runError(err)
	}
	return w.collect(model, nil)
}

// fill makes up the data of an input.
func (s *sample) fill(index int, shape []int64, rows []int) []byte {
	elements, _ := tensor.Elements(shape)
	var b []byte
	if !s.batched {
		return s.row(b, index, 0, elements)
	}
	for _, n := range rows {
		b = s.row(b, index, n, elements/int64(len(rows)))
	}
	return b
}

// unranked tells whether an input's shape cannot be made up because its rank is not known.
func unranked(inputs []ort.Port) bool {
	for i := range inputs {
		if !inputs[i].Ranked && !inputs[i].Optional {
			return true
		}
	}
	return false
}
