package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/trial"
)

func sampleDocument() *Document {
	row := func(name string, median float64) trial.Row {
		e := trial.Estimate{Median: median, Low: median * 0.95, High: median * 1.05, N: 10}
		return trial.Row{Name: name, Version: "1.2", Note: "does <this>", Cost: e, Ratio: trial.Estimate{Median: median / 8, Low: median / 9, High: median / 7, N: 10}, PerSec: e, P50: e, P99: e}
	}
	return &Document{
		Name: "sample", Title: "A sample", Text: "Words.", Command: "sluice bench sample",
		Machine: machine.Machine{CPU: "Abacus & Sons", Cores: 2, Kernel: "6.1", TCP: "cubic", Go: "go1.26", When: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)},
		Goals:   []trial.Goal{{What: "ratio", Want: "at most 1.5", Got: "1.38", Met: true}, {What: "rows", Want: "at least 28", Got: "12"}},
		Comparisons: []trial.Comparison{{
			Plan: trial.Plan{Title: "One & two", Load: "32 connections", Cost: "CPU per request, us", Anchor: "bare", Effort: trial.Effort{Rounds: 10, MaxForeign: 0.1}},
			Rows: []trial.Row{row("bare", 8), row("Sluice", 11)},
		}},
	}
}

func TestDocumentPublishes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "results")
	var out bytes.Buffer
	d := sampleDocument()
	if err := d.Publish(folder, &out); err != nil {
		t.Fatal(err)
	}
	md, err := os.ReadFile(filepath.Join(folder, "sample.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"`sluice bench sample`", "Abacus & Sons, 2 cores, kernel 6.1 with cubic, go1.26, 2026-11-24 06:00 UTC",
		"| ratio | at most 1.5 | 1.38 | yes |", "| rows | at least 28 | 12 | **no** |",
		"| Sluice 1.2 | 11.0 [10.4, 11.6] | 1.38 [1.22, 1.57] |", "![One & two](sample-1.svg)",
	} {
		if !strings.Contains(string(md), want) {
			t.Errorf("the report lacks %q:\n%s", want, md)
		}
	}
	if strings.Contains(out.String(), "svg") || !strings.Contains(out.String(), "| Sluice 1.2 |") {
		t.Errorf("printed:\n%s", &out)
	}
	text, err := os.ReadFile(filepath.Join(folder, "sample.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back Document
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got := back.Comparisons[0].Rows[1].Cost; got != d.Comparisons[0].Rows[1].Cost {
		t.Errorf("JSON holds %+v", got)
	}
}

// What went wrong must stand in the report, and what did not must not.
func TestDocumentTellsWhatFailed(t *testing.T) {
	for _, anchor := range []string{"good", "bad"} {
		c := trial.Comparison{Plan: trial.Plan{Anchor: anchor, Effort: trial.Effort{Rounds: 3}}, Rows: []trial.Row{
			{Name: "good", Cost: trial.Estimate{N: 3}, Ratio: trial.Estimate{N: 3}}, {Name: "bad", Failed: "broken", Cost: trial.Estimate{N: 1}},
		}}
		if anchor == "bad" {
			c.Rows[0].Ratio.N = 1
		}
		text := string((&Document{Comparisons: []trial.Comparison{c}}).Markdown(false))
		if !strings.Contains(text, "bad failed and was measured no further") || strings.Contains(text, "wanted rounds were undisturbed") {
			t.Errorf("anchor %s: the report is\n%s", anchor, text)
		}
	}
}

func TestDocumentTellsThatNothingWasMeasuredWell(t *testing.T) {
	c := trial.Comparison{
		Plan: trial.Plan{Anchor: "a", Effort: trial.Effort{Rounds: 2}}, Rows: []trial.Row{{Name: "a"}},
		Blocks: []trial.Block{{Disturbed: true}, {Disturbed: true}, {Disturbed: true}}, Disturbed: 3,
	}
	doc := Document{Name: "x", Title: "X", Comparisons: []trial.Comparison{c}}
	if got := string(doc.Markdown(false)); !strings.Contains(got, "Only 0 of 2 wanted rounds were undisturbed.") || !strings.Contains(got, "3 of 3 blocks were left out") {
		t.Errorf("the report:\n%s", got)
	}
	if got := string(comparisonPlot(&c)); !strings.Contains(got, "no undisturbed block") {
		t.Errorf("the plot:\n%s", got)
	}
}

func TestPlotIsWellFormed(t *testing.T) {
	d := sampleDocument()
	svg := comparisonPlot(&d.Comparisons[0])
	dec := xml.NewDecoder(bytes.NewReader(svg))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	for _, want := range []string{"One &amp; two", ">Sluice 1.2<", ">11.0  (1.38x)<", "CPU per request, us: median and 95 % interval", ">0<", ">12<"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("the plot lacks %q:\n%s", want, svg)
		}
	}
}

func TestTickStep(t *testing.T) {
	for top, want := range map[float64]float64{0: 1, 0.8: 0.1, 1: 0.2, 8.5: 2, 12: 2, 40: 5, 99: 20, 1234: 200} {
		if got := tickStep(top); got < want*0.999 || got > want*1.001 {
			t.Errorf("tickStep(%g) = %g, want %g", top, got, want)
		}
	}
}
