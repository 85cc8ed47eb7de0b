package telemetry

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Counter counts up, from any goroutine, without contention.
type Counter struct {
	cells   cells
	release func()
}

// Inc adds one.
func (c *Counter) Inc() { c.cells.at(shardHint()).Add(1) }

// Add adds n, which is not negative.
func (c *Counter) Add(n int64) { c.cells.at(shardHint()).Add(n) }

// AddAt is Add for a caller that knows a number that is its own, such as a worker's or a connection's index.
func (c *Counter) AddAt(hint uint32, n int64) { c.cells.at(hint).Add(n) }

// Value is the count so far.
func (c *Counter) Value() int64 { return c.cells.sum() }

// Release gives back the reference that With took.
func (c *Counter) Release() { c.release() }

func (c *Counter) export(desc *prometheus.Desc, values []string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(c.Value()), values...)
}

// CounterFamily is a counter by label values.
type CounterFamily struct{ family *family[*Counter] }

// NewCounterFamily registers a counter. Its name ends in _total.
func NewCounterFamily(r *Registry, opts Opts) *CounterFamily {
	return &CounterFamily{newFamily(r, KindCounter, opts, nil, func(release func()) *Counter {
		return &Counter{cells: newCells(), release: release}
	})}
}

// With returns the counter for values, one a label, and takes a reference on its series: give it back by Release.
func (f *CounterFamily) With(values ...string) *Counter { return f.family.with(values) }

// Value is the count of the series for values, 0 where nobody holds one, for views that are not a scrape.
func (f *CounterFamily) Value(values ...string) int64 {
	if u := f.family.find(values); u != nil {
		return u.Value()
	}
	return 0
}

// Row returns the counters for the given values of all labels but the last, whose values are the closed list enum.
func (f *CounterFamily) Row(enum []string, values ...string) *CounterRow {
	return &CounterRow{
		family: f, enum: enum, values: values,
		counters: make([]atomic.Pointer[Counter], len(enum)),
	}
}

// CounterRow is the counters along one enumerated label, such as the outcome codes of one model version. A counter
// comes to be when it first counts, so that what never happens costs neither memory nor a line in every scrape.
type CounterRow struct {
	family   *CounterFamily
	enum     []string
	values   []string
	counters []atomic.Pointer[Counter]

	mu struct {
		sync.Mutex
		released bool
	}
}

// At returns the counter of the enumeration's i-th value.
func (r *CounterRow) At(i int) *Counter {
	if c := r.counters[i].Load(); c != nil {
		return c
	}
	return r.resolve(i)
}

// Value is the count of the enumeration's i-th value, which it does not bring into being.
func (r *CounterRow) Value(i int) int64 {
	if c := r.counters[i].Load(); c != nil {
		return c.Value()
	}
	return 0
}

func (r *CounterRow) resolve(i int) *Counter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.counters[i].Load(); c != nil {
		return c
	}
	c := r.family.With(append(r.values[:len(r.values):len(r.values)], r.enum[i])...)
	r.counters[i].Store(c)
	if r.mu.released {
		c.Release()
	}
	return c
}

// Release gives back every counter of the row. A straggler may still count into it.
func (r *CounterRow) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.released {
		panic("BUG: counter row released twice")
	}
	r.mu.released = true
	for i := range r.counters {
		if c := r.counters[i].Load(); c != nil {
			c.Release()
		}
	}
}
