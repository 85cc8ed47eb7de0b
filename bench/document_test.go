package bench

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
)

func sampleDocument() *Document {
	row := func(name string, median float64) Row {
		e := Estimate{Median: median, Low: median * 0.95, High: median * 1.05, N: 10}
		return Row{Name: name, Version: "1.2", Note: "does <this>", Cost: e, Ratio: Estimate{Median: median / 8, Low: median / 9, High: median / 7, N: 10}, PerSec: e, P50: e, P99: e}
	}
	return &Document{
		Name: "sample", Title: "A sample", Text: "Words.", Command: "sluice bench sample",
		Machine: Machine{CPU: "Abacus & Sons", Cores: 2, Kernel: "6.1", Go: "go1.26", When: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)},
		Goals:   []Goal{{"ratio", "at most 1.5", "1.38", true}, {"rows", "at least 28", "12", false}},
		Comparisons: []Comparison{{
			Plan: Plan{Title: "One & two", Load: "32 connections", Cost: "CPU per request, us", Anchor: "bare", Effort: Effort{Rounds: 10, MaxForeign: 0.1}},
			Rows: []Row{row("bare", 8), row("Sluice", 11)},
		}},
	}
}

func TestDocumentPublishes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "results")
	var out bytes.Buffer
	d := sampleDocument()
	if err := d.publish(folder, &out); err != nil {
		t.Fatal(err)
	}
	md, err := os.ReadFile(filepath.Join(folder, "sample.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"`sluice bench sample`", "Abacus & Sons, 2 cores, kernel 6.1, go1.26, 2026-11-24 06:00 UTC",
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
