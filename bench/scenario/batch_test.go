package scenario

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/standin"
	"github.com/sluice-serving/sluice/bench/trial"
)

func TestParseBatches(t *testing.T) {
	const text = `# HELP sluice_batch_rows Rows.
sluice_batch_rows_bucket{model="row-on",version="1",le="32"} 7
sluice_batch_rows_sum{model="row-on",version="1"} 96
sluice_batch_rows_count{model="row-on",version="1"} 3
sluice_batch_rows_sum{model="row-on",version="2"} 4
sluice_batch_rows_count{model="row-on",version="2"} 1
sluice_batch_rows_sum{model="row-off",version="1"} 1e3
sluice_batches_total{model="row-on",cause="slot",version="1"} 9
`
	got, err := parseBatches(text, "row-on")
	if want := (batchTotals{rows: 100, count: 4}); err != nil || got != want {
		t.Errorf("parseBatches = %+v, %v, want %+v", got, err, want)
	}
	if got, _ := parseBatches(text, "row"); got != (batchTotals{}) {
		t.Errorf("a model that is not there has %+v", got)
	}
	if _, err := parseBatches("sluice_batch_rows_sum{model=\"a\"} x\n", "a"); err == nil {
		t.Error("a value that is no number passed")
	}
}

func TestBatchGoals(t *testing.T) {
	comparison := func(title string, ratio, rows, p50 float64) trial.Comparison {
		row := func(name string, ratio, rows, p50 float64) trial.Row {
			return trial.Row{Name: name, Ratio: trial.Estimate{Median: ratio, Low: ratio, High: ratio, N: 1}, Extra: trial.Estimate{Median: rows}, P50: trial.Estimate{Median: p50}}
		}
		return trial.Comparison{Plan: trial.Plan{Title: title}, Rows: []trial.Row{row(on, ratio, rows, p50), row(off, 1, 1, 2000)}}
	}
	for _, tc := range []struct {
		name string
		in   trial.Comparison
		met  []bool
	}{
		{"good", comparison("64 clients", 0.04, 31, 0), []bool{true, true}},
		{"few rows", comparison("64 clients", 0.04, 27.9, 0), []bool{false, true}},
		{"small gain", comparison("64 clients", 0.051, 28, 0), []bool{true, false}},
		{"quick", comparison("1 client", 1, 1, 2060), []bool{true}},
		{"late", comparison("1 client", 1, 1, 2061), []bool{false}},
		{"digits", comparison("digits, 1 client", 1.005, 1, 9), []bool{true}},
		{"digits slower", comparison("digits, 64 clients", 1.02, 1, 9), []bool{false}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			goals := batchGoals([]trial.Comparison{tc.in})
			if len(goals) != len(tc.met) {
				t.Fatalf("%d goals, want %d", len(goals), len(tc.met))
			}
			for i, g := range goals {
				if g.Met != tc.met[i] {
					t.Errorf("%+v, want met %v", g, tc.met[i])
				}
			}
		})
	}
	unmeasured := comparison("64 clients", 0, 0, 0)
	unmeasured.Rows[0].Ratio.N = 0
	if goals := batchGoals([]trial.Comparison{unmeasured}); len(goals) != 0 {
		t.Errorf("goals of a comparison without blocks: %+v", goals)
	}
}

// One short round of each table that needs no model library: the whole gateway in and out of this process.
func TestBatch(t *testing.T) {
	if testing.Short() {
		t.Skip("starts whole gateways")
	}
	self := standin.Self(t)
	var words bytes.Buffer
	all, goals, err := Batch(t.Context(), BatchOptions{
		Self: self, Digits: t.TempDir(), Only: "One device", Effort: trial.Effort{Rounds: 1, MaxForeign: 2}, Block: 200 * time.Millisecond, Words: &words,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, &words)
	}
	if len(all) != 3 || len(goals) != 5 {
		t.Fatalf("%d tables, %d goals, want 3 and 5", len(all), len(goals))
	}
	for _, c := range all {
		with, _ := c.Row(on)
		without, _ := c.Row(off)
		if without.Extra.Median != 1 || with.Ratio.N != 1 {
			t.Errorf("%s: %g rows a batch with batching off, %d pairs", c.Plan.Title, without.Extra.Median, with.Ratio.N)
		}
		if strings.Contains(c.Plan.Title, "64") && (with.Extra.Median < 2 || with.PerSec.Median < without.PerSec.Median) {
			t.Errorf("%s: %g rows a batch, %g/s beside %g/s", c.Plan.Title, with.Extra.Median, with.PerSec.Median, without.PerSec.Median)
		}
	}
}

// One short round in front of a real Triton, if there is one.
func TestBatchTriton(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a real Triton")
	}
	self := standin.Self(t)
	var words bytes.Buffer
	all, goals, err := Batch(t.Context(), BatchOptions{
		Self: self, Triton: filepath.Join("..", "..", ".cache", "triton", "tritonserver"), TritonModels: filepath.Join("..", "..", "tests", "triton", "models"),
		Only: "real Triton", Effort: trial.Effort{Rounds: 1, MaxForeign: 2}, Block: 200 * time.Millisecond, Words: &words,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, &words)
	}
	if strings.Contains(words.String(), "left out: triton: "+peer.ErrNotInstalled.Error()) {
		t.Skip("no Triton is installed: make parts fetches it")
	}
	if len(all) != 2 || len(goals) != 1 {
		t.Fatalf("%d tables, %d goals, want 2 and 1\n%s", len(all), len(goals), &words)
	}
	for _, c := range all {
		for _, r := range c.Rows {
			if r.Failed != "" || r.PerSec.N != 1 || r.Version == "" && r.Name != laneMerges {
				t.Errorf("%s: %s %q: %d blocks, %s", c.Plan.Title, r.Name, r.Version, r.PerSec.N, r.Failed)
			}
		}
		lanes, _ := c.Row(laneMerges)
		alone, _ := c.Row(nobodyMerges)
		if alone.Extra.Median != 1 || (lanes.Extra.Median > 1) != strings.Contains(c.Plan.Title, "64") {
			t.Errorf("%s: %g rows a run by the lanes, %g with nobody that merges", c.Plan.Title, lanes.Extra.Median, alone.Extra.Median)
		}
	}
}

func TestTritonGoals(t *testing.T) {
	for _, tc := range []struct {
		lanes, triton []float64
		met           bool
	}{{[]float64{30, 31, 32}, []float64{12, 11, 10}, true}, {[]float64{10, 11, 12}, []float64{12, 11, 10}, false}} {
		c := trial.Comparison{Plan: trial.Plan{Title: "64 clients"}}
		for i := range tc.lanes {
			c.Blocks = append(c.Blocks, trial.Block{Subject: laneMerges, Round: i, PerSec: tc.lanes[i]}, trial.Block{Subject: tritonMerges, Round: i, PerSec: tc.triton[i]})
		}
		if goals := tritonGoals(&c); len(goals) != 1 || goals[0].Met != tc.met {
			t.Errorf("%v beside %v: %+v", tc.lanes, tc.triton, goals)
		}
		c.Plan.Title = "1 client"
		if goals := tritonGoals(&c); goals != nil {
			t.Errorf("goals of a single client: %+v", goals)
		}
	}
}
