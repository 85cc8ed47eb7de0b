package telemetry

import (
	"math/bits"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const maxBounds = 62

// HistogramOpts names a histogram and its buckets. Observations and bounds are integers in a unit of the caller's;
// the exposition divides them by PerUnit.
type HistogramOpts struct {
	Opts
	// Bounds are the upper bucket bounds, ascending, at most 62; a last bucket without bound is implied.
	Bounds []int64
	// PerUnit is how many of the caller's units make one of the metric's: PerSecond for durations, 1 (the default)
	// for counts.
	PerUnit int64
}

// PerSecond is the PerUnit of histograms that observe durations.
const PerSecond = int64(time.Second)

// DurationBounds are the buckets of request and phase durations, 50us to 60s.
func DurationBounds() []int64 {
	return scaled(time.Microsecond, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
		500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000)
}

// OverheadBounds are the buckets of the gateway's own time, 2us to 50ms.
func OverheadBounds() []int64 {
	return scaled(time.Microsecond, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000)
}

// RowBounds are the buckets of rows in a batch, the powers of two up to 1024.
func RowBounds() []int64 { return scaled(1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) }

func scaled(unit time.Duration, bounds ...int64) []int64 {
	for i := range bounds {
		bounds[i] *= int64(unit)
	}
	return bounds
}

// buckets is the immutable shape that the histograms of a family share.
type buckets struct {
	bounds  []int64
	perUnit int64
	// start is, for a value of each bit length, the first bucket that can hold it: the scan from there is short.
	start [65]uint8
	// stride is the length of one shard in words: the buckets and the sum, rounded up to cache lines.
	stride int
	shards int
}

func newBuckets(opts HistogramOpts) *buckets {
	b := &buckets{bounds: slices.Clone(opts.Bounds), perUnit: max(opts.PerUnit, 1), shards: shardCount(runtime.GOMAXPROCS(0))}
	if len(b.bounds) == 0 || len(b.bounds) > maxBounds || b.bounds[0] < 0 {
		panic("BUG: metric " + opts.Name + ": needs 1 to 62 bucket bounds, none negative")
	}
	for i := 1; i < len(b.bounds); i++ {
		if b.bounds[i] <= b.bounds[i-1] {
			panic("BUG: metric " + opts.Name + ": bucket bounds do not ascend")
		}
	}
	for n := 1; n < len(b.start); n++ {
		first, _ := slices.BinarySearch(b.bounds, int64(min(uint64(1)<<(n-1), 1<<63-1)))
		b.start[n] = uint8(first)
	}
	const wordsPerLine = cacheLine / 8
	b.stride = (len(b.bounds) + 2 + wordsPerLine - 1) / wordsPerLine * wordsPerLine
	return b
}

func (b *buckets) index(v int64) int {
	i := int(b.start[bits.Len64(uint64(v))])
	for i < len(b.bounds) && v > b.bounds[i] {
		i++
	}
	return i
}

// scaledBounds are the bounds in the metric's unit. Dividing, where multiplying by 1e-9 would not, gives the nearest
// float64, which prints as one expects.
func (b *buckets) scaledBounds() []float64 {
	out := make([]float64, len(b.bounds))
	for i, v := range b.bounds {
		out[i] = float64(v) / float64(b.perUnit)
	}
	return out
}

// Histogram counts observations by size, from any goroutine, without contention. Its cells, and its lines in a scrape,
// come with the first observation: one of a thousand models that nobody calls costs next to nothing.
type Histogram struct {
	buckets *buckets
	words   atomic.Pointer[[]atomic.Int64]
	release func()
}

// Observe counts v, in the unit of the family's bounds. What is negative counts as zero.
func (h *Histogram) Observe(v int64) { h.ObserveAt(shardHint(), v) }

// ObserveDuration counts d in a family whose PerUnit is PerSecond.
func (h *Histogram) ObserveDuration(d time.Duration) { h.ObserveAt(shardHint(), int64(d)) }

// ObserveAt is Observe for a caller that knows a number that is its own.
func (h *Histogram) ObserveAt(hint uint32, v int64) {
	v = max(v, 0)
	words := h.words.Load()
	if words == nil {
		words = h.grow()
	}
	b := h.buckets
	shard := (*words)[int(hint&uint32(b.shards-1))*b.stride:][:b.stride]
	shard[b.index(v)].Add(1)
	shard[b.stride-1].Add(v)
}

func (h *Histogram) grow() *[]atomic.Int64 {
	words := make([]atomic.Int64, h.buckets.shards*h.buckets.stride)
	h.words.CompareAndSwap(nil, &words)
	return h.words.Load()
}

// Totals returns how many values were observed so far, and their sum.
func (h *Histogram) Totals() (count, sum int64) {
	counts, sum := h.snapshot()
	for _, n := range counts {
		count += n
	}
	return count, sum
}

// Release gives back the reference that With took.
func (h *Histogram) Release() { h.release() }

// snapshot sums the shards: the counts by bucket, not cumulated, and the sum of what was observed.
func (h *Histogram) snapshot() (counts []int64, sum int64) {
	b := h.buckets
	counts = make([]int64, len(b.bounds)+1)
	words := h.words.Load()
	if words == nil {
		return counts, 0
	}
	for s := range b.shards {
		shard := (*words)[s*b.stride:][:b.stride]
		for i := range counts {
			counts[i] += shard[i].Load()
		}
		sum += shard[b.stride-1].Load()
	}
	return counts, sum
}

func (h *Histogram) export(desc *prometheus.Desc, values []string) prometheus.Metric {
	if h.words.Load() == nil {
		return nil
	}
	counts, sum := h.snapshot()
	bounds := h.buckets.scaledBounds()
	cumulated := make(map[float64]uint64, len(bounds))
	var total uint64
	for i, n := range counts {
		total += uint64(n)
		if i < len(bounds) {
			cumulated[bounds[i]] = total
		}
	}
	return prometheus.MustNewConstHistogram(desc, total, float64(sum)/float64(h.buckets.perUnit), cumulated, values...)
}

// HistogramFamily is a histogram by label values.
type HistogramFamily struct{ family *family[*Histogram] }

// NewHistogramFamily registers a histogram.
func NewHistogramFamily(r *Registry, opts HistogramOpts) *HistogramFamily {
	b := newBuckets(opts)
	return &HistogramFamily{newFamily(r, KindHistogram, opts.Opts, b.scaledBounds(), func(release func()) *Histogram {
		return &Histogram{buckets: b, release: release}
	})}
}

// With returns the histogram for values, one a label, and takes a reference on its series: give it back by Release.
func (f *HistogramFamily) With(values ...string) *Histogram { return f.family.with(values) }
