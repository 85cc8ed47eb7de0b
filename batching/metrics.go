package batching

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/telemetry"
)

// Metrics are the families that queues count in. They are older than any generation.
type Metrics struct {
	rows    *telemetry.HistogramFamily
	batches *telemetry.CounterFamily
	queued  *telemetry.UpDownFamily
}

// NewMetrics registers the families; with a nil registry they count for nobody.
func NewMetrics(r *telemetry.Registry) *Metrics {
	labels := []string{"model", "version"}
	return &Metrics{
		rows: telemetry.NewHistogramFamily(r, telemetry.HistogramOpts{
			Opts: telemetry.Opts{
				Name: "batch_rows", Help: "Rows of the batches that were handed to a backend.", Labels: labels,
			},
			Bounds: telemetry.RowBounds(),
		}),
		batches: telemetry.NewCounterFamily(r, telemetry.Opts{
			Name: "batches_total",
			Help: "Batches handed to a backend, by what made them leave: a slot that was free (direct), a slot that " +
				"became free (slot), or one that became free when more than a batch waited (full).",
			Labels: append(labels, "cause"),
		}),
		queued: telemetry.NewUpDownFamily(r, telemetry.Opts{
			Name: "queue_rows", Help: "Rows that wait for a slot.", Labels: labels,
		}),
	}
}

// Batches returns how many batches of a version were handed to a backend.
func (m *Metrics) Batches(model, version string) int64 {
	total := int64(0)
	for c := range causes {
		total += m.batches.Value(model, version, c.String())
	}
	return total
}

// Queued returns how many rows of a version wait.
func (m *Metrics) Queued(model, version string) int64 { return m.queued.Value(model, version) }

// Counts keeps what is counted of a version while it has no queue: one whose server went goes on from there when
// it comes back.
type Counts struct{ metrics queueMetrics }

// Counts returns a hold on what is counted of a version. Release gives it up.
func (m *Metrics) Counts(model, version string) *Counts {
	return &Counts{m.queue(&infer.Model{Name: model, Version: version})}
}

// Release lets what is counted of the version go, if nobody else keeps it.
func (c *Counts) Release() { c.metrics.release() }

// queueMetrics are the handles of one queue. The zero value counts nothing.
type queueMetrics struct {
	rows     *telemetry.Histogram
	batches  [causes]*telemetry.Counter
	waiting  *telemetry.UpDown
	counting bool
}

func (m *Metrics) queue(model *infer.Model) queueMetrics {
	q := queueMetrics{
		rows:     m.rows.With(model.Name, model.Version),
		waiting:  m.queued.With(model.Name, model.Version),
		counting: true,
	}
	for c := range causes {
		q.batches[c] = m.batches.With(model.Name, model.Version, c.String())
	}
	return q
}

// queued counts rows that came to wait, or went.
func (q *queueMetrics) queued(c *infer.Call, rows int64) {
	if q.counting {
		q.waiting.AddAt(c.Shard(), rows)
	}
}

// formed counts a batch.
func (q *queueMetrics) formed(b *infer.Batch, cause Cause) {
	if q.counting {
		hint := b.Members[0].Call.Shard()
		q.rows.ObserveAt(hint, b.Rows)
		q.batches[cause].AddAt(hint, 1)
	}
}

// alone counts a batch that no queue formed.
func (q *queueMetrics) alone(hint uint32, rows int64) {
	q.rows.ObserveAt(hint, rows)
	q.batches[Direct].AddAt(hint, 1)
}

// release gives the handles back; what still counts in them goes unseen.
func (q *queueMetrics) release() {
	if q.counting {
		q.rows.Release()
		q.waiting.Release()
		for _, c := range q.batches {
			c.Release()
		}
	}
}
