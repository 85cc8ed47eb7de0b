package trial

import (
	"math/rand/v2"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		in   []float64
		want float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := Median(tc.in); got != tc.want {
			t.Errorf("median(%v) = %g, want %g", tc.in, got, tc.want)
		}
	}
}

func TestEstimateIsDeterministic(t *testing.T) {
	samples := []float64{1.1, 0.9, 1.3, 1.0, 1.2, 0.95, 1.05, 1.15, 1.01, 0.99}
	a, b := estimate(samples, 7), estimate(samples, 7)
	if a != b {
		t.Errorf("same samples and seed, two intervals: %+v and %+v", a, b)
	}
	if samples[0] != 1.1 {
		t.Error("the samples were reordered")
	}
	if a.Median != 1.03 || a.N != 10 || a.Low > a.Median || a.High < a.Median || a.Low < 0.9 || a.High > 1.3 {
		t.Errorf("estimate = %+v", a)
	}
	if got := estimate(nil, 1); got != (Estimate{}) {
		t.Errorf("estimate of nothing = %+v", got)
	}
}

// Of many experiments, about 95 % of the intervals must hold the true median.
func TestEstimateCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const experiments = 200
	held := 0
	for i := range experiments {
		samples := make([]float64, 15)
		for j := range samples {
			samples[j] = rng.NormFloat64()
		}
		if e := estimate(samples, uint64(i)); e.Low <= 0 && e.High >= 0 {
			held++
		}
	}
	if held < experiments*88/100 || held == experiments {
		t.Errorf("%d of %d intervals hold the true median, want about 95%%", held, experiments)
	}
}
