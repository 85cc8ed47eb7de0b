package peer

import (
	"testing"

	"github.com/sluice-serving/sluice/config"
)

func TestPuppetKindRefusesABadScript(t *testing.T) {
	for backend, ok := range map[string]bool{
		"puppet=fixed:2ms,row:20us,slots:1": true,
		"puppet=fixed:soon":                 false,
		"puppet=slots:0":                    false,
	} {
		_, err := config.Load(config.Sources{Flags: []config.Flag{{Name: "backend", Value: backend}}}, []config.Kind{PuppetKind().Config})
		if (err == nil) != ok {
			t.Errorf("--backend %s: %v", backend, err)
		}
	}
}
