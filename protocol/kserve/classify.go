package kserve

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/text"
	"github.com/sluice-serving/sluice/tensor"
)

// ranks tells whether values of type d can be put in order.
func ranks(d tensor.DType) bool { return d.IsFloat() || d.IsInteger() }

// A ranked is a value's place. Higher keys are higher values; the bits are those of the element.
type ranked struct {
	key   uint64
	bits  uint64
	index int
}

// before puts higher values first, and of equal ones the one that stands first.
func (a ranked) before(b ranked) bool {
	return a.key > b.key || a.key == b.key && a.index < b.index
}

// classify replaces p.part, numbers of the given shape, by the k highest values of each row as text,
// "score:index" or "score:index:label", and returns the new shape: [rows, k], or [k] where the first axis
// is not one of rows. Where nobody has said whether it is, a free one is taken for it. k is cut to what a row has.
func (p *Portion) classify(spec *infer.Spec, d tensor.DType, shape []int64, k int, m *infer.Model) []int64 {
	rows, row := int64(1), shape
	byRow := len(shape) > 0 && !m.Rowless && (m.MaxBatch > 0 || len(shape) > 1 && len(spec.Dims) > 0 && spec.Dims[0] < 0)
	if byRow {
		rows, row = shape[0], shape[1:]
	}
	perRow, _ := tensor.Elements(row)
	k = int(min(int64(k), perRow))
	p.r.Start(&p.Part)
	w := &p.labels
	w.Start(p.Pool, &p.made, 0)
	for range rows {
		p.highest(d, int(perRow), k)
		for _, c := range p.top {
			label := ""
			if c.index < len(spec.Labels) {
				label = spec.Labels[c.index]
			}
			writeClass(w, d, c, label)
		}
	}
	w.Flush()
	p.Part.Release()
	p.Part.AppendList(&p.made)
	p.made.Release()
	if byRow {
		p.shape[0], p.shape[1] = rows, int64(k)
		return p.shape[:2]
	}
	p.shape[0] = int64(k)
	return p.shape[:1]
}

// highest sets p.top to the k highest of the next n values, in order. It keeps the best so far in a heap
// whose root is the one to go next.
func (p *Portion) highest(d tensor.DType, n, k int) {
	p.top = p.top[:0]
	for i := range n {
		b := p.r.Fixed(d.Size())
		if k == 0 {
			continue
		}
		c := ranked{key: rankKey(d, b), bits: text.GetUnsigned(b), index: i}
		switch {
		case len(p.top) < k:
			p.top = append(p.top, c)
			for j := len(p.top) - 1; j > 0 && p.top[(j-1)/2].before(p.top[j]); j = (j - 1) / 2 {
				p.top[j], p.top[(j-1)/2] = p.top[(j-1)/2], p.top[j]
			}
		case c.before(p.top[0]):
			p.top[0] = c
			sink(p.top)
		}
	}
	for last := len(p.top) - 1; last > 0; last-- {
		p.top[0], p.top[last] = p.top[last], p.top[0]
		sink(p.top[:last])
	}
}

// sink restores the heap after its root changed.
func sink(h []ranked) {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child].before(h[child+1]) {
			child++
		}
		if !h[i].before(h[child]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// rankKey maps a value to a number that orders as it does. NaN comes last; both zeros are equal.
func rankKey(d tensor.DType, b []byte) uint64 {
	f := 0.0
	switch d {
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64:
		return uint64(text.GetSigned(b)) ^ 1<<63
	case tensor.FP16:
		f = float64(text.HalfToFloat(binary.LittleEndian.Uint16(b)))
	case tensor.BF16:
		f = float64(text.BrainToFloat(binary.LittleEndian.Uint16(b)))
	case tensor.FP32:
		f = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case tensor.FP64:
		f = math.Float64frombits(binary.LittleEndian.Uint64(b))
	default:
		return text.GetUnsigned(b)
	}
	if f != f {
		return 0
	}
	bits := math.Float64bits(f + 0) // -0 + 0 is 0
	if bits>>63 == 1 {
		return ^bits
	}
	return bits | 1<<63
}

// writeClass writes one class as a BYTES element.
func writeClass(w *text.Writer, d tensor.DType, c ranked, label string) {
	w.Room(4 + text.MaxNumber + 22 + len(label))
	at := len(w.Buf)
	w.Buf = append(w.Buf, 0, 0, 0, 0)
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], c.bits)
	w.Buf = text.AppendElement(w.Buf, d, b[:d.Size()])
	w.Buf = append(w.Buf, ':')
	w.Buf = strconv.AppendInt(w.Buf, int64(c.index), 10)
	if label != "" {
		w.Buf = append(append(w.Buf, ':'), label...)
	}
	binary.LittleEndian.PutUint32(w.Buf[at:], uint32(len(w.Buf)-at-4))
}
