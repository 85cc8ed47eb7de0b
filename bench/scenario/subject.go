package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/trial"
)

// processSubject measures a server with a generator process.
func processSubject(self machine.Self, s *peer.Server, opts generator.Options) trial.Subject {
	return trial.Subject{Name: s.Name, Version: s.Version, Note: s.Note, Measure: func(ctx context.Context) (trial.Block, error) {
		if err := s.Alive(); err != nil {
			return trial.Block{}, err
		}
		opts := opts
		opts.Target = s.Target
		opts.Processes = s.Processes()
		r, err := generator.RunProcess(ctx, self, opts)
		if err != nil {
			return trial.Block{}, err
		}
		return blockOf(&r)
	}}
}

// blockOf is a run as a block. Wrong answers end a comparison.
func blockOf(r *generator.Report) (trial.Block, error) {
	if n := r.Errors.Total(); n > 0 {
		return trial.Block{}, fmt.Errorf("%d of %d requests got no right answer: %s", n, r.Completed, r.Errors.First)
	}
	if r.Completed == 0 {
		return trial.Block{}, errors.New("no request was answered")
	}
	return trial.Block{
		Cost:    float64(r.CPU.Target) / float64(r.Completed) / 1e3,
		PerSec:  r.PerSecond(),
		P50:     r.Latency.Quantile(0.5),
		P99:     r.Latency.Quantile(0.99),
		P999:    r.Latency.Quantile(0.999),
		Foreign: r.CPU.Foreign(),
		Lag:     r.Lag.Quantile(0.99),
		// Its latencies would be the generator's.
		Disturbed: r.Late() != nil,
	}, nil
}

// anchorOf is the wanted anchor, or the first subject where that is not measured.
func anchorOf(subjects []trial.Subject, wanted string) string {
	if slices.ContainsFunc(subjects, func(s trial.Subject) bool { return s.Name == wanted }) || len(subjects) == 0 {
		return wanted
	}
	return subjects[0].Name
}

// tellBlock says each block on a line as it was measured.
func tellBlock(w io.Writer) func(trial.Block) {
	return func(b trial.Block) {
		mark := ""
		if b.Lag > 0 {
			mark = fmt.Sprintf("  generator's lag %s", b.Lag.Round(time.Microsecond))
		}
		if b.Disturbed {
			mark += "  disturbed, left out"
		}
		fmt.Fprintf(w, "round %2d  %-28s %8.2f us  %9.0f/s  p50 %-9s p99 %-9s other work %4.1f%%%s\n",
			b.Round, b.Subject, b.Cost, b.PerSec, b.P50.Round(time.Microsecond), b.P99.Round(time.Microsecond), 100*b.Foreign, mark)
	}
}
