package telemetry

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const namePrefix = "sluice_"

// Kind is what a family means to Prometheus.
type Kind string

// The kinds of families.
const (
	KindCounter   Kind = "counter"
	KindGauge     Kind = "gauge"
	KindHistogram Kind = "histogram"
)

// Opts names a family.
type Opts struct {
	// Name is the metric's name without the product's prefix: "requests_total".
	Name string
	// Help is one sentence for the reader of a scrape and of the reference page.
	Help string
	// Labels are the label names, in the order in which With takes their values.
	Labels []string
}

// Desc describes a registered family.
type Desc struct {
	Name   string
	Kind   Kind
	Help   string
	Labels []string
	// Bounds are the upper bucket bounds of a histogram, in the unit of its name.
	Bounds []float64
}

// Build says what is running.
type Build struct {
	Version  string
	Revision string
}

// Registry holds the product's metric families. Its zero value is not usable; a nil *Registry is: families made on it
// count and are exported nowhere, which is what tests and tools want.
type Registry struct {
	prom *prometheus.Registry

	mu struct {
		sync.Mutex
		descs []Desc
	}
}

// NewRegistry returns a registry with build_info and the collectors of the Go runtime and the process.
func NewRegistry(build Build) *Registry {
	r := &Registry{prom: prometheus.NewRegistry()}
	r.prom.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	NewGaugeFunc(r, Opts{
		Name:   "build_info",
		Help:   "Always 1; the labels say which build is running.",
		Labels: []string{"version", "revision", "go_version"},
	}, func(emit Emit) { emit(1, build.Version, build.Revision, runtime.Version()) })
	return r
}

// Gatherer gives the families to an exposition handler.
func (r *Registry) Gatherer() prometheus.Gatherer { return r.prom }

// Describe lists the families registered on r, by name. The collectors of the Go runtime and the process are not
// among them.
func Describe(r *Registry) []Desc {
	r.mu.Lock()
	defer r.mu.Unlock()
	descs := slices.Clone(r.mu.descs)
	slices.SortFunc(descs, func(a, b Desc) int { return cmp.Compare(a.Name, b.Name) })
	return descs
}

// register publishes a family. Names are literals of this product, so a bad or doubled one is a fault of the program.
func (r *Registry) register(kind Kind, opts Opts, bounds []float64, c prometheus.Collector) {
	if r == nil {
		return
	}
	if err := checkName(kind, opts); err != nil {
		panic("BUG: metric " + opts.Name + ": " + err.Error())
	}
	if err := r.prom.Register(c); err != nil {
		panic("BUG: metric " + opts.Name + ": " + err.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.descs = append(r.mu.descs, Desc{
		Name: namePrefix + opts.Name, Kind: kind, Help: opts.Help, Labels: slices.Clone(opts.Labels), Bounds: bounds,
	})
}

func checkName(kind Kind, opts Opts) error {
	switch {
	case !isSnakeCase(opts.Name):
		return fmt.Errorf("name is not snake case")
	case strings.HasPrefix(opts.Name, namePrefix):
		return fmt.Errorf("the prefix %q is added by the registry", namePrefix)
	case (kind == KindCounter) != strings.HasSuffix(opts.Name, "_total"):
		return fmt.Errorf("counters, and only counters, end in _total")
	case opts.Help == "":
		return fmt.Errorf("no help text")
	}
	for i, label := range opts.Labels {
		if !isSnakeCase(label) || label == "le" {
			return fmt.Errorf("bad label name %q", label)
		}
		if slices.Contains(opts.Labels[:i], label) {
			return fmt.Errorf("label %q is named twice", label)
		}
	}
	return nil
}

func isSnakeCase(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || i > 0 && (c == '_' || c >= '0' && c <= '9') {
			continue
		}
		return false
	}
	return s != ""
}

func (o Opts) promDesc() *prometheus.Desc {
	return prometheus.NewDesc(namePrefix+o.Name, o.Help, o.Labels, nil)
}
