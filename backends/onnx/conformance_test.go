//go:build cgo

package onnx

import (
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/internal/puppet/conformance"
)

// TestConformance puts the runner to the test that all runners pass: with a model that merges, and with one
// that never does. The numbers of puppet are positive, so relu is its echo.
func TestConformance(t *testing.T) {
	for name, config := range map[string]string{"relu": "", "relu-alone": "max_batch_size: 0"} {
		t.Run(name, func(t *testing.T) {
			conformance.TestRunner(t, func(t *testing.T) conformance.Subject {
				b := newBench(t, Options{Repository: testdata(t, map[string]string{name: config})})
				return conformance.Subject{
					Slots:  b.group,
					Model:  b.model(t, name, "1"),
					Memory: b.memory,
					Fill: func(r *infer.Request, rows int64, tag uint32) {
						puppet.Fill(r, b.memory.Slabs, rows, 4, tag)
					},
					Check: func(c *infer.Call, rows int64, tag uint32) error { return puppet.Answered(c, rows, 4, tag) },
				}
			})
		})
	}
}
