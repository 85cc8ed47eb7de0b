package generator

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"time"
)

// A histogram value v below 2^subBits has a bucket of its own; above, every power of two is cut into 2^subBits equal
// buckets, so that a bucket is never wider than 1/128 of what it holds.
const (
	subBits    = 7
	subBuckets = 1 << subBits
	maxBits    = 40
	maxValue   = 1<<maxBits - 1
	numBuckets = (maxBits - subBits + 1) * subBuckets
)

// BucketWidth is that of a histogram's buckets, as a share of what they hold: how far apart two equal figures may read.
const BucketWidth = 1. / subBuckets

// Histogram counts durations in log-linear buckets: bounded (35 KiB), exact to 0.8 %, from 1 ns to 18 minutes. What is
// longer is counted in the last bucket and shows in Max. The zero value is empty and ready. It is not safe for
// concurrent use.
type Histogram struct {
	counts [numBuckets]uint64
	count  uint64
	sum    float64
	min    int64
	max    int64
}

// Record counts one duration; a negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	v := max(int64(d), 0)
	if h.count == 0 || v < h.min {
		h.min = v
	}
	h.max = max(h.max, v)
	h.count++
	h.sum += float64(v)
	h.counts[bucketOf(v)]++
}

// Count is the number of durations recorded.
func (h *Histogram) Count() uint64 { return h.count }

// Max is the longest duration recorded, exactly.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Mean is the exact mean, zero when nothing was recorded.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.count))
}

// Quantile is the duration that a share q of the recorded ones does not exceed, within a bucket's width; q is clamped
// to [0, 1]. An empty histogram answers zero.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(min(max(q, 0), 1)*float64(h.count) + 0.999999)
	rank = min(max(rank, 1), h.count)
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if seen >= rank {
			low, width := bucketRange(i)
			return time.Duration(min(max(low+width/2, h.min), h.max))
		}
	}
	panic("BUG: histogram counts do not add up to its count")
}

// Merge adds what o counted.
func (h *Histogram) Merge(o *Histogram) {
	if o.count == 0 {
		return
	}
	if h.count == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.count += o.count
	h.sum += o.sum
	for i, n := range o.counts {
		h.counts[i] += n
	}
}

func bucketOf(v int64) int {
	v = min(v, maxValue)
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(uint64(v)) - subBits - 1
	return (shift+1)*subBuckets + int(v>>shift) - subBuckets
}

func bucketRange(i int) (low, width int64) {
	if i < subBuckets {
		return int64(i), 1
	}
	shift := i/subBuckets - 1
	return int64(subBuckets+i%subBuckets) << shift, 1 << shift
}

// histogramJSON is the form in which a generator process hands its histogram over: only the buckets in use.
type histogramJSON struct {
	Sum     float64     `json:"sum_ns"`
	Min     int64       `json:"min_ns"`
	Max     int64       `json:"max_ns"`
	Buckets [][2]uint64 `json:"buckets"`
}

// MarshalJSON writes the buckets in use as [index, count] pairs.
func (h *Histogram) MarshalJSON() ([]byte, error) {
	out := histogramJSON{Sum: h.sum, Min: h.min, Max: h.max, Buckets: [][2]uint64{}}
	for i, n := range h.counts {
		if n != 0 {
			out.Buckets = append(out.Buckets, [2]uint64{uint64(i), n})
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var in histogramJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("read a histogram: %w", err)
	}
	*h = Histogram{sum: in.Sum, min: in.Min, max: in.Max}
	for _, p := range in.Buckets {
		if p[0] >= numBuckets {
			return fmt.Errorf("read a histogram: bucket %d of %d", p[0], numBuckets)
		}
		h.counts[p[0]] += p[1]
		h.count += p[1]
	}
	return nil
}
