package config

import (
	"fmt"
	"strings"
)

// value is one effective value: a node of the tree that mirrors the table.
type value struct {
	key    *Key
	origin Origin
	// set is false where the key has no default and was not given.
	set bool
	// data and text are a scalar's value and spelling (see scalar.go).
	data any
	text string
	// kids are an object's fields, in the order of key.Keys, or a list's items.
	kids []*value
	// disabled marks a target that an admin override switched off.
	disabled bool
}

// newDefault gives the default of a key, in a value of its own whose kids are
// shared with other defaults: set kids by putting others in their place.
func (s *schema) newDefault(key *Key) *value {
	v := *s.sharedDefault(key)
	v.kids = append([]*value(nil), v.kids...)
	return &v
}

// sharedDefault gives the one default of a key, so that a file of many models
// does not hold many copies of what it leaves out.
func (s *schema) sharedDefault(key *Key) *value {
	if v := s.defaults[key]; v != nil {
		return v
	}
	v := &value{key: key}
	switch {
	case key.Type == Object:
		v.kids = make([]*value, len(key.Keys))
		for i := range key.Keys {
			v.kids[i] = s.sharedDefault(&key.Keys[i])
		}
	case key.Default == "":
		v.data = zero(key.Type)
	case key.Type == List:
		v.set = true
		for _, text := range strings.Split(key.Default, ",") {
			v.kids = append(v.kids, defaultScalar(key.Item, text))
		}
	default:
		v = defaultScalar(key, key.Default)
	}
	s.defaults[key] = v
	return v
}

func defaultScalar(key *Key, text string) *value {
	data, text, err := parseScalar(key, text)
	if err != nil {
		panic(fmt.Sprintf("BUG: config: default of %s: %v", key.Name, err))
	}
	return &value{key: key, set: true, data: data, text: text}
}

func zero(t Type) any {
	switch t {
	case Int, Size, Duration:
		return int64(0)
	case Float, Percent:
		return float64(0)
	case Bool:
		return false
	}
	return ""
}

// clone copies the tree; keys are shared.
func (v *value) clone() *value {
	c := *v
	c.kids = make([]*value, len(v.kids))
	for i, kid := range v.kids {
		c.kids[i] = kid.clone()
	}
	return &c
}

// field gives an object's field; the name must be in the table.
func (v *value) field(name string) *value {
	for i := range v.key.Keys {
		if v.key.Keys[i].Name == name {
			return v.kids[i]
		}
	}
	panic(fmt.Sprintf("BUG: config: no key %q in %q", name, v.key.Name))
}

// str is the text of a scalar that holds a string.
func (v *value) str() string { return v.data.(string) }

// walk visits v and all below it, with paths as models[0].name.
func (v *value) walk(path string, visit func(path string, v *value)) {
	visit(path, v)
	for i, kid := range v.kids {
		kid.walk(v.kidPath(path, i), visit)
	}
}

func (v *value) kidPath(path string, i int) string {
	if v.key.Type == List {
		return fmt.Sprintf("%s[%d]", path, i)
	}
	return joinPath(path, v.key.Keys[i].Name)
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
