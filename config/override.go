package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Override is what an admin changed about one model. It wins over the file
// until a reload changes the same thing there (see [Config.Inherit]).
type Override struct {
	// Model names the model.
	Model string `json:"model"`
	// Weights, unless nil, replaces the model's split: a version that it does
	// not name gets weight 0.
	Weights map[string]float64 `json:"weights,omitempty"`
	// Disabled lists the versions that are switched off, sorted.
	Disabled []string `json:"disabled,omitempty"`
}

func (o *Override) empty() bool { return o.Weights == nil && len(o.Disabled) == 0 }

// Overrides lists the overrides in force, sorted by model. Those of listed
// models are in Models already; those of discovered models are for whoever
// discovers them.
func (c *Config) Overrides() []Override { return c.overrides }

// Override gives the override of a model; its zero value where there is none.
func (c *Config) Override(model string) Override {
	for _, o := range c.overrides {
		if o.Model == model {
			return o
		}
	}
	return Override{Model: model}
}

// WithSplit gives the configuration with a model's weights replaced. nil
// weights give the model back its own.
func (c *Config) WithSplit(model string, weights map[string]float64) (*Config, error) {
	o := c.Override(model)
	o.Weights = maps.Clone(weights)
	if err := c.checkOverride(o); err != nil {
		return nil, err
	}
	return c.withOverride(o), nil
}

// WithVersion gives the configuration with one version of a model switched on
// or off.
func (c *Config) WithVersion(model, version string, enabled bool) (*Config, error) {
	o := c.Override(model)
	o.Disabled = slices.DeleteFunc(slices.Clone(o.Disabled), func(v string) bool { return v == version })
	if !enabled {
		o.Disabled = append(o.Disabled, version)
		slices.Sort(o.Disabled)
	}
	if err := c.checkVersions(model, []string{version}); err != nil {
		return nil, err
	}
	return c.withOverride(o), nil
}

// Inherit gives the configuration with the overrides of the one that it
// replaces: a split unless the model's own weights have changed, a switched
// off version as long as it exists.
func (c *Config) Inherit(prev *Config) *Config {
	for _, o := range prev.overrides {
		now, listed := c.baseWeights(o.Model)
		if was, _ := prev.baseWeights(o.Model); !maps.Equal(was, now) {
			o.Weights = nil
		}
		if listed {
			o.Disabled = slices.DeleteFunc(slices.Clone(o.Disabled), func(v string) bool {
				_, ok := now[v]
				return !ok
			})
		} else if !c.discovers() {
			continue
		}
		c = c.withOverride(o)
	}
	return c
}

func (c *Config) discovers() bool {
	return slices.ContainsFunc(c.Pools, func(p Pool) bool { return p.Discover })
}

// BaseWeights gives the weights of a listed model's versions without overrides;
// nil for a model that is not listed.
func (c *Config) BaseWeights(model string) map[string]float64 {
	weights, _ := c.baseWeights(model)
	return weights
}

// baseWeights gives a listed model's weights without overrides.
func (c *Config) baseWeights(model string) (weights map[string]float64, listed bool) {
	m := c.base.findModel(model)
	if m == nil {
		return nil, false
	}
	weights = make(map[string]float64)
	for _, t := range m.field("targets").kids {
		weights[t.field("version").str()] = t.field("weight").data.(float64)
	}
	return weights, true
}

func (v *value) findModel(name string) *value {
	for _, m := range v.field("models").kids {
		if m.field("name").str() == name {
			return m
		}
	}
	return nil
}

func (c *Config) checkOverride(o Override) error {
	if o.Weights == nil {
		return c.checkVersions(o.Model, nil)
	}
	versions := slices.Sorted(maps.Keys(o.Weights))
	if err := c.checkVersions(o.Model, versions); err != nil {
		return err
	}
	sum := 0.0
	for _, v := range versions {
		w := o.Weights[v]
		if math.IsNaN(w) || w < 0 || w > 1e9 {
			return fmt.Errorf("weight of version %s must be from 0 to 1e+09, got %v", quoted(v), w)
		}
		sum += w
	}
	if sum == 0 {
		return fmt.Errorf("the weights of model %s are all zero", quoted(o.Model))
	}
	return nil
}

// checkVersions refuses models and versions that do not exist. What a pool
// discovers is not known here: such names are taken as they are.
func (c *Config) checkVersions(model string, versions []string) error {
	known, listed := c.baseWeights(model)
	if !listed {
		if c.discovers() {
			return nil
		}
		return fmt.Errorf("there is no model %s", quoted(model))
	}
	for _, v := range versions {
		if _, ok := known[v]; !ok {
			return fmt.Errorf("model %s has no version %s (it has %s)", quoted(model), quoted(v), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	return nil
}

// withOverride builds the configuration anew with o in place of the model's
// former override.
func (c *Config) withOverride(o Override) *Config {
	list := slices.DeleteFunc(slices.Clone(c.overrides), func(other Override) bool { return other.Model == o.Model })
	if !o.empty() {
		list = append(list, o)
		slices.SortFunc(list, func(a, b Override) int { return strings.Compare(a.Model, b.Model) })
	}
	root := *c.base
	root.kids = slices.Clone(root.kids)
	i := keyIndex(root.key, "models")
	models := *root.kids[i]
	models.kids = slices.Clone(models.kids)
	root.kids[i] = &models
	for _, o := range list {
		for j, m := range models.kids {
			if m.field("name").str() == o.Model {
				models.kids[j] = o.apply(m)
			}
		}
	}
	next := build(&root, c.kinds)
	next.base, next.baseHash = c.base, c.baseHash
	next.file, next.warnings, next.overrides = c.file, c.warnings, list
	next.hash = overrideHash(c.baseHash, list)
	return next
}

// apply gives a copy of a model with the override's values.
func (o *Override) apply(model *value) *value {
	m := model.clone()
	origin := Origin{Source: SourceAdmin}
	for _, t := range m.field("targets").kids {
		version := t.field("version").str()
		if o.Weights != nil {
			w := o.Weights[version]
			weight := t.field("weight")
			weight.set, weight.origin = true, origin
			weight.data, weight.text = w, strconv.FormatFloat(w, 'g', -1, 64)
		}
		t.disabled = slices.Contains(o.Disabled, version)
	}
	return m
}

func overrideHash(base string, list []Override) string {
	if len(list) == 0 {
		return base
	}
	h := sha256.New()
	fmt.Fprint(h, base)
	for _, o := range list {
		fmt.Fprintf(h, "%q%t", o.Model, o.Weights != nil)
		for _, v := range slices.Sorted(maps.Keys(o.Weights)) {
			fmt.Fprintf(h, "%q=%v", v, o.Weights[v])
		}
		fmt.Fprintf(h, "%q", o.Disabled)
	}
	return hex.EncodeToString(h.Sum(nil))
}
