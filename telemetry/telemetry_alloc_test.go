//go:build !race

package telemetry

import (
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestHotPathsDoNotAllocate(t *testing.T) {
	ids := NewIDs()
	counter := NewCounterFamily(nil, Opts{Name: "a_total", Help: "x"}).With()
	row := NewCounterFamily(nil, Opts{Name: "b_total", Help: "x", Labels: []string{"code"}}).Row([]string{"OK", "INVALID"})
	inFlight := NewUpDownFamily(nil, Opts{Name: "c", Help: "x"}).With()
	histogram := NewHistogramFamily(nil, HistogramOpts{Opts: Opts{Name: "d", Help: "x"}, Bounds: DurationBounds(), PerUnit: PerSecond}).With()
	quiet := NewAccessLog(AccessOptions{Sample: 1e-18, Slow: time.Hour}, zap.NewNop())
	header, in := make([]byte, 0, 128), []byte(goodTraceParent)
	parent, _ := ParseTraceParent(in)
	id := []byte("request-id")
	row.At(1).Inc()
	for name, run := range map[string]func(){
		"counter":      func() { counter.Inc() },
		"row":          func() { row.At(1).Add(2) },
		"up down":      func() { inFlight.Add(-1) },
		"histogram":    func() { histogram.ObserveDuration(time.Millisecond) },
		"request id":   func() { header = ids.AppendRequestID(header[:0]) },
		"valid id":     func() { _ = ValidRequestID(id) },
		"trace":        func() { parent, _ = ParseTraceParent(in) },
		"child":        func() { header = ids.Child(parent).Append(header[:0]) },
		"timing":       func() { header = AppendServerTiming(header[:0], 1234567, time.Second, 1) },
		"unlogged":     func() { quiet.Log(&Access{Method: "POST", Code: "OK", Total: time.Second, RequestID: id}) },
		"counter read": func() { _ = counter.Value() },
	} {
		t.Run(name, func(t *testing.T) {
			run()
			if n := testing.AllocsPerRun(1000, run); n != 0 {
				t.Errorf("%v allocations a call, want none", n)
			}
		})
	}
}
