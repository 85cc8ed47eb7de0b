package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxAliased bounds how many values aliases and merges may stand for, so that
// a small file cannot mean a huge configuration.
const maxAliased = 100_000

// decoder turns YAML nodes into values, as the table says.
type decoder struct {
	schema *schema
	name   string // the file, in origins
	dir    string // what relative files are relative to
	getenv func(string) (string, bool)
	used   map[string]string // the environment values that were expanded
	probs  *problems

	aliased int // values reached through aliases so far
	depth   int // aliases being decoded now
}

func (d *decoder) origin(n *yaml.Node) Origin {
	return Origin{Source: SourceFile, Name: d.name, Line: n.Line, Column: n.Column}
}

// decode reads node as key asks for. It always gives a value: where node is
// wrong, the default.
func (d *decoder) decode(key *Key, node *yaml.Node, path string) *value {
	target, alias := d.resolve(node)
	if alias {
		d.depth++
		defer func() { d.depth-- }()
	}
	if !d.spend(node) {
		return d.schema.newDefault(key)
	}
	switch key.Type {
	case Object:
		return d.object(key, target, path)
	case List:
		return d.list(key, target, path)
	}
	return d.scalar(key, target, path)
}

// resolve follows aliases.
func (d *decoder) resolve(node *yaml.Node) (target *yaml.Node, alias bool) {
	for node.Kind == yaml.AliasNode {
		node, alias = node.Alias, true
	}
	return node, alias
}

// spend counts a value that stands under an alias, and says whether it may
// still be read.
func (d *decoder) spend(node *yaml.Node) bool {
	if d.depth == 0 {
		return true
	}
	d.aliased++
	if d.aliased == maxAliased {
		d.probs.add(d.origin(node), "", "aliases stand for more than %d values", maxAliased)
	}
	return d.aliased < maxAliased
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// got says in words what a node is.
func got(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	return quoted(n.Value)
}

// checkTag refuses explicit tags: no key needs one.
func (d *decoder) checkTag(n *yaml.Node, path string) bool {
	if n.Style&yaml.TaggedStyle == 0 {
		return true
	}
	d.probs.add(d.origin(n), path, "tags such as %s are not read here", quoted(n.ShortTag()))
	return false
}

func (d *decoder) list(key *Key, n *yaml.Node, path string) *value {
	v := d.schema.newDefault(key)
	if !d.checkTag(n, path) || isNull(n) && !key.Required {
		return v
	}
	if n.Kind != yaml.SequenceNode {
		d.probs.add(d.origin(n), path, "want %s, got %s", d.schema.typeName(key), got(n))
		return v
	}
	v.set, v.origin, v.kids = true, d.origin(n), nil
	for i, item := range n.Content {
		if d.aliased >= maxAliased {
			break
		}
		v.kids = append(v.kids, d.decode(key.Item, item, fmt.Sprintf("%s[%d]", path, i)))
	}
	return v
}

func (d *decoder) object(key *Key, n *yaml.Node, path string) *value {
	if !d.checkTag(n, path) || isNull(n) && !hasRequired(key) {
		return d.schema.newDefault(key)
	}
	if n.Kind != yaml.MappingNode {
		d.probs.add(d.origin(n), path, "want %s, got %s", d.schema.typeName(key), got(n))
		return d.schema.newDefault(key)
	}
	pairs := d.pairs(n, path)
	known := true
	if key.isPool() {
		key, known = d.poolKey(key, pairs)
	}
	v := d.schema.newDefault(key)
	v.set, v.origin = true, d.origin(n)
	seen := make([]bool, len(key.Keys))
	for _, p := range pairs {
		i := keyIndex(key, p.name)
		if i < 0 {
			if known {
				d.unknown(key, p, path)
			}
			continue
		}
		seen[i] = true
		d.depth += p.depth
		v.kids[i] = d.decode(&key.Keys[i], p.value, joinPath(path, p.name))
		d.depth -= p.depth
	}
	for i := range key.Keys {
		if key.Keys[i].Required && !seen[i] {
			d.probs.add(d.origin(n), path, "%s is missing", key.Keys[i].Name)
		}
	}
	return v
}

func hasRequired(key *Key) bool {
	for i := range key.Keys {
		if key.Keys[i].Required {
			return true
		}
	}
	return false
}

func keyIndex(key *Key, name string) int {
	for i := range key.Keys {
		if key.Keys[i].Name == name {
			return i
		}
	}
	return -1
}

// poolKey gives the keys of the pool's kind. known is false where the kind is
// missing or wrong, which is reported when its own value is read: then the
// fields that other kinds have are no errors of their own.
func (d *decoder) poolKey(key *Key, pairs []pair) (pool *Key, known bool) {
	for _, p := range pairs {
		if p.name != "kind" {
			continue
		}
		n, _ := d.resolve(p.value)
		if text, err := expandEnv(n.Value, d.getenv, d.used); err == nil && n.Kind == yaml.ScalarNode {
			if pool := d.schema.pool(text); pool != nil {
				return pool, true
			}
		}
	}
	return key, false
}

func (d *decoder) unknown(key *Key, p pair, path string) {
	if d.probs.full() {
		d.probs.more++
		return
	}
	names := key.names()
	hint := didYouMean(p.name, names)
	if hint == "" {
		if home := d.schema.home(p.name); home != "" {
			hint = fmt.Sprintf(" (%s has it)", home)
		}
	}
	if hint == "" {
		hint = fmt.Sprintf(" (known here: %s)", strings.Join(names, ", "))
	}
	d.probs.add(d.origin(p.key), path, "unknown field %s%s", quoted(p.name), hint)
}

// pair is one field of a mapping; depth is 1 where a merge brought it.
type pair struct {
	name       string
	key, value *yaml.Node
	depth      int
}

// pairs gives a mapping's fields, its own before those it merges with "<<".
func (d *decoder) pairs(n *yaml.Node, path string) []pair {
	var out []pair
	own := make(map[string]*yaml.Node, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, _ := d.resolve(n.Content[i])
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			merges = append(merges, n.Content[i+1])
		case k.Kind != yaml.ScalarNode || isNull(k):
			d.probs.add(d.origin(n.Content[i]), path, "want a field's name, got %s", got(k))
		case own[k.Value] != nil:
			d.probs.add(d.origin(n.Content[i]), path, "field %s is given twice (first on line %d)", quoted(k.Value), own[k.Value].Line)
			out = append(out, pair{name: k.Value, key: n.Content[i], value: n.Content[i+1]}) // for the problems in it
		default:
			own[k.Value] = n.Content[i]
			out = append(out, pair{name: k.Value, key: n.Content[i], value: n.Content[i+1]})
		}
	}
	if len(merges) == 0 {
		return out
	}
	m := merger{d: d, path: path, have: make(map[string]bool, len(out)), open: map[*yaml.Node]bool{n: true}, out: out}
	for _, p := range out {
		m.have[p.name] = true
	}
	for _, source := range merges {
		m.merge(source)
	}
	return m.out
}

// merger collects the fields that a mapping merges.
type merger struct {
	d    *decoder
	path string
	have map[string]bool
	open map[*yaml.Node]bool // mappings being merged, against cycles
	out  []pair
}

func (m *merger) merge(source *yaml.Node) {
	n, _ := m.d.resolve(source)
	m.d.depth++
	defer func() { m.d.depth-- }()
	if !m.d.spend(source) {
		return
	}
	switch {
	case n.Kind == yaml.SequenceNode && !m.open[n]:
		m.open[n] = true
		for _, item := range n.Content {
			m.merge(item)
		}
		delete(m.open, n)
	case n.Kind == yaml.MappingNode && !m.open[n]:
		m.open[n] = true
		m.fields(n)
		delete(m.open, n)
	case m.open[n]:
		m.d.probs.add(m.d.origin(source), m.path, "a mapping merges itself")
	default:
		m.d.probs.add(m.d.origin(source), m.path, "want a mapping to merge, got %s", got(n))
	}
}

func (m *merger) fields(n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !m.d.spend(n.Content[i]) {
			return
		}
		k, _ := m.d.resolve(n.Content[i])
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			m.merge(n.Content[i+1])
		case k.Kind == yaml.ScalarNode && !m.have[k.Value]:
			m.have[k.Value] = true
			m.out = append(m.out, pair{name: k.Value, key: n.Content[i], value: n.Content[i+1], depth: 1})
		}
	}
}

func (d *decoder) scalar(key *Key, n *yaml.Node, path string) *value {
	v := d.schema.newDefault(key)
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.probs.add(d.origin(n), path, "want %s, got %s", d.schema.typeName(key), got(n))
		return v
	}
	if !d.checkTag(n, path) {
		return v
	}
	text, err := expandEnv(n.Value, d.getenv, d.used)
	if err != nil {
		d.probs.add(d.origin(n), path, "%v", err)
		return v
	}
	expanded := text != n.Value
	if !expanded && !d.style(key, n) {
		d.probs.add(d.origin(n), path, "want %s, got the %s %s", d.schema.typeName(key), styleName(n), quoted(text))
		return v
	}
	if err := d.set(v, text, d.dir); err != nil {
		d.probs.add(d.origin(n), path, "%v", err)
		return v
	}
	v.origin = d.origin(n)
	return v
}

// typeName is typeName with the kinds of this build.
func (s *schema) typeName(key *Key) string {
	if key.Type == kindType {
		return "one of " + strings.Join(s.kindNames(), ", ")
	}
	return typeName(key)
}

// style says whether a node's YAML type fits the key: a number or a boolean
// in quotes is a string, and a bare true is no string.
func (d *decoder) style(key *Key, n *yaml.Node) bool {
	tag := n.ShortTag()
	switch key.Type {
	case Int, Float, Bool:
		return tag != "!!str" || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	case String:
		return tag != "!!bool"
	}
	return true
}

func styleName(n *yaml.Node) string {
	if n.ShortTag() == "!!bool" {
		return "boolean"
	}
	return "string"
}

// set gives v the value that text spells. Relative files are relative to dir.
func (d *decoder) set(v *value, text, dir string) error {
	var data any
	var canonical string
	var err error
	if v.key.Type == kindType {
		data, canonical, err = parseEnum(d.schema.kindNames(), text)
	} else {
		data, canonical, err = parseScalar(v.key, text)
	}
	if err == nil && v.key.Check != nil {
		err = v.key.Check(text)
	}
	if err != nil {
		return err
	}
	v.set, v.data, v.text = true, data, canonical
	switch v.key.Type {
	case File, Dir:
		v.text = absolute(dir, canonical)
		v.data = v.text
	case Address, Server:
		if path, ok := unixPath(canonical); ok && path[0] != '@' {
			v.text = "unix:" + absolute(dir, path)
			v.data = v.text
			return checkSocket(v.text)
		}
	}
	return nil
}

// absolute resolves a file against a folder, itself against the working
// directory, so that the snapshot means the same wherever it is used.
func absolute(dir, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// home names the only place that has a key, or "".
func (s *schema) home(name string) string {
	var homes []string
	var find func(k *Key, path string)
	find = func(k *Key, path string) {
		if k.Type == List {
			find(k.Item, path+"[]")
			return
		}
		for i := range k.Keys {
			if k.Keys[i].Name == name {
				homes = append(homes, path)
			}
			find(&k.Keys[i], joinPath(path, k.Keys[i].Name))
		}
	}
	find(&s.root, "")
	if len(homes) != 1 {
		return ""
	}
	if homes[0] == "" {
		return "the top level"
	}
	return homes[0]
}
