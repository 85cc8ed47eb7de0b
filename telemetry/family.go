package telemetry

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// handle is what a family keeps per set of label values.
type handle interface {
	*Counter | *Gauge | *UpDown | *Histogram
	// export reads the cells into one sample. nil: there is nothing to show yet.
	export(desc *prometheus.Desc, values []string) prometheus.Metric
}

// family is a set of series by label values, counted by reference. It implements prometheus.Collector.
type family[H handle] struct {
	opts  Opts
	desc  *prometheus.Desc
	build func(release func()) H

	mu struct {
		sync.Mutex
		series map[string]*series[H]
	}
}

type series[H handle] struct {
	key    string
	values []string
	handle H
	refs   int // guarded by family.mu
}

func newFamily[H handle](r *Registry, kind Kind, opts Opts, bounds []float64, build func(release func()) H) *family[H] {
	f := &family[H]{opts: opts, desc: opts.promDesc(), build: build}
	f.mu.series = make(map[string]*series[H])
	r.register(kind, opts, bounds, f)
	return f
}

// with returns the handle for values and takes a reference on it.
func (f *family[H]) with(values []string) H {
	if len(values) != len(f.opts.Labels) {
		panic(fmt.Sprintf("BUG: metric %s has labels %q and was given values %q", f.opts.Name, f.opts.Labels, values))
	}
	key := seriesKey(values)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.mu.series[key]
	if s == nil {
		s = &series[H]{key: key, values: validLabels(values)}
		s.handle = f.build(func() { f.release(s) })
		f.mu.series[key] = s
	}
	s.refs++
	return s.handle
}

// find returns the handle for values, nil if nobody holds one. It takes no reference: it is for reading at once.
func (f *family[H]) find(values []string) H {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.mu.series[seriesKey(values)]; s != nil {
		return s.handle
	}
	return nil
}

// release gives back one reference on s. The last one drops the series; its handle still counts, unseen.
func (f *family[H]) release(s *series[H]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.refs == 0 {
		panic(fmt.Sprintf("BUG: metric %s: series %q was released more often than it was taken", f.opts.Name, s.values))
	}
	if s.refs--; s.refs == 0 {
		delete(f.mu.series, s.key)
	}
}

// Describe implements prometheus.Collector.
func (f *family[H]) Describe(ch chan<- *prometheus.Desc) { ch <- f.desc }

// Collect implements prometheus.Collector.
func (f *family[H]) Collect(ch chan<- prometheus.Metric) {
	for _, s := range f.snapshot() {
		if m := s.handle.export(f.desc, s.values); m != nil {
			ch <- m
		}
	}
}

// snapshot lists the series, so that none is read, and no scrape waited for, under the lock.
func (f *family[H]) snapshot() []*series[H] {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]*series[H], 0, len(f.mu.series))
	for _, s := range f.mu.series {
		list = append(list, s)
	}
	return list
}

// seriesKey joins label values; the separator cannot occur in valid UTF-8.
func seriesKey(values []string) string { return strings.Join(values, "\xff") }

// validLabels copies label values and makes them UTF-8, as the exposition formats demand.
func validLabels(values []string) []string {
	out := slices.Clone(values)
	for i, v := range out {
		out[i] = strings.ToValidUTF8(v, "\uFFFD")
	}
	return out
}
