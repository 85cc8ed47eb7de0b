package scenario

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/standin"
	"github.com/sluice-serving/sluice/bench/trial"
)

func TestProxyMeasures(t *testing.T) {
	self := standin.Self(t)
	all, err := Proxy(t.Context(), ProxyOptions{
		Self: self, Loads: []generator.Load{{Connections: 2, Streams: 2}}, Sizes: []int{1 << 10, 64 << 10}, Plain: []generator.Load{},
		Only: []string{peer.Relay, directName}, Warmup: 50 * time.Millisecond, Block: 400 * time.Millisecond,
		Effort: trial.Effort{Rounds: 1, MaxRounds: 1, MaxForeign: 100},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || len(all[1].Rows) != 2 {
		t.Fatalf("%d tables, want one a size with two rows", len(all))
	}
	relay, direct := all[1].Rows[0], all[1].Rows[1]
	if relay.Name != peer.Relay || relay.Cost.Median <= 0 || direct.Cost.Median != 0 || direct.PerSec.Median <= 0 {
		t.Errorf("rows %+v and %+v", relay, direct)
	}
	if all[0].Plan.Title != "Passing a call with 1 KiB on, 2x2" || all[0].Plan.Anchor != peer.Relay {
		t.Errorf("plan %+v", all[0].Plan)
	}
}

func TestProxyGoals(t *testing.T) {
	blocks := func(costs map[string]float64) (all []trial.Block) {
		for round := range 10 {
			for name, cost := range costs {
				all = append(all, trial.Block{Subject: name, Round: round, Cost: cost, P50: time.Duration(1000 * cost)})
			}
		}
		return all
	}
	goals := ProxyGoals([]trial.Comparison{
		{Plan: trial.Plan{Title: "Passing a call with 1 KiB on, 8x8"}, Blocks: blocks(map[string]float64{peer.Sluice: 10, peer.HAProxy: 20, peer.Relay: 40})},
		{Plan: trial.Plan{Title: "Passing a call with 1 MiB on, 8x8"}, Blocks: blocks(map[string]float64{peer.Sluice: 12, peer.Nginx: 10})},
		{Plan: trial.Plan{Title: "Passing a call with 1 KiB on, 1x1"}, Blocks: blocks(map[string]float64{peer.Sluice: 10, peer.HAProxy: 20})},
		{Plan: trial.Plan{Title: "Passing a call with 1 MiB on, 64x1"}, Blocks: blocks(map[string]float64{peer.Sluice: 10, peer.HAProxy: 20})},
	})
	var got []string
	for _, g := range goals {
		got = append(got, fmt.Sprintf("%s %s %v", g.Want, g.Got, g.Met))
	}
	want := []string{
		"at most 0.55x HAProxy 0.50 [0.50, 0.50]x true", "at most 0.2x grpc-go proxy 0.25 [0.25, 0.25]x false",
		"at most 1x nginx 1.20 [1.20, 1.20]x false", "at most 1x HAProxy 0.50 [0.50, 0.50]x true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("goals %q, want %q", got, want)
	}
}
