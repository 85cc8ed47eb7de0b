package message

import (
	"slices"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// A Merger writes the inputs of a run: the rows of all members, one after the other, around views of what they hold.
type Merger struct {
	part slab.List
}

// Merged is an input of all members.
type Merged struct {
	From   *infer.Input // the first member's
	Rows   int64        // the length of the first axis
	Size   int          // of the data
	Copied int          // of that: what is going to be copied
}

// Measure works out how long an input of all members is.
func (g *Merger) Measure(members []infer.Member, in *infer.Input) Merged {
	f := Merged{From: in}
	for i := range members {
		t := InputAt(&members[i], in.Index)
		rows := Span(&members[i])
		size := g.sizeOf(rows, t)
		f.Rows += rows.Of(t)
		f.Size += size
		if size < JoinBelow*t.Data.Len() {
			f.Copied += size
		}
	}
	return f
}

// Views appends the data of input index of all members.
func (g *Merger) Views(c *Composer, members []infer.Member, index int) {
	for i := range members {
		t := InputAt(&members[i], index)
		rows := Span(&members[i])
		if rows.N < 0 {
			c.Views(&t.Data)
			continue
		}
		rows.Append(&g.part, t)
		c.Views(&g.part)
		g.part.Release()
	}
}

// Append appends the data of input index of all members to list.
func (g *Merger) Append(list *slab.List, members []infer.Member, index int) {
	for i := range members {
		rows := Span(&members[i])
		rows.Append(list, InputAt(&members[i], index))
	}
}

// Span returns the rows of a member, as all of them where they are.
func Span(m *infer.Member) infer.Rows {
	if m.Rows.N == m.Call.Request.Rows {
		return infer.AllRows
	}
	return m.Rows
}

// sizeOf returns the bytes of rows of t.
func (g *Merger) sizeOf(rows infer.Rows, t *tensor.Tensor) int {
	switch {
	case rows.N < 0:
		return t.Data.Size()
	case rows.N == 0:
		return 0
	case t.DType != tensor.Bytes:
		return int(int64(t.Data.Size()) / t.Rows() * rows.N)
	}
	rows.Append(&g.part, t)
	size := g.part.Size()
	g.part.Release()
	return size
}

// InputAt returns an input of a member. Members of one run have the same ones.
func InputAt(m *infer.Member, index int) *tensor.Tensor {
	inputs := m.Call.Request.Inputs
	for i := range inputs {
		if inputs[i].Index == index {
			return &inputs[i].Tensor
		}
	}
	panic("BUG: message: members of one run have different inputs")
}

// Asked returns the outputs to ask for, nil for all: what one member asked for, if the others want the same. The
// edge leaves out of an answer what its client did not ask for.
func Asked(model *infer.Model, members []infer.Member) []int {
	outputs := members[0].Call.Request.Outputs
	if len(outputs) == len(model.Outputs) {
		return nil
	}
	for i := range members[1:] {
		if !slices.Equal(members[1+i].Call.Request.Outputs, outputs) {
			return nil
		}
	}
	return outputs
}
