package telemetry

import (
	"bufio"
	"bytes"
	"math"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// scrape returns the lines of our own families that a scrape shows.
func scrape(t *testing.T, r *Registry) []string {
	t.Helper()
	w := httptest.NewRecorder()
	NewHandler(r, func() bool { return true }, nil).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("scrape answered %d: %s", w.Code, w.Body)
	}
	var lines []string
	for scan := bufio.NewScanner(bytes.NewReader(w.Body.Bytes())); scan.Scan(); {
		line := scan.Text()
		if strings.HasPrefix(line, namePrefix) && !strings.HasPrefix(line, "sluice_build_info") {
			lines = append(lines, line)
		}
	}
	return lines
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("scrape shows\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestCounterCountsFromManyGoroutines(t *testing.T) {
	r := NewRegistry(Build{})
	f := NewCounterFamily(r, Opts{Name: "hits_total", Help: "Hits.", Labels: []string{"model"}})
	c := f.With("digits")
	if other := f.With("digits"); other != c {
		t.Error("With gave two handles for one set of values")
	}
	const workers, each = 16, 10_000
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for range each {
				if i%2 == 0 {
					c.Inc()
				} else {
					c.AddAt(uint32(i), 1)
				}
			}
		})
	}
	wg.Wait()
	if got := c.Value(); got != workers*each {
		t.Errorf("counted %d, want %d", got, workers*each)
	}
	wantLines(t, scrape(t, r), `sluice_hits_total{model="digits"} 160000`)
}

func TestReloadKeepsSeriesAndLastReleaseDropsThem(t *testing.T) {
	r := NewRegistry(Build{})
	f := NewCounterFamily(r, Opts{Name: "hits_total", Help: "Hits.", Labels: []string{"model"}})
	old := f.With("digits")
	old.Add(3)
	current := f.With("digits")
	old.Release()
	current.Inc()
	wantLines(t, scrape(t, r), `sluice_hits_total{model="digits"} 4`)
	current.Release()
	wantLines(t, scrape(t, r))
	current.Inc() // a straggler counts into nothing, and harms nothing
	f.With("digits").Inc()
	wantLines(t, scrape(t, r), `sluice_hits_total{model="digits"} 1`)
	defer func() {
		if recover() == nil {
			t.Error("a second Release of one reference went unnoticed")
		}
	}()
	current.Release()
}

func TestCounterRowShowsOnlyWhatHappened(t *testing.T) {
	r := NewRegistry(Build{})
	f := NewCounterFamily(r, Opts{Name: "requests_total", Help: "Requests.", Labels: []string{"model", "code"}})
	row := f.Row([]string{"OK", "INVALID", "DEADLINE"}, "digits")
	wantLines(t, scrape(t, r))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { row.At(2).Inc() })
	}
	wg.Wait()
	row.At(0).Inc()
	wantLines(t, scrape(t, r),
		`sluice_requests_total{code="DEADLINE",model="digits"} 8`,
		`sluice_requests_total{code="OK",model="digits"} 1`)
	row.Release()
	row.At(1).Inc()
	wantLines(t, scrape(t, r))
}

func TestGauges(t *testing.T) {
	r := NewRegistry(Build{})
	weight := NewGaugeFamily(r, Opts{Name: "weight_ratio", Help: "Weight.", Labels: []string{"version"}}).With("1")
	weight.Set(0.95)
	inFlight := NewUpDownFamily(r, Opts{Name: "in_flight", Help: "In flight."}).With()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			inFlight.Add(5)
			inFlight.AddAt(3, -3)
		})
	}
	wg.Wait()
	NewGaugeFunc(r, Opts{Name: "rows", Help: "Rows.", Labels: []string{"lane"}}, func(emit Emit) {
		emit(7, "a")
		emit(8, "b\xff")
	})
	wantLines(t, scrape(t, r),
		"sluice_in_flight 16",
		`sluice_rows{lane="a"} 7`,
		`sluice_rows{lane="b`+"\uFFFD"+`"} 8`,
		`sluice_weight_ratio{version="1"} 0.95`)
}

func TestHistogramPutsEachValueInItsBucket(t *testing.T) {
	for name, bounds := range map[string][]int64{
		"durations": DurationBounds(), "overhead": OverheadBounds(), "rows": RowBounds(),
		"zero": {0}, "huge": {1, math.MaxInt64 - 1}, "dense": {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBuckets(HistogramOpts{Opts: Opts{Name: name}, Bounds: bounds})
			values := []int64{0, 1, 2, 3, math.MaxInt64}
			for _, v := range bounds {
				values = append(values, v-1, v, v+1)
			}
			for _, v := range values {
				if v < 0 {
					continue
				}
				want, _ := slices.BinarySearch(bounds, v)
				if got := b.index(v); got != want {
					t.Errorf("%d is in bucket %d, want %d", v, got, want)
				}
			}
		})
	}
}

func TestHistogramExposition(t *testing.T) {
	r := NewRegistry(Build{})
	f := NewHistogramFamily(r, HistogramOpts{
		Opts:   Opts{Name: "wait_seconds", Help: "Wait."},
		Bounds: scaled(time.Microsecond, 50, 1000), PerUnit: PerSecond,
	})
	h := f.With()
	wantLines(t, scrape(t, r)) // nothing to show before the first observation
	if count, sum := h.Totals(); count != 0 || sum != 0 {
		t.Errorf("totals %d and %d before the first observation", count, sum)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			h.ObserveDuration(-time.Second)
			h.ObserveDuration(50 * time.Microsecond)
			h.ObserveDuration(250 * time.Microsecond)
			h.ObserveAt(1, int64(200*time.Microsecond))
			h.Observe(int64(time.Second))
		})
	}
	wg.Wait()
	wantLines(t, scrape(t, r),
		`sluice_wait_seconds_bucket{le="5e-05"} 16`, `sluice_wait_seconds_bucket{le="0.001"} 32`,
		`sluice_wait_seconds_bucket{le="+Inf"} 40`, `sluice_wait_seconds_sum 8.004`, `sluice_wait_seconds_count 40`)
}

func TestValuesAreReadWithoutAScrape(t *testing.T) {
	counters := NewCounterFamily(nil, Opts{Name: "a_total", Help: "A.", Labels: []string{"m"}})
	counters.With("x").Add(3)
	counters.With("y").Inc()
	levels := NewUpDownFamily(nil, Opts{Name: "b", Help: "B.", Labels: []string{"m"}})
	levels.With("x").Add(-2)
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"a counter", counters.Value("x"), 3},
		{"another", counters.Value("y"), 1},
		{"a counter that nobody holds", counters.Value("z"), 0},
		{"a level", levels.Value("x"), -2},
		{"a level that nobody holds", levels.Value("y"), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s reads as %d, want %d", c.what, c.got, c.want)
		}
	}
}

func TestBadFamiliesAreRefused(t *testing.T) {
	for name, declare := range map[string]func(r *Registry){
		"counter without total": func(r *Registry) { NewCounterFamily(r, Opts{Name: "hits", Help: "x"}) },
		"gauge with total":      func(r *Registry) { NewGaugeFamily(r, Opts{Name: "hits_total", Help: "x"}) },
		"prefixed":              func(r *Registry) { NewGaugeFamily(r, Opts{Name: "sluice_hits", Help: "x"}) },
		"no help":               func(r *Registry) { NewGaugeFamily(r, Opts{Name: "hits"}) },
		"camel case":            func(r *Registry) { NewGaugeFamily(r, Opts{Name: "hitRate", Help: "x"}) },
		"label twice":           func(r *Registry) { NewGaugeFamily(r, Opts{Name: "a", Help: "x", Labels: []string{"m", "m"}}) },
		"label le":              func(r *Registry) { NewGaugeFamily(r, Opts{Name: "a", Help: "x", Labels: []string{"le"}}) },
		"name twice": func(r *Registry) {
			NewGaugeFamily(r, Opts{Name: "a", Help: "x"})
			NewGaugeFamily(r, Opts{Name: "a", Help: "x"})
		},
		"values missing": func(r *Registry) {
			NewGaugeFamily(r, Opts{Name: "a", Help: "x", Labels: []string{"m"}}).With()
		},
		"bounds descend": func(r *Registry) {
			NewHistogramFamily(r, HistogramOpts{Opts: Opts{Name: "a", Help: "x"}, Bounds: []int64{2, 1}})
		},
		"no bounds": func(r *Registry) { NewHistogramFamily(r, HistogramOpts{Opts: Opts{Name: "a", Help: "x"}}) },
		"rate of no label": func(r *Registry) {
			of := NewCounterFamily(r, Opts{Name: "a_total", Help: "x"})
			NewRateFamily(r, Opts{Name: "a_per_second", Help: "x", Labels: []string{"model"}}, of)
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.HasPrefix(got, "BUG: metric ") {
					t.Errorf("recovered %q, want a panic that says BUG", got)
				}
			}()
			declare(NewRegistry(Build{}))
		})
	}
}

func TestNilRegistryCountsUnseen(t *testing.T) {
	c := NewCounterFamily(nil, Opts{Name: "hits_total", Help: "Hits."}).With()
	c.Inc()
	if c.Value() != 1 {
		t.Errorf("counted %d, want 1", c.Value())
	}
}

func TestDescribeListsFamiliesByName(t *testing.T) {
	r := NewRegistry(Build{Version: "v1", Revision: "abc"})
	NewGaugeFamily(r, Opts{Name: "z", Help: "Last."})
	NewHistogramFamily(r, HistogramOpts{Opts: Opts{Name: "b", Help: "H.", Labels: []string{"m"}}, Bounds: []int64{1, 2}})
	got := Describe(r)
	if len(got) != 3 || got[0].Name != "sluice_b" || got[1].Name != "sluice_build_info" || got[2].Name != "sluice_z" {
		t.Fatalf("described %+v", got)
	}
	if got[0].Kind != KindHistogram || !slices.Equal(got[0].Bounds, []float64{1, 2}) || !slices.Equal(got[0].Labels, []string{"m"}) {
		t.Errorf("described %+v", got[0])
	}
}

func TestRate(t *testing.T) {
	of := NewCounterFamily(nil, Opts{Name: "requests_total", Help: "R.", Labels: []string{"model", "version", "code"}})
	f := NewRateFamily(nil, Opts{Name: "requests_per_second", Help: "R.", Labels: []string{"model"}}, of)
	start := f.mu.lastRead
	a1, a2, b := of.With("a", "1", "OK"), of.With("a", "2", "OK"), of.With("b", "1", "OK")
	read := func(at time.Duration) map[string]float64 {
		got := map[string]float64{}
		f.Read(start.Add(at), func(v float64, labels ...string) { got[labels[0]] = math.Round(v*1e6) / 1e6 })
		return got
	}
	want := func(at time.Duration, a, b float64) {
		t.Helper()
		if got := read(at); len(got) != 2 || got["a"] != a || got["b"] != b {
			t.Errorf("at %v the rates are %v, want a %v and b %v", at, got, a, b)
		}
	}
	a1.Add(30)
	a2.Add(10)
	want(4*time.Second, 10, 0)
	for s := 5; s <= 40; s++ {
		a1.Add(7)
		b.Add(3)
		for range 5 { // eager readers do not shorten the window
			read(time.Duration(s)*time.Second - time.Millisecond)
		}
		want(time.Duration(s)*time.Second, rateAt(s, 4, 40, 7), rateAt(s, 4, 0, 3))
	}
	a1.Add(600)
	want(100*time.Second, 10, 0) // nobody read for a minute: the mean over it
	a2.Release()
	want(111*time.Second, 0, 0) // what is left of the group has no history
	a1.Add(22)
	want(122*time.Second, 2, 0)
	a1.Release()
	if got := read(130 * time.Second); len(got) != 1 {
		t.Errorf("the rates are %v, want b alone", got)
	}
}

// rateAt is the rate at second s of a counter that stood at base at second from and rose by slope a second since: over
// all its life until a read is ten seconds old.
func rateAt(s, from, base, slope int) float64 {
	if s-from >= 10 {
		return float64(slope)
	}
	return math.Round(float64(base+(s-from)*slope)/float64(s)*1e6) / 1e6
}
