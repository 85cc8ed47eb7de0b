package router

import (
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/tensor"
)

func TestMain(m *testing.M) { leak.Main(m) }

// next accepts calls and counts them; it finishes them at once unless it holds them.
type next struct {
	calls atomic.Int64
	hold  bool
	err   error
}

func (n *next) Submit(c *infer.Call, b *infer.Burst) error {
	if n.err != nil {
		return n.err
	}
	n.calls.Add(1)
	if !n.hold {
		c.Finish(infer.Succeeded, nil, b)
	}
	return nil
}

func target(version string, dims ...int64) *infer.Target {
	return &infer.Target{
		Model: &infer.Model{Name: "m", Version: version, Inputs: []infer.Spec{{Name: "x", DType: tensor.FP32, Dims: dims}}},
		Next:  &next{},
	}
}

func mustTable(t *testing.T, r *Router, gen *infer.Generation, models ...Model) *Table {
	t.Helper()
	table, err := NewTable(gen, models, false, r.Count)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func newRouter(t *testing.T, models ...Model) *Router {
	t.Helper()
	r := New(nil)
	r.Swap(mustTable(t, r, infer.NewGeneration(1, ""), models...))
	return r
}

func code(err error) infer.Code {
	var e *infer.Error
	if !errors.As(err, &e) {
		return infer.OK
	}
	return e.Code
}

func TestLookup(t *testing.T) {
	one, two := target("1", -1, 4), target("2", -1, 4)
	r := newRouter(t,
		Model{Name: "m", Versions: []Version{
			{Name: "1", Weight: 1, Labels: []string{"stable"}, Target: one},
			{Name: "2", Labels: []string{"canary"}, Target: two},
			{Name: "3", Weight: 1, Reason: "the file is cut"},
		}},
		Model{Name: "off", Versions: []Version{{Name: "1", Target: target("1")}}},
		Model{Name: "drained", Versions: []Version{{Name: "1", Weight: 1, Reason: "they are away", Drained: true}, {Name: "2", Reason: "no such operator"}}},
		Model{Name: "broken", Versions: []Version{{Name: "1", Weight: 1, Reason: "no such operator"}}},
	)
	for _, tc := range []struct {
		name, version, label string
		want                 *infer.Target
		code                 infer.Code
		says                 string
	}{
		{"m", "", "", one, infer.OK, ""},
		{"m", "1", "", one, infer.OK, ""},
		{"m", "2", "", two, infer.OK, ""},
		{"m", "", "canary", two, infer.OK, ""},
		{"m", "canary", "", two, infer.OK, ""},
		{"m", "3", "", nil, infer.NotReady, `version "3" of model "m" is not ready: the file is cut`},
		{"m", "4", "", nil, infer.UnknownVersion, `model "m" has no version "4"; it has "1", label "stable", "2", label "canary", "3"`},
		{"m", "", "beta", nil, infer.UnknownVersion, `model "m" has no label "beta"`},
		{"x", "", "", nil, infer.UnknownModel, `no model is called "x"; there is "broken", "drained", "m", "off"`},
		{"off", "", "", nil, infer.NotReady, "all weights are zero"},
		{"drained", "", "", nil, infer.NoEndpoint, `model "drained" has no version that is ready: version "1": they are away`},
		{"drained", "1", "", nil, infer.NoEndpoint, `version "1" of model "drained" is not ready: they are away`},
		{"drained", "2", "", nil, infer.NotReady, "no such operator"},
		{"broken", "", "", nil, infer.NotReady, `version "1": no such operator`},
		{strings.Repeat("x", 200) + "\n", "", "", nil, infer.UnknownModel, strings.Repeat("x", 128) + `"...; `},
	} {
		q := infer.Query{Name: []byte(tc.name), Version: []byte(tc.version), Label: []byte(tc.label)}
		route, err := r.Lookup(&q)
		if code(err) != tc.code {
			t.Errorf("%q %q %q: %v, want code %v", tc.name, tc.version, tc.label, err, tc.code)
			continue
		}
		if err != nil {
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%q %q: says %q, want %q", tc.name, tc.version, err, tc.says)
			}
			continue
		}
		if len(route.Targets) != 1 || route.Targets[0] != tc.want || route.Model != tc.want.Model {
			t.Errorf("%q %q %q: leads to %+v", tc.name, tc.version, tc.label, route.Targets)
		}
		q.Hold.Drop()
	}
}

// TestErrorsNameFewOfManyVersions asks for versions of models that have thousands.
func TestErrorsNameFewOfManyVersions(t *testing.T) {
	var served, lost []Version
	for i := range 3000 {
		name := strconv.Itoa(i)
		served = append(served, Version{Name: name, Weight: 1, Target: target(name)})
		lost = append(lost, Version{Name: name, Weight: 1, Reason: "the file is cut"})
	}
	r := newRouter(t, Model{Name: "served", Versions: served}, Model{Name: "lost", Versions: lost})
	for _, q := range []infer.Query{{Name: []byte("served"), Version: []byte("4000")}, {Name: []byte("lost")}} {
		_, err := r.Lookup(&q)
		if err == nil || len(err.Error()) > 500 || !strings.HasSuffix(err.Error(), " and 2990 more") {
			t.Errorf("%s: got %.600v", q.Name, err)
		}
	}
}

func TestUnknownModelNamesFewOfMany(t *testing.T) {
	var models []Model
	for _, n := range "abcdefghijklmno" {
		models = append(models, Model{Name: string(n), Versions: []Version{{Name: "1", Weight: 1, Target: target("1")}}})
	}
	_, err := newRouter(t, models...).Lookup(&infer.Query{Name: []byte("z")})
	if !strings.HasSuffix(err.Error(), `"j" and 5 more`) {
		t.Error(err)
	}
	if _, err := newRouter(t).Lookup(&infer.Query{}); !strings.HasSuffix(err.Error(), "there are no models") {
		t.Error(err)
	}
}

func TestTableRefusesTwins(t *testing.T) {
	for _, models := range [][]Model{
		{{Name: "m"}, {Name: "m"}},
		{{Name: "m", Versions: []Version{{Name: "1"}, {Name: "1"}}}},
		{{Name: "m", Versions: []Version{{Name: "1", Labels: []string{"l"}}, {Name: "2", Labels: []string{"l"}}}}},
	} {
		if _, err := NewTable(infer.NewGeneration(1, ""), models, false, New(nil).Count); err == nil {
			t.Errorf("%+v accepted", models)
		}
	}
}

func TestAPartialTableDoesNotSayThatANameIsUnknown(t *testing.T) {
	r := New(nil)
	table, err := NewTable(infer.NewGeneration(1, ""), nil, true, r.Count)
	if err != nil {
		t.Fatal(err)
	}
	r.Swap(table)
	if _, err := r.Lookup(&infer.Query{Name: []byte("m")}); code(err) != infer.NotReady {
		t.Errorf("answered %v", err)
	}
}

// shares checks every stretch of window picks against the weights.
func shares(t *testing.T, weights []float64, picks []int, window int, tolerance float64) {
	t.Helper()
	total := 0.0
	for _, w := range weights {
		total += w
	}
	counts := make([]int, len(weights))
	for i, p := range picks {
		counts[p]++
		if i >= window {
			counts[picks[i-window]]--
		}
		if i < window-1 {
			continue
		}
		for v, n := range counts {
			if off := math.Abs(float64(n)/float64(window) - weights[v]/total); off > tolerance {
				t.Fatalf("weights %v: target %d has a share of %.4f, want %.4f", weights, v, float64(n)/float64(window), weights[v]/total)
			}
		}
	}
}

func TestSplitKeepsItsSharesInEveryStretch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	cases := [][]float64{{1}, {95, 5}, {1, 1, 1}, {999, 1}, {0.5, 0.25, 0.25}, {0, 3}, {1, 1e6}, {33.3, 66.7}}
	for range 20 {
		var w []float64
		for range 1 + rng.IntN(5) {
			w = append(w, rng.Float64()*100)
		}
		cases = append(cases, w)
	}
	for _, w := range cases {
		s := newSplit(w, new(atomic.Uint64))
		picks := make([]int, 30_000)
		for i := range picks {
			picks[i] = s.pick()
		}
		shares(t, w, picks, 10_000, 0.002)
		shares(t, w, picks, 1000, 0.005)
	}
}

func TestSplitOutlivesTables(t *testing.T) {
	r := New(nil)
	model := Model{Name: "m", Versions: []Version{
		{Name: "1", Weight: 3, Target: target("1", 4)}, {Name: "2", Weight: 1, Target: target("2", 4)},
	}}
	got := map[string]int{}
	m := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
	for i := range 400 {
		if i%7 == 0 {
			r.Swap(mustTable(t, r, infer.NewGeneration(uint64(i), ""), model))
		}
		c := submit(t, r, m, "m", 0)
		got[c.Target.Model.Version]++
		c.Release()
	}
	if got["1"] != 300 {
		t.Errorf("versions served %v, want 300 to 100", got)
	}
}

// submit looks model up, submits a call and returns it with the caller's reference.
func submit(t *testing.T, r *Router, m *infer.Memory, model string, deadline int64) *infer.Call {
	t.Helper()
	q := infer.Query{Name: []byte(model)}
	route, err := r.Lookup(&q)
	if err != nil {
		t.Fatal(err)
	}
	req := m.NewRequest()
	req.Bind(route, &q)
	c := m.NewCall(req)
	req.Release()
	c.Deadline = deadline
	if err := r.Submit(c, nil); err != nil {
		c.Fail(err.(*infer.Error), nil)
	}
	return c
}

func TestTargetsThatDifferAreLookedUpOneByOne(t *testing.T) {
	r := newRouter(t, Model{Name: "m", Versions: []Version{
		{Name: "1", Weight: 1, Target: target("1", -1, 4)}, {Name: "2", Weight: 1, Target: target("2", -1, 5)},
	}})
	got := map[string]int{}
	for range 100 {
		q := infer.Query{Name: []byte("m")}
		route, err := r.Lookup(&q)
		if err != nil || len(route.Targets) != 1 {
			t.Fatalf("%v, %v", route, err)
		}
		got[route.Model.Version]++
		q.Hold.Drop()
	}
	if got["1"] != 50 {
		t.Errorf("routes %v, want 50 each", got)
	}
}

func TestSubmitRefusesWhatHasExpired(t *testing.T) {
	r := newRouter(t, Model{Name: "m", Versions: []Version{{Name: "1", Weight: 1, Target: target("1")}}})
	m := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
	c := submit(t, r, m, "m", infer.Now()-1)
	if c.Error != infer.ErrExpiredAtDoor {
		t.Errorf("ended with %v", c.Error)
	}
	c.Release()
	if err := m.Check(); err != nil {
		t.Error(err)
	}
}

func TestSubmitArmsTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := infer.NewExpiry()
		defer x.Close()
		r := New(x)
		tg := target("1")
		tg.Next = &next{hold: true}
		r.Swap(mustTable(t, r, infer.NewGeneration(1, ""), Model{Name: "m", Versions: []Version{{Name: "1", Weight: 1, Target: tg}}}))
		m := infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(1<<20)))
		c := submit(t, r, m, "m", infer.Now()+int64(50*time.Millisecond))
		time.Sleep(60 * time.Millisecond)
		synctest.Wait()
		if c.Error != infer.ErrExpiredInQueue {
			t.Errorf("ended with %v", c.Error)
		}
		c.Release()
		if err := m.Check(); err != nil {
			t.Error(err)
		}
	})
}

func TestLookupDuringReloadsHoldsTheTableItRead(t *testing.T) {
	r := New(nil)
	table := func(id uint64) *Table {
		tg := target("1")
		tab, err := NewTable(infer.NewGeneration(id, ""), []Model{{Name: "m", Versions: []Version{{Name: "1", Weight: 1, Target: tg}}}}, false, r.Count)
		if err != nil {
			t.Error(err)
		}
		return tab
	}
	r.Swap(table(1))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				q := infer.Query{Name: []byte("m"), Spread: uint32(w)}
				if _, err := r.Lookup(&q); err != nil {
					t.Error(err)
					return
				}
				if q.Hold.Generation().Holders() < 1 {
					t.Error("a held generation has no holders")
				}
				q.Hold.Drop()
			}
		})
	}
	for id := range uint64(500) {
		if !r.Swap(table(id + 2)).Retire(nil) {
			t.Error("a generation did not drain")
		}
	}
	close(stop)
	wg.Wait()
}
