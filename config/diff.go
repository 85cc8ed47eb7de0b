package config

import "fmt"

// Diff says in words what differs between two configurations, one sentence a
// setting, in the order of the file's format. Pools and models are matched by
// name and versions by version, so that moving one is no difference.
func Diff(was, now *Config) []string {
	var d differ
	d.compare(was.root, now.root, "")
	return d.out
}

type differ struct{ out []string }

func (d *differ) say(format string, args ...any) {
	d.out = append(d.out, fmt.Sprintf(format, args...))
}

func (d *differ) compare(a, b *value, path string) {
	switch {
	case a.key.Type == List:
		d.lists(a, b, path)
	case a.key.Type == Object:
		d.objects(a, b, path)
	case a.key.Secret && a.text != b.text:
		d.say("%s: changed (%s)", path, b.origin)
	case a.text != b.text || a.set != b.set:
		d.say("%s: %s -> %s (%s)", path, a.brief(), b.brief(), b.origin)
	}
}

// brief is a scalar in a sentence.
func (v *value) brief() string {
	if !v.set {
		return "unset"
	}
	if v.text == "" {
		return `""`
	}
	return v.shown()
}

func (d *differ) objects(a, b *value, path string) {
	if a.disabled != b.disabled {
		d.say("%s: %s", path, map[bool]string{true: "disabled (admin override)", false: "enabled"}[b.disabled])
	}
	for i, kid := range b.kids {
		name := b.key.Keys[i].Name
		if j := keyIndex(a.key, name); j >= 0 {
			d.compare(a.kids[j], kid, joinPath(path, name))
		}
	}
}

func (d *differ) lists(a, b *value, path string) {
	was := make(map[string]*value, len(a.kids))
	for _, kid := range a.kids {
		was[kid.identity()] = kid
	}
	is := make(map[string]bool, len(b.kids))
	for _, kid := range b.kids {
		is[kid.identity()] = true
	}
	for _, kid := range a.kids {
		if id := kid.identity(); !is[id] {
			d.say("%s[%s]: removed", path, id)
		}
	}
	for _, kid := range b.kids {
		id := kid.identity()
		at := fmt.Sprintf("%s[%s]", path, id)
		if old := was[id]; old == nil {
			d.say("%s: added (%s)", at, kid.origin)
		} else {
			d.compare(old, kid, at)
		}
	}
}
