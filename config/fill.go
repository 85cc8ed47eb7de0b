package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Options holds the values of the keys that a pool's kind declared.
type Options struct {
	v *value
	n int // the first key that the kind declared
}

// Into copies the options into the struct that dst points to, key max_rows into
// field MaxRows. It panics where the struct has no such field or one of another
// type: the kind's keys and its struct are written together.
func (o Options) Into(dst any) {
	for i := o.n; i < len(o.v.kids); i++ {
		fillField(reflect.ValueOf(dst).Elem(), o.v.kids[i])
	}
}

// Equal says whether two pools have the same kind of options with the same
// values, wherever they came from: what outlives a reload may then stay.
func (o Options) Equal(other Options) bool {
	return o.n == other.n && slices.EqualFunc(o.v.kids[o.n:], other.v.kids[other.n:], equal)
}

func equal(a, b *value) bool {
	return a.key.Name == b.key.Name && a.set == b.set && a.text == b.text && slices.EqualFunc(a.kids, b.kids, equal)
}

// build makes the structs of a checked tree.
func build(root *value, kinds []Kind) *Config {
	c := &Config{root: root, kinds: kinds}
	fill(reflect.ValueOf(c).Elem(), root)
	for i := range c.Pools {
		c.Pools[i].Body = c.Limits.Body
	}
	return c
}

// fill copies v into dst: an int, float64, int64, Duration, bool, string,
// slice or struct.
func fill(dst reflect.Value, v *value) {
	switch v.key.Type {
	case Object:
		common := len(v.kids)
		if v.key.isPool() {
			pool := poolKey()
			common = len(pool.Keys)
			dst.FieldByName("Options").Set(reflect.ValueOf(Options{v: v, n: common}))
		}
		for _, kid := range v.kids[:common] {
			fillField(dst, kid)
		}
		if f := dst.FieldByName("Disabled"); f.IsValid() && v.disabled {
			f.SetBool(true)
		}
	case List:
		if len(v.kids) == 0 {
			return
		}
		dst.Set(reflect.MakeSlice(dst.Type(), len(v.kids), len(v.kids)))
		for i, kid := range v.kids {
			fill(dst.Index(i), kid)
		}
	case Int, Size, Duration:
		dst.SetInt(v.data.(int64))
	case Float:
		dst.SetFloat(v.data.(float64))
	case Percent:
		dst.SetFloat(v.data.(float64) / 100)
	case Bool:
		dst.SetBool(v.data.(bool))
	default:
		dst.SetString(v.str())
	}
}

func fillField(dst reflect.Value, v *value) {
	f := dst.FieldByNameFunc(func(name string) bool { return fieldMatches(name, v.key.Name) })
	if !f.IsValid() {
		panic(fmt.Sprintf("BUG: config: %s has no field for the key %q", dst.Type(), v.key.Name))
	}
	fill(f, v)
}

// fieldMatches pairs MaxRows with max_rows and HTTP with http.
func fieldMatches(field, key string) bool {
	return strings.EqualFold(field, strings.ReplaceAll(key, "_", ""))
}
