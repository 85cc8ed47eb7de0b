package router

import (
	"math"
	"sync/atomic"
)

// maxSlots bounds the length of a split's sequence. At 10,000 a weight is kept to a hundredth of a
// percentage point.
const maxSlots = 10_000

// split sends consecutive requests to targets in shares that follow their weights by construction: a fixed
// sequence, walked by a counter.
type split struct {
	seq  []uint16 // indexes of targets
	next *atomic.Uint64
}

// newSplit returns a split by weights, which are not negative and not all zero.
func newSplit(weights []float64, next *atomic.Uint64) *split {
	return &split{seq: interleave(slots(weights)), next: next}
}

// pick returns the index of the target for the next request.
func (s *split) pick() int {
	if len(s.seq) == 1 {
		return int(s.seq[0])
	}
	return int(s.seq[(s.next.Add(1)-1)%uint64(len(s.seq))])
}

// slots turns weights into whole numbers of slots in the same proportions, as few as keep them exact, or
// maxSlots of them.
func slots(weights []float64) []int {
	total := 0.0
	whole := true
	for _, w := range weights {
		total += w
		whole = whole && w == math.Trunc(w) && w < 1<<31
	}
	counts := make([]int, len(weights))
	if whole {
		d := 0
		for i, w := range weights {
			counts[i] = int(w)
			d = gcd(d, counts[i])
		}
		if int(total)/d <= maxSlots {
			for i := range counts {
				counts[i] /= d
			}
			return counts
		}
	}
	return round(weights, total)
}

// round shares maxSlots out by largest remainder; a weight above zero gets at least one.
func round(weights []float64, total float64) []int {
	counts := make([]int, len(weights))
	rest := make([]float64, len(weights))
	left := maxSlots
	for i, w := range weights {
		exact := w / total * maxSlots
		counts[i] = int(exact)
		rest[i] = exact - float64(counts[i])
		if w > 0 && counts[i] == 0 {
			counts[i], rest[i] = 1, 0
		}
		left -= counts[i]
	}
	for left > 0 {
		best := 0
		for i := range rest {
			if rest[i] > rest[best] {
				best = i
			}
		}
		counts[best]++
		rest[best] = 0
		left--
	}
	return counts
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// interleave lays the slots out so that every stretch of the sequence holds each target in proportion: each
// step gives the slot to the target that is furthest behind its share.
func interleave(counts []int) []uint16 {
	total := 0
	for _, n := range counts {
		total += n
	}
	seq := make([]uint16, total)
	behind := make([]int, len(counts))
	for i := range seq {
		best := 0
		for t, n := range counts {
			behind[t] += n
			if behind[t] > behind[best] {
				best = t
			}
		}
		behind[best] -= total
		seq[i] = uint16(best)
	}
	return seq
}
