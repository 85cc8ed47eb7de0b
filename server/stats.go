package server

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/telemetry"
)

// stats returns the totals of a version in the form of the statistics extension.
func (m *Metrics) stats(model, version string) management.ModelStats {
	st := management.ModelStats{Name: model, Version: version}
	s := m.find(model, version)
	if s == nil {
		return st
	}
	succeeded := total(s.phase[phaseReceive])
	succeeded.NS = 0
	for _, h := range s.phase {
		succeeded.NS += total(h).NS
	}
	var answered management.Total
	for p := range s.byProtocol {
		t := total(s.byProtocol[p].duration)
		answered.Count += t.Count
		answered.NS += t.NS
	}
	st.LastInference = uint64(s.last.Load())
	st.InferenceCount = uint64(s.rows.Value())
	st.InferenceStats = management.InferenceStats{
		Success:       succeeded,
		Fail:          management.Total{Count: less(answered.Count, succeeded.Count), NS: less(answered.NS, succeeded.NS)},
		Queue:         total(s.phase[phaseQueue]),
		ComputeInput:  total(s.phase[phaseReceive]),
		ComputeInfer:  total(s.phase[phaseCompute]),
		ComputeOutput: total(s.phase[phaseAnswer]),
	}
	if m.Batches != nil {
		st.ExecutionCount = uint64(m.Batches(model, version))
	}
	return st
}

func total(h *telemetry.Histogram) management.Total {
	count, sum := h.Totals()
	return management.Total{Count: uint64(count), NS: uint64(sum)}
}

// less is a-b, not below zero: the two were read one after the other.
func less(a, b uint64) uint64 { return a - min(a, b) }

// find returns the handles of a version, nil if nobody has them bound.
func (m *Metrics) find(model, version string) *Series {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.series[seriesKey{model, version}]
}

// Outcomes returns how many requests of a version were answered, by outcome.
func (m *Metrics) Outcomes(model, version string) (by [infer.Outcomes]int64) {
	s := m.find(model, version)
	if s == nil {
		return by
	}
	for c := infer.OK; c < infer.Codes; c++ {
		for p := range s.byProtocol {
			by[c.Outcome()] += s.byProtocol[p].requests.Value(int(c))
		}
	}
	return by
}

// InFlight returns how many requests of a model are not answered yet.
func (m *Metrics) InFlight(model, version string) int64 {
	if s := m.find(model, version); s != nil {
		return s.inFlight.Value()
	}
	return 0
}

// Rows returns how many rows of a version were answered.
func (m *Metrics) Rows(model, version string) int64 {
	if s := m.find(model, version); s != nil {
		return s.rows.Value()
	}
	return 0
}
