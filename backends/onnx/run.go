//go:build cgo

package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/onnx/ort"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

// oneSlab is the size up to which all outputs of a run share a slab.
const oneSlab = 64 << 10

// feed is one input of the run at hand.
type feed struct {
	index int     // in Model.Inputs
	shape []int64 // of all members together
	size  int     // bytes
}

// attempt runs members together, which are at least one, and returns the response of them all. key names
// the run to Abort. With all, it computes every output, else those that the members asked for.
func (w *worker) attempt(l *loaded, members []infer.Member, key *infer.Batch, all bool) (*infer.Response, *infer.Error) {
	model := l.model.Load()
	if err := w.gather(l, model, members); err != nil {
		return nil, err
	}
	w.choose(model, members, all)
	session := l.session(w)
	w.frame.Begin(session)
	for _, i := range w.want {
		w.frame.Want(&session.Outputs[i])
	}
	for i := range w.feeds {
		f := &w.feeds[i]
		count, _ := tensor.Elements(f.shape) // checked by gather
		w.frame.Add(&session.Inputs[f.index], f.shape, count, f.size)
	}
	w.frame.Stage()
	defer w.frame.Release()
	if err := w.fill(model, members); err != nil {
		return nil, err
	}
	var run any // a nil *Batch would be a key
	if key != nil {
		run = key
	}
	if err := w.frame.Run(run); err != nil {
		return nil, runError(err)
	}
	return w.collect(model, members)
}

// gather checks the inputs of every member and lays out the run's.
func (w *worker) gather(l *loaded, model *infer.Model, members []infer.Member) *infer.Error {
	w.feeds, w.dims = w.feeds[:0], w.dims[:0]
	first := members[0].Call.Request
	for i := range first.Inputs {
		in := &first.Inputs[i]
		if slices.ContainsFunc(w.feeds, func(f feed) bool { return f.index == in.Index }) {
			return invalid("input %q is there twice", model.Inputs[in.Index].Name)
		}
		if len(members) > 1 && !l.rows[in.Index] {
			return errUnmergeable
		}
		at := len(w.dims)
		w.dims = append(w.dims, in.Shape...)
		w.feeds = append(w.feeds, feed{index: in.Index, shape: w.dims[at:len(w.dims):len(w.dims)]})
	}
	for i := range model.Inputs {
		if s := &model.Inputs[i]; !s.Optional && !slices.ContainsFunc(w.feeds, func(f feed) bool { return f.index == i }) {
			return invalid("input %q is missing", s.Name)
		}
	}
	for i := range w.feeds {
		if err := w.measure(&w.feeds[i], model, members); err != nil {
			return err
		}
	}
	return nil
}

// errUnmergeable is the answer to a merge that the members do not allow: it makes serve run them alone.
var errUnmergeable = &infer.Error{Code: infer.Internal, Origin: infer.FromGateway, Text: "requests that do not go together"}

// measure adds up the bytes and rows of one input over the members.
func (w *worker) measure(f *feed, model *infer.Model, members []infer.Member) *infer.Error {
	spec := &model.Inputs[f.index]
	rows := int64(0)
	for i := range members {
		in := inputOf(members[i].Call.Request, f.index)
		if in == nil || len(in.Shape) != len(f.shape) || len(members[i].Call.Request.Inputs) != len(w.feeds) {
			return errUnmergeable
		}
		if err := check(spec, &in.Tensor); err != nil {
			return err
		}
		if len(members) > 1 && !slices.Equal(in.Shape[1:], f.shape[1:]) {
			return errUnmergeable
		}
		if part := members[i].Rows; part.N >= 0 && part.N != in.Rows() {
			rows += part.N
			var list slab.List // a part of an oversize request: rare, and large anyhow
			part.Append(&list, &in.Tensor)
			f.size += list.Size()
			list.Release()
			continue
		}
		rows += in.Rows()
		f.size += in.Data.Size()
	}
	if len(f.shape) > 0 {
		f.shape[0] = rows
	}
	return nil
}

func inputOf(r *infer.Request, index int) *infer.Input {
	for i := range r.Inputs {
		if r.Inputs[i].Index == index {
			return &r.Inputs[i]
		}
	}
	return nil
}

// check is the last look at a tensor before C believes it.
func check(spec *infer.Spec, t *tensor.Tensor) *infer.Error {
	if t.DType != spec.DType {
		return invalid("input %q: datatype is %s, the model takes %s", spec.Name, t.DType, spec.DType)
	}
	size, err := tensor.ByteSize(t.DType, t.Shape)
	if err != nil {
		return invalid("input %q: %v", spec.Name, err)
	}
	if got := int64(t.Data.Size()); got != size && (t.DType != tensor.Bytes || got < size) {
		least := ""
		if t.DType == tensor.Bytes {
			least = "at least "
		}
		return invalid("input %q: expected %s%d bytes for shape %s, got %d", spec.Name, least, size, tensor.ShapeString(t.Shape), got)
	}
	if spec.Dims == nil {
		return nil
	}
	if len(t.Shape) != len(spec.Dims) {
		return invalid("input %q: shape %s has %d dimensions, the model takes %d", spec.Name, tensor.ShapeString(t.Shape), len(t.Shape), len(spec.Dims))
	}
	for i, d := range spec.Dims {
		if d >= 0 && t.Shape[i] != d {
			return invalid("input %q: shape %s does not fit the model's %s", spec.Name, tensor.ShapeString(t.Shape), tensor.ShapeString(spec.Dims))
		}
	}
	return nil
}

func invalid(format string, args ...any) *infer.Error {
	return &infer.Error{Code: infer.Invalid, Origin: infer.FromClient, Retry: infer.Never, Text: fmt.Sprintf(format, args...)}
}

// choose decides which outputs the run computes: those that every member asked for alike, else all.
func (w *worker) choose(model *infer.Model, members []infer.Member, all bool) {
	w.want = w.want[:0]
	asked := members[0].Call.Request.Outputs
	for i := range members {
		all = all || !slices.Equal(members[i].Call.Request.Outputs, asked)
	}
	if !all {
		for _, i := range asked {
			if !slices.Contains(w.want, i) {
				w.want = append(w.want, i)
			}
		}
	}
	if len(w.want) == 0 {
		for i := range model.Outputs {
			w.want = append(w.want, i)
		}
	}
}

// fill copies the members' data into the staging memory.
func (w *worker) fill(model *infer.Model, members []infer.Member) *infer.Error {
	for i := range w.feeds {
		f := &w.feeds[i]
		dst := w.frame.Input(i)
		off := 0
		for k := range members {
			in := inputOf(members[k].Call.Request, f.index)
			if part := members[k].Rows; part.N >= 0 && part.N != in.Rows() {
				var list slab.List
				part.Append(&list, &in.Tensor)
				off += list.CopyTo(dst[off:])
				list.Release()
				continue
			}
			off += in.Data.CopyTo(dst[off:])
		}
		switch spec := &model.Inputs[f.index]; spec.DType {
		case tensor.Bool:
			for k, x := range dst {
				if x > 1 {
					dst[k] = 1 // C++ knows no third truth value
				}
			}
		case tensor.Bytes:
			if n, _ := tensor.Elements(f.shape); !wellFormed(dst, n) {
				return invalid("input %q: the lengths of its %d elements do not agree with its %d bytes", spec.Name, n, len(dst))
			}
		}
	}
	return nil
}

// wellFormed tells whether b is exactly n elements, each behind its length.
func wellFormed(b []byte, n int64) bool {
	for ; n > 0; n-- {
		if len(b) < 4 {
			return false
		}
		size := int64(binary.LittleEndian.Uint32(b))
		if size > int64(len(b)-4) {
			return false
		}
		b = b[4+size:]
	}
	return len(b) == 0
}

// collect copies the outputs of a run into slabs.
func (w *worker) collect(model *infer.Model, members []infer.Member) (*infer.Response, *infer.Error) {
	rows := int64(-1)
	if len(members) > 1 {
		rows = 0
		for i := range members {
			rows += rowsOf(members[i])
		}
	}
	total := 0
	for i, index := range w.want {
		o := w.frame.Output(i)
		if err := checkOutput(&model.Outputs[index], o, rows); err != nil {
			return nil, err
		}
		total += o.Size
	}
	r := w.device.mem.NewResponse()
	var shared *slab.Slab
	if total <= oneSlab && total > 0 {
		shared = w.device.mem.Slabs.Get(total)
		defer shared.Release()
	}
	off := 0
	for i, index := range w.want {
		o := w.frame.Output(i)
		out := r.AddOutput()
		out.Index, out.DType = index, dtypeOf(o.Elem)
		out.Shape = r.Dims(len(o.Shape))
		copy(out.Shape, o.Shape)
		if o.Size == 0 {
			continue
		}
		var view slab.View
		if shared != nil {
			view = shared.View(off, o.Size)
			off += o.Size
			out.Data.Append(view)
		} else {
			view = w.device.mem.Slabs.Get(o.Size).View(0, o.Size)
			out.Data.AppendOwned(view)
		}
		if err := w.frame.Copy(i, view.B); err != nil {
			r.Release()
			return nil, runError(err)
		}
	}
	return r, nil
}

// checkOutput returns why an output cannot be passed on. rows is what its first axis must be, -1: anything.
func checkOutput(spec *infer.Spec, o ort.Output, rows int64) *infer.Error {
	if dtypeOf(o.Elem) == tensor.Invalid {
		return badOutput("output %q holds no tensor that the protocol can carry", spec.Name)
	}
	if rows >= 0 && (len(o.Shape) == 0 || o.Shape[0] != rows) {
		return badOutput("output %q has shape %s for %d rows", spec.Name, tensor.ShapeString(o.Shape), rows)
	}
	return nil
}

func badOutput(format string, args ...any) *infer.Error {
	return &infer.Error{Code: infer.BadBackend, Origin: infer.FromBackend, Retry: infer.Never, Text: fmt.Sprintf(format, args...)}
}

// runError turns what the library says of a run into an answer.
func runError(err error) *infer.Error {
	e := &infer.Error{Code: infer.Internal, Origin: infer.FromBackend, Retry: infer.Never, Cause: err}
	var o *ort.Error
	if errors.As(err, &o) && o.Code == ort.InvalidArgument {
		e.Code = infer.Invalid
	}
	e.Text = "the model's run failed: " + backends.PublicText(err.Error())
	return e
}
