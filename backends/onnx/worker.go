//go:build cgo

package onnx

import (
	"fmt"

	"github.com/sluice-serving/sluice/backends/onnx/ort"
	"github.com/sluice-serving/sluice/infer"
)

// worker runs batches of its device, one at a time. Its fields belong to its goroutine; frame.Terminate is
// for anybody.
type worker struct {
	device *device
	index  int
	frame  *ort.Frame
	burst  infer.Burst

	// Scratch of the run at hand.
	feeds   []feed
	dims    []int64
	want    []int // places in Model.Outputs
	answers []*infer.Response
	turned  []infer.Member
}

var errUnloaded = &infer.Error{Code: infer.NotReady, Origin: infer.FromBackend, Retry: infer.Unsent, Text: "the model is not loaded"}

var errChanged = &infer.Error{Code: infer.NotReady, Origin: infer.FromBackend, Retry: infer.Unsent, Text: "the model was loaded anew with other inputs or outputs"}

// run runs a batch and finishes it.
func (w *worker) run(b *infer.Batch) {
	w.burst.Begin()
	b.Started = w.burst.Now
	v := b.Model.Handle.(*version)
	switch l := v.acquire(); {
	case l == nil:
		b.Fail(errUnloaded, &w.burst)
	case !l.reads(b.Model):
		l.release()
		b.Fail(errChanged, &w.burst)
	case b.Live() == 0:
		l.release()
		b.Fail(infer.ErrClientGone, &w.burst)
	default:
		w.serve(l, b)
		l.release()
	}
	w.burst.Flush()
}

// serve runs the members merged where that is proven, else one by one.
func (w *worker) serve(l *loaded, b *infer.Batch) {
	if len(b.Members) > 1 && l.merging() != mergeProven {
		w.singly(l, b, "")
		return
	}
	r, fail := w.attempt(l, b.Members, b, false)
	w.burst.Begin()
	b.Ended = w.burst.Now
	switch {
	case fail == nil:
		b.Finish(r, &w.burst)
		r.Release()
	case b.Live() == 0:
		b.Fail(infer.ErrClientGone, &w.burst)
	case len(b.Members) == 1:
		b.Fail(fail, &w.burst)
	case fail == errUnmergeable:
		w.singly(l, b, "")
	default:
		w.singly(l, b, fail.Text)
	}
}

// singly runs every member alone and finishes each as soon as it is done. merged is how the members' merged
// run failed, empty if there was none.
func (w *worker) singly(l *loaded, b *infer.Batch, merged string) {
	failed := 0
	for i := range b.Members {
		if b.Live() == 0 {
			break // nobody waits for the others
		}
		r, fail := w.attempt(l, b.Members[i:i+1], b, merged == "")
		w.burst.Begin()
		b.Ended = w.burst.Now
		if c := b.Members[i].Call; fail != nil {
			failed++
			c.Fail(fail, &w.burst)
		} else {
			c.Finish(infer.Succeeded, r, &w.burst)
			w.answers = append(w.answers, r)
		}
		w.burst.Flush()
	}
	if failed == 0 && len(w.answers) == len(b.Members) {
		if merged != "" {
			l.decide(mergeNever, "never: a merged run failed and its members did not: "+merged)
		} else if l.merging() == mergePending {
			w.proveReal(l, b.Members)
		}
	}
	for i, r := range w.answers {
		r.Release()
		w.answers[i] = nil
	}
	w.answers = w.answers[:0]
	nothing := w.device.mem.NewResponse() // nobody is left to read it
	b.Finish(nothing, &w.burst)
	nothing.Release()
}

// proveReal runs members that were answered alone once merged, and once merged the other way round, and
// compares. Members that are all alike prove nothing.
func (w *worker) proveReal(l *loaded, members []infer.Member) {
	if alike(members) {
		return
	}
	w.turned = w.turned[:0]
	for i := range members {
		w.turned = append(w.turned, members[len(members)-1-i])
	}
	defer clear(w.turned)
	why := ""
	for turn, order := range [][]infer.Member{members, w.turned} {
		r, fail := w.attempt(l, order, nil, true)
		if fail == errUnmergeable {
			return
		}
		if fail != nil {
			why = fail.Text
			break
		}
		first := int64(0)
		for i := range order {
			alone := w.answers[i]
			if turn == 1 {
				alone = w.answers[len(order)-1-i]
			}
			rows := rowsOf(order[i])
			if why = differs(l.model.Load(), alone, r, first, rows).why; why != "" {
				break
			}
			first += rows
		}
		r.Release()
		if why != "" {
			break
		}
	}
	if why != "" {
		l.decide(mergeNever, "never: the first real requests, run together: "+why)
		return
	}
	l.decide(mergeProven, fmt.Sprintf("up to %d rows: proved by the first real requests", l.maxRows))
}

// rowsOf returns the rows of a member.
func rowsOf(m infer.Member) int64 {
	if m.Rows.N < 0 {
		return m.Call.Request.Rows
	}
	return m.Rows.N
}
