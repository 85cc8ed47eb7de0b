package config

import (
	"fmt"
	"strings"
)

// Explanation is all that is known about one setting.
type Explanation struct {
	// Path is the setting.
	Path string `json:"path"`
	// Type says in words what it holds.
	Type string `json:"type"`
	// Doc and Raise explain it.
	Doc   string `json:"doc"`
	Raise string `json:"raise,omitempty"`
	// Default is its default; empty: none.
	Default string `json:"default,omitempty"`
	// Value and Origin are its effective value and where that came from. They
	// are empty for objects, lists and what the configuration does not hold.
	Value  string `json:"value,omitempty"`
	Origin string `json:"origin,omitempty"`
	// Keys lists what is below it.
	Keys []string `json:"keys,omitempty"`
}

// Explain explains the setting at path. Beside what [Config.Origin] takes, a
// path may leave a list's item open: models[].deadline.
func (c *Config) Explain(path string) (Explanation, error) {
	if strings.Contains(path, "[]") {
		return c.explainKey(path)
	}
	v, at, err := c.find(path)
	if err != nil {
		return Explanation{}, err
	}
	e := newSchema(c.kinds).explain(v.key, at)
	if v.key.Type != Object && v.key.Type != List {
		e.Value, e.Origin = v.shown(), v.origin.String()
		if !v.set {
			e.Value = "(unset)"
		}
		return e, nil
	}
	if v.key.Type == List && v.key.Item.Type != Object {
		texts := make([]string, len(v.kids))
		for i, kid := range v.kids {
			texts[i] = kid.shown()
		}
		e.Value, e.Origin = "["+strings.Join(texts, ", ")+"]", v.origin.String()
	}
	return e, nil
}

// explainKey explains a key of the table that no value may exist for. A pool's
// keys are looked for in every kind.
func (c *Config) explainKey(path string) (Explanation, error) {
	s := newSchema(c.kinds)
	key := &s.root
	for name := range strings.SplitSeq(path, ".") {
		bare := name
		items := 0
		for strings.HasSuffix(bare, "[]") {
			bare = strings.TrimSuffix(bare, "[]")
			items++
		}
		next := s.fieldOfAny(key, bare)
		if next == nil {
			return Explanation{}, fmt.Errorf("%s: there is no setting %s%s", quoted(path), quoted(bare), didYouMean(bare, key.names()))
		}
		key = next
		for ; items > 0; items-- {
			if key.Type != List {
				return Explanation{}, fmt.Errorf("%s: %s is no list", quoted(path), quoted(bare))
			}
			key = key.Item
		}
	}
	return s.explain(key, path), nil
}

func (s *schema) fieldOfAny(key *Key, name string) *Key {
	if f := key.field(name); f != nil || !key.isPool() {
		return f
	}
	for i := range s.pools {
		if f := s.pools[i].field(name); f != nil {
			return f
		}
	}
	return nil
}

func (s *schema) explain(key *Key, path string) Explanation {
	e := Explanation{Path: path, Type: s.typeName(key), Doc: key.Doc, Raise: key.Raise, Default: key.Default}
	if key.Type == List && key.Default != "" {
		e.Default = "[" + strings.ReplaceAll(key.Default, ",", ", ") + "]"
	}
	below := key
	if key.Type == List {
		below = key.Item
	}
	for i := range below.Keys {
		e.Keys = append(e.Keys, below.Keys[i].Name)
	}
	return e
}

// String is the explanation as a person reads it.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", orWhole(e.Path), e.Type)
	for _, line := range []struct{ name, text string }{
		{"", e.Doc},
		{"raising it: ", e.Raise},
		{"value:   ", e.Value},
		{"origin:  ", e.Origin},
		{"default: ", e.Default},
		{"keys:    ", strings.Join(e.Keys, ", ")},
	} {
		if line.text != "" {
			fmt.Fprintf(&b, "  %s%s\n", line.name, line.text)
		}
	}
	return b.String()
}

func orWhole(path string) string {
	if path == "" {
		return "(the whole file)"
	}
	return path
}
