// Package telemetry is how Sluice speaks of itself: the structured log, the Prometheus registry with its metric
// families, the access log, request ids and trace contexts.
//
// # Model
//
// A Registry holds families; a family holds one series per set of label values. A series is resolved once, when the
// thing it counts is built (a lane, an endpoint, a target), and kept as a handle: Counter, Histogram, UpDown or Gauge.
// Handles write to their own cells, spread over padded cache lines, and take no lock; the registry reads the cells
// when it is scraped and gives the figures to client_golang, which owns the exposition formats.
// Label values come from the configuration or from closed enumerations, never from requests.
//
// With takes a reference on a series and Release gives it back. A new generation resolves its handles before the old
// one releases its own, so a reload resets and loses nothing, and a series that nobody names any more is dropped.
//
// # Concurrency
//
// Everything here may be used from any goroutine. Two kinds of goroutine exist: each Log has one writer, started by
// NewLog and ended by Close; the Prometheus client starts some during a scrape and waits for them. No call on a request
// path waits for IO: a log line that finds the ring full is dropped and counted.
//
// # Ownership
//
// The log copies what it is given before the call returns. Access entries are read during the call and not kept.
package telemetry
