package server

import (
	"sync"
	"sync/atomic"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/telemetry"
)

// protocol is how a request came.
type protocol uint8

const (
	overHTTP protocol = iota
	overGRPC
	overServingHTTP // TensorFlow Serving's, as are those of the next
	overServingGRPC

	protocols
)

var protocolNames = [protocols]string{"http", "grpc", "tfserving_http", "tfserving_grpc"}

// unknownModel labels requests that name no configured model: clients cannot make label values.
const unknownModel = "_unknown"

// The phases of request_phase_duration_seconds.
const (
	phaseReceive = iota // reading and decoding the body
	phaseQueue          // waiting for a batch
	phaseCompute        // running in the backend
	phaseAnswer         // from the end of the run to the answer handed to the transport

	phases
)

var phaseNames = [phases]string{"receive", "queue", "compute", "answer"}

// Metrics are the families of the edge.
type Metrics struct {
	requests *telemetry.CounterFamily
	duration *telemetry.HistogramFamily
	phase    *telemetry.HistogramFamily
	inFlight *telemetry.UpDownFamily
	rejected *telemetry.CounterFamily
	rows     *telemetry.CounterFamily // for the statistics endpoint; not exported
	overhead [protocols]*telemetry.Histogram
	codes    []string

	// Batches tells how many batches of a version ran, for the statistics endpoint; nil: nobody knows. Set
	// it before the first request.
	Batches func(model, version string) int64
	// Queued tells how many rows of a version wait; nil: nobody knows. Set it before the first request.
	Queued func(model, version string) int64

	mu struct {
		sync.Mutex
		series map[seriesKey]*Series
	}
}

// NewMetrics registers the families of the edge.
func NewMetrics(reg *telemetry.Registry) *Metrics {
	m := &Metrics{}
	m.mu.series = make(map[seriesKey]*Series)
	m.rows = telemetry.NewCounterFamily(nil, telemetry.Opts{Name: "rows_total", Labels: []string{"model", "version"}})
	for c := infer.OK; c < infer.Codes; c++ {
		m.codes = append(m.codes, c.String())
	}
	m.requests = telemetry.NewCounterFamily(reg, telemetry.Opts{
		Name: "requests_total", Help: "Inference requests that were answered, by protocol (http, grpc: v2; tfserving_http, tfserving_grpc: TensorFlow Serving's) and reason code.",
		Labels: []string{"model", "version", "protocol", "code"},
	})
	m.duration = telemetry.NewHistogramFamily(reg, telemetry.HistogramOpts{
		Opts: telemetry.Opts{
			Name: "request_duration_seconds", Help: "Time from the head of an inference request to its answer.",
			Labels: []string{"model", "version", "protocol"},
		},
		Bounds: telemetry.DurationBounds(), PerUnit: telemetry.PerSecond,
	})
	m.phase = telemetry.NewHistogramFamily(reg, telemetry.HistogramOpts{
		Opts: telemetry.Opts{
			Name:   "request_phase_duration_seconds",
			Help:   "Time that succeeded inference requests spent in a phase: receive, queue, compute or answer.",
			Labels: []string{"model", "version", "phase"},
		},
		Bounds: telemetry.DurationBounds(), PerUnit: telemetry.PerSecond,
	})
	m.inFlight = telemetry.NewUpDownFamily(reg, telemetry.Opts{
		Name: "in_flight_requests", Help: "Inference requests that are not answered yet.", Labels: []string{"model"},
	})
	m.rejected = telemetry.NewCounterFamily(reg, telemetry.Opts{
		Name: "rejected_total", Help: "Inference requests that the gateway itself refused, by reason code.",
		Labels: []string{"model", "reason"},
	})
	overhead := telemetry.NewHistogramFamily(reg, telemetry.HistogramOpts{
		Opts: telemetry.Opts{
			Name: "gateway_overhead_seconds", Help: "Time of succeeded inference requests outside queue and backend.",
			Labels: []string{"protocol"},
		},
		Bounds: telemetry.OverheadBounds(), PerUnit: telemetry.PerSecond,
	})
	for p, name := range protocolNames {
		m.overhead[p] = overhead.With(name)
	}
	telemetry.NewRateFamily(reg, telemetry.Opts{
		Name: "requests_per_second", Help: "Answered inference requests a second over the last ten seconds.",
		Labels: []string{"model"},
	}, m.requests)
	return m
}

// Series are the metric handles of a model version, resolved once: [infer.Target].Edge and [infer.Route].Edge
// hold them. One version has one, over all generations that name it.
type Series struct {
	metrics *Metrics
	key     seriesKey
	refs    int // guarded by Metrics.mu

	byProtocol [protocols]struct {
		requests *telemetry.CounterRow
		duration *telemetry.Histogram
	}
	rejected *telemetry.CounterRow
	phase    [phases]*telemetry.Histogram
	inFlight *telemetry.UpDown
	rows     *telemetry.Counter
	last     atomic.Int64 // when a request last succeeded, in milliseconds of the wall clock
}

type seriesKey struct{ model, version string }

// Bind returns the handles of a model version, "" for requests that reach no version. Release gives them up.
func (m *Metrics) Bind(model, version string) *Series {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := seriesKey{model, version}
	s := m.mu.series[key]
	if s == nil {
		s = m.resolve(key)
		m.mu.series[key] = s
	}
	s.refs++
	return s
}

func (m *Metrics) resolve(key seriesKey) *Series {
	s := &Series{
		metrics:  m,
		key:      key,
		rejected: m.rejected.Row(m.codes, key.model),
		inFlight: m.inFlight.With(key.model),
		rows:     m.rows.With(key.model, key.version),
	}
	for p, name := range protocolNames {
		s.byProtocol[p].requests = m.requests.Row(m.codes, key.model, key.version, name)
		s.byProtocol[p].duration = m.duration.With(key.model, key.version, name)
	}
	for i, name := range phaseNames {
		s.phase[i] = m.phase.With(key.model, key.version, name)
	}
	return s
}

// Release gives the handles up: the series go when nobody has them.
func (s *Series) Release() {
	m := s.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.refs--; s.refs > 0 {
		return
	}
	delete(m.mu.series, s.key)
	for p := range s.byProtocol {
		s.byProtocol[p].requests.Release()
		s.byProtocol[p].duration.Release()
	}
	s.rejected.Release()
	s.inFlight.Release()
	s.rows.Release()
	for _, h := range s.phase {
		h.Release()
	}
}
