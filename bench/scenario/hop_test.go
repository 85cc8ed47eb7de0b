package scenario

import (
	"bytes"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/standin"
	"github.com/sluice-serving/sluice/bench/trial"
)

func TestHop(t *testing.T) {
	if testing.Short() {
		t.Skip("starts whole gateways")
	}
	self := standin.Self(t)
	var words bytes.Buffer
	c, err := Hop(t.Context(), HopOptions{
		Self: self, Only: []string{peer.Edge}, Load: generator.Load{Connections: 4}, Bytes: 64, Effort: trial.Effort{Rounds: 1, MaxForeign: 2}, Block: 100 * time.Millisecond, Words: &words,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, &words)
	}
	for _, name := range []string{peer.Sluice, peer.Bare, peer.Edge} {
		if r, ok := c.Row(name); !ok || r.Cost.Median <= 0 || r.Ratio.N != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
