package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Emit hands one sample to a scrape: its value and one value for each label of the family.
type Emit func(value float64, labelValues ...string)

// funcFamily is a family whose samples are read from elsewhere at every scrape.
type funcFamily struct {
	desc *prometheus.Desc
	typ  prometheus.ValueType
	read func(Emit)
}

// NewGaugeFunc registers a gauge whose samples read emits at every scrape. It is called from the scrape's goroutine
// and must neither block nor emit the same label values twice.
func NewGaugeFunc(r *Registry, opts Opts, read func(Emit)) {
	r.register(KindGauge, opts, nil, &funcFamily{opts.promDesc(), prometheus.GaugeValue, read})
}

// NewCounterFunc registers a counter whose samples read emits at every scrape, for figures that something else counts
// already. They never fall.
func NewCounterFunc(r *Registry, opts Opts, read func(Emit)) {
	r.register(KindCounter, opts, nil, &funcFamily{opts.promDesc(), prometheus.CounterValue, read})
}

// Describe implements prometheus.Collector.
func (f *funcFamily) Describe(ch chan<- *prometheus.Desc) { ch <- f.desc }

// Collect implements prometheus.Collector.
func (f *funcFamily) Collect(ch chan<- prometheus.Metric) {
	f.read(func(value float64, labelValues ...string) {
		m, err := prometheus.NewConstMetric(f.desc, f.typ, value, validLabels(labelValues)...)
		if err != nil {
			m = prometheus.NewInvalidMetric(f.desc, err)
		}
		ch <- m
	})
}
