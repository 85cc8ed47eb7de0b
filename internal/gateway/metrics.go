package gateway

import (
	"errors"
	"sync"
	"syscall"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/batching"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/telemetry"
	"github.com/sluice-serving/sluice/wire/h1"
	"github.com/sluice-serving/sluice/wire/h2"
)

// metrics are all families of a gateway.
type metrics struct {
	registry *telemetry.Registry
	edge     *server.Metrics
	batching *batching.Metrics
	upstream *backends.Metrics
	wire     h1.Metrics
	wire2    h2.Metrics
}

func newMetrics(build telemetry.Build, g *Gateway) *metrics {
	r := telemetry.NewRegistry(build)
	m := &metrics{
		registry: r, edge: server.NewMetrics(r), batching: batching.NewMetrics(r),
		upstream: backends.NewMetrics(r),
	}
	m.wire, m.wire2 = newWireMetrics(r)
	m.edge.Batches, m.edge.Queued = m.batching.Batches, m.batching.Queued
	telemetry.NewGaugeFunc(r, telemetry.Opts{
		Name: "config_last_reload_successful", Help: "1 if the last attempt to change the configuration succeeded, or none was made.",
	}, func(emit telemetry.Emit) {
		g.mu.Lock()
		defer g.mu.Unlock()
		v := 1.0
		if g.mu.reload != nil && !g.mu.reload.OK {
			v = 0
		}
		emit(v)
	})
	telemetry.NewGaugeFunc(r, telemetry.Opts{
		Name: "config_info", Help: "Always 1; the label identifies the sources of the configuration in force.",
		Labels: []string{"hash"},
	}, func(emit telemetry.Emit) {
		if gen := g.current.Load(); gen != nil {
			emit(1, gen.cfg.Hash())
		}
	})
	telemetry.NewGaugeFunc(r, telemetry.Opts{
		Name: "inflight_bytes", Help: "Bytes of bodies, tensors and answers in flight.",
	}, func(emit telemetry.Emit) { emit(float64(g.memory.Slabs.Budget().InUse())) })
	telemetry.NewGaugeFunc(r, telemetry.Opts{
		Name: "inflight_bytes_limit", Help: "Bytes in flight beyond which new requests are refused.",
	}, func(emit telemetry.Emit) { emit(float64(g.memory.Slabs.Budget().Limit())) })
	return m
}

// reasons counts by a closed set of reasons that another package owns.
type reasons struct {
	family *telemetry.CounterFamily
	known  sync.Map // reason to *telemetry.Counter
}

func (c *reasons) count(why string) {
	n, ok := c.known.Load(why)
	if !ok {
		n, _ = c.known.LoadOrStore(why, c.family.With(why))
	}
	n.(*telemetry.Counter).Inc()
}

// newWireMetrics registers the families of the transports, which both count in.
func newWireMetrics(r *telemetry.Registry) (h1.Metrics, h2.Metrics) {
	open := telemetry.NewUpDownFamily(r, telemetry.Opts{Name: "connections", Help: "Client connections that are open."}).With()
	byReason := func(name, help string) *reasons {
		return &reasons{family: telemetry.NewCounterFamily(r, telemetry.Opts{Name: name, Help: help, Labels: []string{"reason"}})}
	}
	closed := byReason("connections_closed_total", "Client connections that were closed, by what closed them.")
	parse := byReason("parse_errors_total", "Requests whose framing or head was refused, by what was wrong.")
	refused := byReason("transport_rejected_total", "Requests and connections that the transport refused for what they ask.")
	accept := telemetry.NewCounterFamily(r, telemetry.Opts{
		Name: "accept_errors_total", Help: "Failures to accept a connection, by system error.", Labels: []string{"errno"},
	})
	panics := telemetry.NewCounterFamily(r, telemetry.Opts{
		Name: "panics_total", Help: "Requests whose handler panicked.", Labels: []string{"component"},
	}).With("server")
	acceptError := func(err error) {
		name := "other"
		var errno syscall.Errno
		if errors.As(err, &errno) {
			name = errno.Error()
		}
		accept.With(name).Inc()
	}
	opened := func() { open.Add(1) }
	one := h1.Metrics{
		ConnOpened:  opened,
		ConnClosed:  func(why h1.Reason) { open.Add(-1); closed.count(string(why)) },
		ParseError:  func(why h1.Reason) { parse.count(string(why)) },
		Rejected:    func(why h1.Reason) { refused.count(string(why)) },
		AcceptError: acceptError,
		Panicked:    panics.Inc,
	}
	two := h2.Metrics{
		ConnOpened: opened,
		ConnClosed: func(why h2.Reason) { open.Add(-1); closed.count(string(why)) },
		ParseError: func(why h2.Reason) { parse.count(string(why)) },
		Rejected:   func(why h2.Reason) { refused.count(string(why)) },
		Panicked:   panics.Inc,
	}
	return one, two
}
