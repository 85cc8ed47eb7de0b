package generator

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramIsAccurate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	distributions := map[string]func() int64{
		"constant":  func() int64 { return 12345 },
		"small":     func() int64 { return rng.Int64N(100) },
		"uniform":   func() int64 { return rng.Int64N(1e9) },
		"log":       func() int64 { return int64(math.Exp(rng.Float64() * 27)) },
		"two peaks": func() int64 { return []int64{30_000, 200_000_000}[rng.IntN(2)] + rng.Int64N(1000) },
	}
	for name, next := range distributions {
		t.Run(name, func(t *testing.T) {
			var h Histogram
			values := make([]int64, 10_000)
			var sum int64
			for i := range values {
				values[i] = next()
				sum += values[i]
				h.Record(time.Duration(values[i]))
			}
			slices.Sort(values)
			for _, q := range []float64{0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1} {
				rank := max(int(math.Ceil(q*float64(len(values)))), 1)
				want := values[rank-1]
				got := int64(h.Quantile(q))
				if diff := math.Abs(float64(got - want)); diff > float64(want)/subBuckets+0.5 {
					t.Errorf("quantile %g = %d, want %d within 1/128", q, got, want)
				}
			}
			if got, want := h.Mean(), time.Duration(sum/int64(len(values))); !within(got, want, 2) {
				t.Errorf("mean = %d, want %d", got, want)
			}
			if int64(h.Max()) != values[len(values)-1] || h.Count() != uint64(len(values)) {
				t.Errorf("max %d count %d, want %d and %d", h.Max(), h.Count(), values[len(values)-1], len(values))
			}
		})
	}
}

func TestHistogramBucketsMeet(t *testing.T) {
	next := int64(0)
	for i := range numBuckets {
		low, width := bucketRange(i)
		if low != next {
			t.Fatalf("bucket %d starts at %d, the one before ends at %d", i, low, next)
		}
		if bucketOf(low) != i || bucketOf(low+width-1) != i {
			t.Fatalf("bucket %d [%d, %d) holds %d and %d elsewhere", i, low, low+width, bucketOf(low), bucketOf(low+width-1))
		}
		next = low + width
	}
	if next != maxValue+1 {
		t.Errorf("the last bucket ends at %d, want %d", next, int64(maxValue+1))
	}
}

func TestHistogramEnds(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 || h.Max() != 0 {
		t.Error("an empty histogram is not zero")
	}
	h.Record(-5)
	h.Record(24 * time.Hour)
	if h.Quantile(0) != 0 || h.Max() != 24*time.Hour {
		t.Errorf("quantile 0 = %s, max = %s", h.Quantile(0), h.Max())
	}
}

func TestHistogramMergesAndTravels(t *testing.T) {
	var a, b, both Histogram
	for i := range 1000 {
		d := time.Duration(i*i) * time.Microsecond
		both.Record(d)
		if i%3 == 0 {
			a.Record(d)
		} else {
			b.Record(d)
		}
	}
	a.Merge(&b)
	a.Merge(&Histogram{})
	if a != both {
		t.Error("two merged halves differ from the whole")
	}
	text, err := json.Marshal(&both)
	if err != nil {
		t.Fatal(err)
	}
	var back Histogram
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back != both {
		t.Error("a histogram changed on its way through JSON")
	}
	if err := json.Unmarshal([]byte(`{"buckets":[[99999,1]]}`), &back); err == nil {
		t.Error("a bucket that does not exist was accepted")
	}
}

func BenchmarkHistogramRecord(b *testing.B) {
	var h Histogram
	for i := range b.N {
		h.Record(time.Duration(i & 0xfffff))
	}
}
