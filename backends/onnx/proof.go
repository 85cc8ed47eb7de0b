//go:build cgo

package onnx

import (
	"fmt"
	"time"

	"github.com/sluice-serving/sluice/infer"
)

// warmUp bounds the time that a version spends on runs after its proof.
const warmUp = 2 * time.Second

// prove finds out whether rows of a candidate may share a run, with inputs made up, and warms the version
// up: best effort, on the workers of all its devices. stop ends it early.
func (l *loaded) prove(stop <-chan struct{}) {
	if unranked(l.sessions[0][0].Inputs) {
		if l.maxRows > 0 {
			l.publish(mergePending, "not yet: inputs cannot be made up without their rank; the first real requests decide")
		}
		return
	}
	last := ""
	for _, r := range recipes(l.model.Load().Inputs, l.maxRows > 0) {
		p := prover{loaded: l, stop: stop, sample: sample{
			recipe: r, inputs: l.model.Load().Inputs, batched: l.maxRows > 0,
		}}
		last = p.alone()
		accepted, settled := last == "", l.maxRows == 0
		if accepted && !settled {
			last, settled = p.settle()
		}
		p.drop()
		if accepted && settled {
			p.warm()
			return
		}
	}
	if l.maxRows > 0 {
		l.publish(mergePending, "not yet: no made-up rows prove it, so the first real requests decide ("+last+")")
	}
}

// settle decides on merging, unless the rows neither prove it nor rule it out: then it says how they differ.
func (p *prover) settle() (last string, settled bool) {
	switch d := p.refute(); {
	case d.small:
		return d.why, false
	case d.why != "":
		p.loaded.decide(mergeNever, "never: made-up rows, run together: "+d.why)
	default:
		p.loaded.decide(mergeProven, fmt.Sprintf("up to %d rows: proved with made-up rows", p.loaded.maxRows))
	}
	return "", true
}

// prover runs made-up rows.
type prover struct {
	loaded *loaded
	stop   <-chan struct{}
	sample sample
	rows   [proofRows]*infer.Response // alone
}

// proofRows is how many rows a proof compares.
const proofRows = 5

// alone runs each row by itself, just one if the version is no candidate, and says which the model refused.
func (p *prover) alone() (refusal string) {
	for n := range p.rows {
		if p.rows[n], refusal = p.run(0, []int{n}); refusal != "" || p.loaded.maxRows == 0 {
			return refusal
		}
	}
	return ""
}

func (p *prover) drop() {
	for _, r := range p.rows {
		if r != nil {
			r.Release()
		}
	}
}

// run runs rows on a device. The text says why there is no response.
func (p *prover) run(device int, rows []int) (r *infer.Response, refusal string) {
	var err *infer.Error
	if !p.loaded.version.devices[device].do(p.stop, func(w *worker) { r, err = p.sample.run(w, p.loaded, rows) }) {
		return nil, "interrupted"
	}
	if err != nil {
		return nil, err.Text
	}
	return r, ""
}

// refute compares rows of runs of two and three, each in two orders, with the rows alone.
func (p *prover) refute() difference {
	model := p.loaded.model.Load()
	var small difference
	for _, order := range [][]int{{0, 1}, {1, 0}, {2, 3, 4}, {4, 2, 3}} {
		r, refusal := p.run(0, order)
		if refusal != "" {
			return difference{why: refusal}
		}
		d := difference{why: wrongRows(model, r, int64(len(order)))}
		for i := 0; i < len(order) && d.why == ""; i++ {
			if d = differs(model, p.rows[order[i]], r, int64(i), 1); d.small {
				small, d = d, difference{}
			}
		}
		r.Release()
		if d.why != "" {
			return d
		}
	}
	return small
}

// wrongRows says which output of a run has not as many rows as the run.
func wrongRows(model *infer.Model, r *infer.Response, rows int64) string {
	for i := range r.Outputs {
		if o := &r.Outputs[i]; len(o.Shape) == 0 || o.Shape[0] != rows {
			return fmt.Sprintf("output %q has not one row for each of the run's", model.Outputs[o.Index].Name)
		}
	}
	return ""
}

// warm runs growing numbers of rows on every device, so that the first real requests find what the library
// allocates and tunes on first use.
func (p *prover) warm() {
	started := time.Now()
	for device := range p.loaded.version.devices {
		most := 1
		if p.loaded.merging() == mergeProven {
			most = int(p.loaded.maxRows)
		}
		for n := 1; ; n = min(2*n, most) {
			rows := make([]int, n)
			for i := range rows {
				rows[i] = i
			}
			r, refusal := p.run(device, rows)
			if refusal != "" {
				return
			}
			r.Release()
			if n == most || time.Since(started) > warmUp {
				break
			}
		}
	}
}
