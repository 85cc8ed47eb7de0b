package telemetry

import (
	"math"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Gauge is a figure that is set now and then, such as a weight.
type Gauge struct {
	bits    atomic.Uint64
	release func()
}

// Set replaces the figure.
func (g *Gauge) Set(v float64) { g.bits.Store(math.Float64bits(v)) }

// Value is the figure last set.
func (g *Gauge) Value() float64 { return math.Float64frombits(g.bits.Load()) }

// Release gives back the reference that With took.
func (g *Gauge) Release() { g.release() }

func (g *Gauge) export(desc *prometheus.Desc, values []string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, g.Value(), values...)
}

// GaugeFamily is a gauge by label values.
type GaugeFamily struct{ family *family[*Gauge] }

// NewGaugeFamily registers a gauge.
func NewGaugeFamily(r *Registry, opts Opts) *GaugeFamily {
	return &GaugeFamily{newFamily(r, KindGauge, opts, nil, func(release func()) *Gauge {
		return &Gauge{release: release}
	})}
}

// With returns the gauge for values, one a label, and takes a reference on its series: give it back by Release.
func (f *GaugeFamily) With(values ...string) *Gauge { return f.family.with(values) }

// UpDown is a gauge that many goroutines raise and lower, such as the requests in flight: sharded, so it can be added
// to without contention but not set.
type UpDown struct {
	cells   cells
	release func()
}

// Add adds n, which may be negative.
func (u *UpDown) Add(n int64) { u.cells.at(shardHint()).Add(n) }

// AddAt is Add for a caller that knows a number that is its own.
func (u *UpDown) AddAt(hint uint32, n int64) { u.cells.at(hint).Add(n) }

// Value is the sum of what was added. While others add, it may miss some of it.
func (u *UpDown) Value() int64 { return u.cells.sum() }

// Release gives back the reference that With took.
func (u *UpDown) Release() { u.release() }

func (u *UpDown) export(desc *prometheus.Desc, values []string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(u.Value()), values...)
}

// UpDownFamily is an UpDown by label values.
type UpDownFamily struct{ family *family[*UpDown] }

// NewUpDownFamily registers an UpDown. Prometheus sees a gauge.
func NewUpDownFamily(r *Registry, opts Opts) *UpDownFamily {
	return &UpDownFamily{newFamily(r, KindGauge, opts, nil, func(release func()) *UpDown {
		return &UpDown{cells: newCells(), release: release}
	})}
}

// With returns the UpDown for values, one a label, and takes a reference on its series: give it back by Release.
func (f *UpDownFamily) With(values ...string) *UpDown { return f.family.with(values) }

// Value is the figure of the series for values, 0 where nobody holds one, for views that are not a scrape.
func (f *UpDownFamily) Value(values ...string) int64 {
	if u := f.family.find(values); u != nil {
		return u.Value()
	}
	return 0
}
