package telemetry

import (
	"io"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap"
)

func BenchmarkCounter(b *testing.B) {
	c := NewCounterFamily(nil, Opts{Name: "a_total", Help: "x"}).With()
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			c.Inc()
		}
	})
	b.Run("hint", func(b *testing.B) {
		for b.Loop() {
			c.AddAt(1, 1)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Inc()
			}
		})
	})
}

func BenchmarkCounterRow(b *testing.B) {
	row := NewCounterFamily(nil, Opts{Name: "a_total", Help: "x", Labels: []string{"code"}}).Row([]string{"OK"})
	for b.Loop() {
		row.At(0).Inc()
	}
}

func BenchmarkHistogram(b *testing.B) {
	h := NewHistogramFamily(nil, HistogramOpts{Opts: Opts{Name: "a", Help: "x"}, Bounds: DurationBounds(), PerUnit: PerSecond}).With()
	b.Run("alone", func(b *testing.B) {
		var d time.Duration
		for b.Loop() {
			d = (d + 137*time.Microsecond) & (1<<27 - 1)
			h.ObserveDuration(d)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			var d time.Duration
			for pb.Next() {
				d = (d + 137*time.Microsecond) & (1<<27 - 1)
				h.ObserveDuration(d)
			}
		})
	})
}

func BenchmarkRequestID(b *testing.B) {
	ids, dst := NewIDs(), make([]byte, 0, 16)
	for b.Loop() {
		dst = ids.AppendRequestID(dst[:0])
	}
}

func BenchmarkTraceParent(b *testing.B) {
	in := []byte(goodTraceParent)
	for b.Loop() {
		if _, ok := ParseTraceParent(in); !ok {
			b.Fatal("refused")
		}
	}
}

func BenchmarkServerTiming(b *testing.B) {
	dst := make([]byte, 0, 64)
	for b.Loop() {
		dst = AppendServerTiming(dst[:0], 400*time.Microsecond, 2100*time.Microsecond, 60*time.Microsecond)
	}
}

func BenchmarkAccessLog(b *testing.B) {
	log, err := NewLog(LogOptions{Output: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	for name, opts := range map[string]AccessOptions{"unsampled": {Sample: 0.000001}, "logged": {Sample: 1}} {
		b.Run(name, func(b *testing.B) {
			l, id := NewAccessLog(opts, log.AccessLogger()), []byte("0123456789abcdef")
			b.ReportAllocs()
			for b.Loop() {
				l.Log(&Access{
					Protocol: "http", Method: "POST", Path: "/v2/models/{model}/infer", Model: "digits", Version: "1",
					Status: 200, Rows: 1, Total: time.Millisecond, RequestID: id,
				})
			}
		})
	}
	b.Run("plain line", func(b *testing.B) {
		for b.Loop() {
			log.AccessLogger().Info("line", zap.Int("n", 1))
		}
	})
}

// BenchmarkScrape is a scrape of 1,200 models with two versions each, a histogram and a counter.
func BenchmarkScrape(b *testing.B) {
	r := NewRegistry(Build{})
	counters := NewCounterFamily(r, Opts{Name: "a_total", Help: "x", Labels: []string{"model", "version"}})
	histograms := NewHistogramFamily(r, HistogramOpts{
		Opts:   Opts{Name: "b_seconds", Help: "x", Labels: []string{"model", "version"}},
		Bounds: DurationBounds(), PerUnit: PerSecond,
	})
	for i := range 2400 {
		model, version := strconv.Itoa(i/2), strconv.Itoa(i%2)
		counters.With(model, version).Inc()
		histograms.With(model, version).ObserveDuration(time.Millisecond)
	}
	handler := NewHandler(r, func() bool { return true }, nil)
	for b.Loop() {
		handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
	}
}
