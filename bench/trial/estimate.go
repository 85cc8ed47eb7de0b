package trial

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Estimate is a median over blocks with its bootstrap confidence interval.
type Estimate struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	N      int     `json:"n"`
}

// bootstrapDraws is the number of resamples behind an interval: the ends of a 95 % interval then rest on 100 of them.
const bootstrapDraws = 4000

// estimate is the median of the samples and its 95 % interval by the percentile bootstrap. The same samples and seed
// give the same interval.
func estimate(samples []float64, seed uint64) Estimate {
	if len(samples) == 0 {
		return Estimate{}
	}
	rng := rand.New(rand.NewPCG(seed, 0x5be9c))
	draw := make([]float64, len(samples))
	medians := make([]float64, bootstrapDraws)
	for i := range medians {
		for j := range draw {
			draw[j] = samples[rng.IntN(len(samples))]
		}
		medians[i] = Median(draw)
	}
	slices.Sort(medians)
	return Estimate{
		Median: Median(slices.Clone(samples)),
		Low:    medians[bootstrapDraws*25/1000],
		High:   medians[bootstrapDraws-1-bootstrapDraws*25/1000],
		N:      len(samples),
	}
}

// Median sorts v in place.
func Median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	if n == 0 {
		return 0
	}
	if n%2 == 1 {
		return v[n/2]
	}
	return (v[n/2-1] + v[n/2]) / 2
}

// String is the median with its interval.
func (e Estimate) String() string {
	if e.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%s [%s, %s]", Number(e.Median), Number(e.Low), Number(e.High))
}

// Number prints three digits, or all before the point where there are more.
func Number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	case v > -0.1 && v < 0.1 && v != 0:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
