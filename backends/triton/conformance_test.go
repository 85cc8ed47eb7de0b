package triton

import (
	"testing"

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
				b := newBench(t, Options{Slots: 3}, serve(t, puppet.TritonOptions{Models: []puppet.TritonModel{m}}))
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
