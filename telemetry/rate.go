package telemetry

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	rateWindow = 10 * time.Second
	// rateStep is the least time between two samples that are kept, so that eager readers do not shorten the window.
	rateStep = time.Second
	// rateSamples is enough for the window at rateStep and one sample older than it.
	rateSamples = int(rateWindow/rateStep) + 2
)

// RateFamily is a gauge that says how fast a counter family counts, summed by some of its labels. It is computed when
// it is read, from the counts that earlier reads saw: over the last ten seconds where reads come at least that often,
// else over the time since the last read. Nothing runs between reads and counting costs nothing extra.
type RateFamily struct {
	desc *prometheus.Desc
	of   *CounterFamily
	by   []int // positions of the labels in the counter family

	mu struct {
		sync.Mutex
		groups   map[string]*rateGroup
		read     uint64
		lastRead time.Time
	}
}

// rateGroup is the history of one sum of counters.
type rateGroup struct {
	values []string
	total  int64 // of the read in progress
	read   uint64
	since  []rateSample // oldest first
}

type rateSample struct {
	at    time.Time
	total int64
}

// NewRateFamily registers a gauge over of. The labels of opts are a subset of the labels of of.
func NewRateFamily(r *Registry, opts Opts, of *CounterFamily) *RateFamily {
	f := &RateFamily{desc: opts.promDesc(), of: of}
	f.mu.groups = make(map[string]*rateGroup)
	f.mu.lastRead = time.Now()
	for _, label := range opts.Labels {
		i := slices.Index(of.family.opts.Labels, label)
		if i < 0 {
			panic("BUG: metric " + opts.Name + ": " + of.family.opts.Name + " has no label " + label)
		}
		f.by = append(f.by, i)
	}
	r.register(KindGauge, opts, nil, f)
	return f
}

// Read calls emit with the rate of every group, per second, as of now.
func (f *RateFamily) Read(now time.Time, emit Emit) {
	for _, r := range f.rates(now) {
		emit(r.perSecond, r.values...)
	}
}

type rate struct {
	values    []string
	perSecond float64
}

func (f *RateFamily) rates(now time.Time) []rate {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.read++
	for _, s := range f.of.family.snapshot() {
		f.group(s.values).total += s.handle.Value()
	}
	list := make([]rate, 0, len(f.mu.groups))
	for key, g := range f.mu.groups {
		if g.read != f.mu.read {
			delete(f.mu.groups, key)
			continue
		}
		list = append(list, rate{g.values, g.observe(now)})
	}
	f.mu.lastRead = now
	return list
}

// group returns the group that a series belongs to, ready to be summed by this read.
func (f *RateFamily) group(seriesValues []string) *rateGroup {
	values := make([]string, len(f.by))
	for i, at := range f.by {
		values[i] = seriesValues[at]
	}
	key := seriesKey(values)
	g := f.mu.groups[key]
	if g == nil {
		// At the last read the group had no counters, so all that it counts came since.
		g = &rateGroup{values: values, since: []rateSample{{at: f.mu.lastRead}}}
		f.mu.groups[key] = g
	}
	if g.read != f.mu.read {
		g.read, g.total = f.mu.read, 0
	}
	return g
}

// observe takes in the group's total as of now and returns its rate.
func (g *rateGroup) observe(now time.Time) float64 {
	n := len(g.since)
	if n > 0 && g.total < g.since[n-1].total {
		// One of the counters is gone with its generation: what is left has no history.
		g.since, n = g.since[:0], 0
	}
	if n == 0 {
		g.since = append(g.since, rateSample{now, g.total})
		return 0
	}
	// The base is the youngest sample that is old enough, else the oldest there is.
	base := g.since[0]
	for _, s := range g.since {
		if now.Sub(s.at) < rateWindow {
			break
		}
		base = s
	}
	if now.Sub(g.since[n-1].at) >= rateStep {
		if n == rateSamples {
			g.since = append(g.since[:0], g.since[1:]...)
		}
		g.since = append(g.since, rateSample{now, g.total})
	}
	elapsed := now.Sub(base.at)
	if elapsed <= 0 {
		return 0
	}
	return float64(g.total-base.total) / elapsed.Seconds()
}

// Describe implements prometheus.Collector.
func (f *RateFamily) Describe(ch chan<- *prometheus.Desc) { ch <- f.desc }

// Collect implements prometheus.Collector.
func (f *RateFamily) Collect(ch chan<- prometheus.Metric) {
	f.Read(time.Now(), func(value float64, labelValues ...string) {
		ch <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, value, labelValues...)
	})
}
