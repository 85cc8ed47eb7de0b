package config

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

const twoVersions = `
version: 1
pools: [{name: p, kind: onnx, repository: models}]
models:
  - name: other
    targets: [{version: 1, pool: p}]
  - name: m
    targets: [{version: 1, pool: p, weight: 95}, {version: 2, pool: p, weight: 5}]
`

// state is what clients would see of model m.
func state(c *Config) (weights map[string]float64, disabled []string) {
	weights = make(map[string]float64)
	for _, m := range c.Models {
		if m.Name != "m" {
			continue
		}
		for _, t := range m.Targets {
			weights[t.Version] = t.Weight
			if t.Disabled {
				disabled = append(disabled, t.Version)
			}
		}
	}
	return weights, disabled
}

func TestOverrides(t *testing.T) {
	base := mustLoad(t, twoVersions)
	split, err := base.WithSplit("m", map[string]float64{"2": 10})
	if err != nil {
		t.Fatal(err)
	}
	off, err := split.WithVersion("m", "1", false)
	if err != nil {
		t.Fatal(err)
	}
	on, err := off.WithVersion("m", "1", true)
	if err != nil {
		t.Fatal(err)
	}
	back, err := on.WithSplit("m", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		c        *Config
		weights  map[string]float64
		disabled []string
		origin   string
		list     []Override
	}{
		{"base", base, map[string]float64{"1": 95, "2": 5}, nil, "testdata/sluice.yaml:8:80", nil},
		{"split", split, map[string]float64{"1": 0, "2": 10}, nil, "admin override", []Override{{Model: "m", Weights: map[string]float64{"2": 10}}}},
		{"off", off, map[string]float64{"1": 0, "2": 10}, []string{"1"}, "admin override", []Override{{Model: "m", Weights: map[string]float64{"2": 10}, Disabled: []string{"1"}}}},
		{"on", on, map[string]float64{"1": 0, "2": 10}, nil, "admin override", []Override{{Model: "m", Weights: map[string]float64{"2": 10}, Disabled: []string{}}}},
		{"back", back, map[string]float64{"1": 95, "2": 5}, nil, "testdata/sluice.yaml:8:80", nil},
	} {
		weights, disabled := state(tt.c)
		if !reflect.DeepEqual(weights, tt.weights) || !reflect.DeepEqual(disabled, tt.disabled) {
			t.Errorf("%s: weights %v, disabled %v, want %v, %v", tt.name, weights, disabled, tt.weights, tt.disabled)
		}
		if got, err := tt.c.Origin("models[m].targets[1].weight"); err != nil || got.String() != tt.origin {
			t.Errorf("%s: origin %v, %v, want %s", tt.name, got, err, tt.origin)
		}
		if got := tt.c.Overrides(); len(got)+len(tt.list) > 0 && !reflect.DeepEqual(got, tt.list) {
			t.Errorf("%s: overrides %+v, want %+v", tt.name, got, tt.list)
		}
	}
	for _, c := range []*Config{base, off} {
		if got, want := c.BaseWeights("m"), (map[string]float64{"1": 95, "2": 5}); !reflect.DeepEqual(got, want) {
			t.Errorf("BaseWeights = %v, want %v", got, want)
		}
	}
	if got := base.BaseWeights("x"); got != nil {
		t.Errorf("BaseWeights of no model = %v, want nil", got)
	}
	if back.Hash() != base.Hash() || split.Hash() == base.Hash() || off.Hash() == split.Hash() {
		t.Errorf("hashes: base %s, split %s, off %s, back %s", base.Hash(), split.Hash(), off.Hash(), back.Hash())
	}
	want := []string{
		"models[m].targets[1]: disabled (admin override)",
		"models[m].targets[1].weight: 95 -> 0 (admin override)",
		"models[m].targets[2].weight: 5 -> 10 (admin override)",
	}
	if got := Diff(base, off); !reflect.DeepEqual(got, want) {
		t.Errorf("Diff = %q, want %q", got, want)
	}
}

func TestOverrideProblems(t *testing.T) {
	c := mustLoad(t, twoVersions)
	split := func(model string, weights map[string]float64) error {
		_, err := c.WithSplit(model, weights)
		return err
	}
	_, noVersion := c.WithVersion("m", "3", false)
	_, noModel := c.WithVersion("x", "3", false)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{split("x", map[string]float64{"1": 1}), `there is no model "x"`},
		{split("m", map[string]float64{"3": 1}), `model "m" has no version "3" (it has 1, 2)`},
		{split("m", map[string]float64{"1": -1}), `weight of version "1" must be from 0 to 1e+09, got -1`},
		{split("m", map[string]float64{"1": math.NaN()}), `weight of version "1" must be from 0 to 1e+09, got NaN`},
		{split("m", map[string]float64{"1": math.Inf(1)}), `weight of version "1" must be from 0 to 1e+09, got +Inf`},
		{split("m", map[string]float64{"1": 0}), `the weights of model "m" are all zero`},
		{split("m", map[string]float64{}), `the weights of model "m" are all zero`},
		{noVersion, `model "m" has no version "3" (it has 1, 2)`},
		{noModel, `there is no model "x"`},
	} {
		if tt.err == nil || tt.err.Error() != tt.want {
			t.Errorf("got %v, want %s", tt.err, tt.want)
		}
	}
}

// TestInherit: what a reload keeps of an admin's overrides.
func TestInherit(t *testing.T) {
	prev, err := mustLoad(t, twoVersions).WithSplit("m", map[string]float64{"1": 1, "2": 1})
	if err != nil {
		t.Fatal(err)
	}
	if prev, err = prev.WithVersion("m", "2", false); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, from, to string
		weights        map[string]float64
		disabled       []string
	}{
		{"nothing changed", "", "", map[string]float64{"1": 1, "2": 1}, []string{"2"}},
		{"another model changed", "name: other", "name: third", map[string]float64{"1": 1, "2": 1}, []string{"2"}},
		{"weights changed", "weight: 95", "weight: 96", map[string]float64{"1": 96, "2": 5}, []string{"2"}},
		{"version replaced", "{version: 2", "{version: 3", map[string]float64{"1": 95, "3": 5}, nil},
		{"model gone", "name: m", "name: n", map[string]float64{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next := mustLoad(t, strings.Replace(twoVersions, tt.from, tt.to, 1)).Inherit(prev)
			weights, disabled := state(next)
			if !reflect.DeepEqual(weights, tt.weights) || !reflect.DeepEqual(disabled, tt.disabled) {
				t.Errorf("weights %v, disabled %v, want %v, %v", weights, disabled, tt.weights, tt.disabled)
			}
		})
	}
}

// TestOverridesOfDiscoveredModels are kept for whoever discovers them.
func TestOverridesOfDiscoveredModels(t *testing.T) {
	c := mustLoad(t, "version: 1\npools: [{name: p, kind: onnx, repository: models, discover: true}]\n")
	c, err := c.WithVersion("found", "7", false)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Override("found").Disabled; !reflect.DeepEqual(got, []string{"7"}) {
		t.Errorf("disabled = %v", got)
	}
	kept := mustLoad(t, "version: 1\npools: [{name: p, kind: onnx, repository: models, discover: true}]\n").Inherit(c)
	if got := kept.Override("found").Disabled; !reflect.DeepEqual(got, []string{"7"}) {
		t.Errorf("after a reload disabled = %v", got)
	}
	gone := mustLoad(t, twoVersions).Inherit(c)
	if got := gone.Overrides(); len(got) != 0 {
		t.Errorf("without discovery: %v", got)
	}
}

func TestDiff(t *testing.T) {
	a := mustLoad(t, `
version: 1
pools:
  - {name: p, kind: onnx, repository: models, devices: [cpu]}
  - {name: q, kind: onnx, repository: models, discover: true}
models:
  - {name: m, targets: [{version: 1, pool: p, labels: [a]}, {version: 2, pool: p}], deadline: 1s}
  - {name: n, targets: [{version: 1, pool: p}]}
drain: {grace: 1m}
`)
	b := mustLoad(t, `
version: 1
listen: {http: {prefix: /x}}
pools:
  - {name: q, kind: puppet, script: s, discover: true}
  - {name: p, kind: onnx, repository: models, devices: [cpu, "cuda:0"]}
models:
  - {name: k, targets: [{version: 1, pool: p}]}
  - {name: m, targets: [{version: 2, pool: p, weight: 3}, {version: 1, pool: p, labels: [b]}], queue: {max_rows: 5}}
drain: {grace: 60s}
`)
	want := []string{
		`listen.http.prefix: unset -> /x (testdata/sluice.yaml:3:25)`,
		`pools[q].kind: onnx -> puppet (testdata/sluice.yaml:5:21)`,
		`pools[p].devices[cuda:0]: added (testdata/sluice.yaml:6:62)`,
		`models[n]: removed`,
		`models[k]: added (testdata/sluice.yaml:8:5)`,
		`models[m].targets[2].weight: 1 -> 3 (testdata/sluice.yaml:9:55)`,
		`models[m].targets[1].labels[a]: removed`,
		`models[m].targets[1].labels[b]: added (testdata/sluice.yaml:9:90)`,
		`models[m].queue.max_rows: 4096 -> 5 (testdata/sluice.yaml:9:114)`,
		`models[m].deadline: 1s -> unset (default)`,
	}
	if got := Diff(a, b); !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := Diff(a, a); got != nil {
		t.Errorf("Diff of one with itself: %v", got)
	}
}
