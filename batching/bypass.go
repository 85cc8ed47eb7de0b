package batching

import "github.com/sluice-serving/sluice/infer"

// Bypass counts the calls of a version that never merge, on their way past the scheduler. It implements
// [infer.Submitter].
type Bypass struct {
	next    infer.Submitter
	metrics queueMetrics
}

// NewBypass returns the way of m's calls to next. Its owner closes it when the generation that it belongs to is
// drained.
func NewBypass(next infer.Submitter, m *infer.Model, metrics *Metrics) *Bypass {
	return &Bypass{next: next, metrics: metrics.queue(m)}
}

// Submit implements [infer.Submitter]: each call is a batch of its own.
func (y *Bypass) Submit(c *infer.Call, burst *infer.Burst) error {
	hint, rows := c.Shard(), c.Request.Rows // after nil the call may be over
	if err := y.next.Submit(c, burst); err != nil {
		return err
	}
	y.metrics.alone(hint, rows)
	return nil
}

// Close ends the counting. What runs ends as it would.
func (y *Bypass) Close() { y.metrics.release() }
