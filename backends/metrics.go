package backends

import (
	"slices"
	"sync"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/telemetry"
)

// Metrics are the families that fleets count in. They are older than any pool.
type Metrics struct {
	requests *telemetry.CounterFamily
	duration *telemetry.HistogramFamily
	codes    []string

	mu struct {
		sync.Mutex
		remotes []*Remote // whose state is read at every scrape
	}
}

// NewMetrics registers the families; with a nil registry they count for nobody.
func NewMetrics(r *telemetry.Registry) *Metrics {
	endpoint := []string{"pool", "endpoint"}
	m := &Metrics{
		requests: telemetry.NewCounterFamily(r, telemetry.Opts{
			Name:   "upstream_requests_total",
			Help:   "Runs at model servers elsewhere, by how each ended. A merged batch is one run; every further attempt is one more.",
			Labels: []string{"pool", "endpoint", "model", "code"},
		}),
		duration: telemetry.NewHistogramFamily(r, telemetry.HistogramOpts{
			Opts: telemetry.Opts{
				Name: "upstream_duration_seconds", Help: "From handing a run to a model server until its answer was read.", Labels: endpoint,
			},
			Bounds: telemetry.DurationBounds(), PerUnit: telemetry.PerSecond,
		}),
	}
	telemetry.NewGaugeFunc(r, telemetry.Opts{
		Name: "endpoint_healthy", Help: "1 if the model server takes requests, by what its health checks say, else 0.", Labels: endpoint,
	}, func(emit telemetry.Emit) {
		m.each(emit, func(r *Remote) float64 { return truth(r.live.Load()) })
	})
	telemetry.NewGaugeFunc(r, telemetry.Opts{
		Name: "endpoint_drained", Help: "1 if an operator lets the model server take no new requests, else 0.", Labels: endpoint,
	}, func(emit telemetry.Emit) {
		m.each(emit, func(r *Remote) float64 { return truth(r.Draining()) })
	})
	telemetry.NewGaugeFunc(r, telemetry.Opts{
		Name: "endpoint_panic", Help: "1 if the model server gets requests though its health checks fail, since no other takes them, else 0.", Labels: endpoint,
	}, func(emit telemetry.Emit) {
		m.each(emit, func(r *Remote) float64 { return truth(r.panic.Load()) })
	})
	telemetry.NewGaugeFunc(r, telemetry.Opts{
		Name: "endpoint_in_flight", Help: "Rows of the runs that the model server has not answered yet.", Labels: endpoint,
	}, func(emit telemetry.Emit) {
		m.each(emit, func(r *Remote) float64 { return float64(r.InFlight()) })
	})
	for c := range infer.Codes {
		m.codes = append(m.codes, c.String())
	}
	return m
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// each emits a figure of every server. Of two with the same labels, one of which is about to go, the newer one
// counts.
func (m *Metrics) each(emit telemetry.Emit, figure func(*Remote) float64) {
	m.mu.Lock()
	remotes := slices.Clone(m.mu.remotes)
	m.mu.Unlock()
	for i, r := range remotes {
		if !slices.ContainsFunc(remotes[i+1:], func(o *Remote) bool { return o.pool == r.pool && o.Name == r.Name }) {
			emit(figure(r), r.pool, r.Name)
		}
	}
}

func (m *Metrics) add(r *Remote) {
	r.duration = m.duration.With(r.pool, r.Name)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.remotes = append(m.mu.remotes, r)
}

func (m *Metrics) remove(r *Remote) {
	r.duration.Release()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.remotes = slices.DeleteFunc(m.mu.remotes, func(o *Remote) bool { return o == r })
}

// outcomes returns the counters of a version at a server. Versions of a model share them.
func (m *Metrics) outcomes(r *Remote, model string) *telemetry.CounterRow {
	return m.requests.Row(m.codes, r.pool, r.Name, model)
}
