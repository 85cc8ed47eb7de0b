package upstream_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/internal/puppet/conformance"
)

// TestConformance puts the runner to the test that all runners pass: with a model that merges, and with one
// that never does.
func TestConformance(t *testing.T) {
	for name, m := range map[string]puppet.TritonModel{"merging": echo("m", 8), "alone": echo("m", 0)} {
		t.Run(name, func(t *testing.T) {
			conformance.TestRunner(t, func(t *testing.T) conformance.Subject {
				b := newBench(t, upstream.Options{Slots: 3}, serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{m}}))
				return conformance.Subject{
					Slots:  b.pool.Fleet(),
					Model:  b.model("m"),
					Memory: b.memory,
					Fill: func(r *infer.Request, rows int64, tag uint32) {
						puppet.Fill(r, b.memory.Slabs, rows, width, tag)
					},
					Check: func(c *infer.Call, rows int64, tag uint32) error {
						return puppet.Answered(c, rows, width, tag)
					},
				}
			})
		})
	}
}

// TestOpenerConformance puts the opener to the test that all openers pass.
func TestOpenerConformance(t *testing.T) {
	conformance.TestOpener(t, func(t *testing.T) conformance.StreamSubject {
		b, _ := scripted(t, decoupled(), func(int64, *puppet.TritonRequest) puppet.TritonVerdict {
			return puppet.TritonVerdict{Responses: 5}
		})
		m := b.model("m")
		return conformance.StreamSubject{
			Opener: b.pool.Open(m), Model: m, Memory: b.memory, Responses: 5,
			Fill: func(r *infer.Request, tag uint32) { puppet.Fill(r, b.memory.Slabs, 1, width, tag) },
			Check: func(r *infer.Response, i int, tag uint32) error {
				want := b.memory.NewRequest()
				defer want.Release()
				puppet.Fill(want, b.memory.Slabs, 1, width, tag)
				got, ask := make([]byte, 4*width), make([]byte, 4*width)
				want.Inputs[0].Data.CopyTo(ask)
				if len(r.Outputs) != 1 || r.Outputs[0].Data.Size() != len(got) {
					return fmt.Errorf("response %d has %d outputs", i, len(r.Outputs))
				}
				if r.Outputs[0].Data.CopyTo(got); !bytes.Equal(got, ask) {
					return fmt.Errorf("response %d is somebody else's", i)
				}
				return nil
			},
		}
	})
}
