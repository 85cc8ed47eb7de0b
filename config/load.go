package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Sources is what a configuration is made of. The zero value gives the
// defaults.
type Sources struct {
	// File is the configuration file; empty: none.
	File string
	// Data, unless nil, is read in place of the file's content. File still
	// names it and relative files are still relative to it.
	Data []byte
	// Flags are command-line values, in their order. They win over the file.
	Flags []Flag
	// Getenv looks up ${NAME}. nil: os.LookupEnv.
	Getenv func(name string) (string, bool)
}

// Flag is one value of the command line.
type Flag struct {
	// Name is the flag without dashes: "backend", or a Key.Flag as "http".
	Name string
	// Value is its value; KIND=TARGET for "backend".
	Value string
}

// Load reads, decodes and validates. The error is an [Errors] with every
// problem where the configuration is at fault. kinds are the kinds of pools
// that this build has.
func Load(src Sources, kinds []Kind) (*Config, error) {
	var probs problems
	data := src.Data
	if data == nil && src.File != "" {
		var err error
		if data, err = readFile(src.File); err != nil {
			probs.add(Origin{}, "", "%s", err)
			return nil, probs.err()
		}
	}
	d := &decoder{
		schema: newSchema(kinds),
		name:   src.File,
		dir:    filepath.Dir(src.File),
		getenv: src.Getenv,
		used:   make(map[string]string),
		probs:  &probs,
	}
	if d.getenv == nil {
		d.getenv = os.LookupEnv
	}
	root := d.root(data, src.File != "")
	if root == nil || d.aliased >= maxAliased {
		return nil, probs.err()
	}
	if len(src.Flags) > 0 {
		root = root.clone()
		d.flags(root, src.Flags)
	}
	root = leaveOut(root)
	c := build(root, kinds)
	c.file = src.File
	c.base, c.baseHash = root, hash(src, data, d.used)
	c.hash = c.baseHash
	c.validate(&probs)
	if err := probs.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// readFile reads at most a little more than maxFile, so that parseYAML can
// refuse what is larger.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %s", plain(name), reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %s", plain(name), reason(err))
	}
	return data, nil
}

// reason is a file error without the operation and path, which the message
// that holds it names.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return err.Error()
}

// root decodes the file over the defaults. It gives nil where there is nothing
// to go on with.
func (d *decoder) root(data []byte, file bool) *value {
	if !file {
		return d.schema.newDefault(&d.schema.root)
	}
	n := parseYAML(d.name, bytes.TrimPrefix(data, []byte("\uFEFF")), d.probs)
	if d.probs.any() {
		return nil
	}
	start := Origin{Source: SourceFile, Name: d.name, Line: 1, Column: 1}
	if n == nil || isNull(n) {
		d.probs.add(start, "", "the file is empty (it needs at least: version: 1)")
		return nil
	}
	return d.decode(&d.schema.root, n, "")
}

// leaveOut takes out the data port that nobody gave an address where the other one was given one.
func leaveOut(root *value) *value {
	out := ""
	given := func(port string) bool {
		return root.field("listen").field(port).field("address").origin.Source != SourceDefault
	}
	switch http, grpc := given("http"), given("grpc"); {
	case http && !grpc:
		out = "grpc"
	case grpc && !http:
		out = "http"
	default:
		return root
	}
	root = root.clone()
	address := root.field("listen").field(out).field("address")
	address.set, address.data, address.text = false, "", ""
	return root
}

// flags applies the command line.
func (d *decoder) flags(root *value, flags []Flag) {
	for _, f := range flags {
		origin := Origin{Source: SourceFlag, Name: f.Name}
		if f.Name == "backend" {
			d.backend(root, origin, f.Value)
			continue
		}
		var target *value
		var at string
		root.walk("", func(path string, v *value) {
			if v.key.Flag == f.Name {
				target, at = v, path
			}
		})
		if f.Name == "" || target == nil {
			d.probs.add(origin, "", "no setting has this flag")
			continue
		}
		if err := d.set(target, f.Value, ""); err != nil {
			d.probs.add(origin, at, "%v", err)
			continue
		}
		target.origin = origin
	}
}

// backend adds the pool that --backend KIND=TARGET asks for, named after the
// kind.
func (d *decoder) backend(root *value, origin Origin, text string) {
	name, target, ok := strings.Cut(text, "=")
	if !ok || target == "" {
		d.probs.add(origin, "", "want KIND=TARGET, got %s", quoted(text))
		return
	}
	key := d.schema.pool(name)
	if key == nil {
		names := d.schema.kindNames()
		d.probs.add(origin, "", "want a kind of %s, got %s%s", strings.Join(names, ", "), quoted(name), didYouMean(name, names))
		return
	}
	pools := root.field("pools")
	pool := d.schema.newDefault(key).clone()
	pool.set, pool.origin = true, origin
	path := pools.kidPath("pools", len(pools.kids))
	pools.set, pools.kids = true, append(pools.kids, pool)
	if pools.origin.Source == SourceDefault {
		pools.origin = origin
	}
	d.give(pool.field("name"), freePool(pools, name), origin, joinPath(path, "name"))
	d.give(pool.field("kind"), name, origin, joinPath(path, "kind"))
	d.give(pool.field("discover"), "true", origin, joinPath(path, "discover"))
	kind := d.schema.kinds[slices.IndexFunc(d.schema.kinds, func(k Kind) bool { return k.Name == name })]
	if kind.Named != "" {
		// An address has no "#", and a socket's path that has one cannot be meant here.
		at, names, named := strings.Cut(target, "#")
		if !named || names == "" {
			d.probs.add(origin, joinPath(path, kind.Named), "name the models behind the servers, as in %s=%s#MODEL,MODEL: servers of kind %s do not tell which they have", name, plain(at), name)
			return
		}
		target = at
		d.give(pool.field(kind.Named), names, origin, joinPath(path, kind.Named))
	}
	d.give(pool.field(kind.Target), target, origin, joinPath(path, kind.Target))
}

// give sets what the command line spells: a scalar, or a list with commas
// between its items, of which an object has its first key set.
func (d *decoder) give(v *value, text string, origin Origin, path string) {
	v.origin = origin
	if v.key.Type != List {
		if err := d.set(v, text, ""); err != nil {
			d.probs.add(origin, path, "%v", err)
		}
		return
	}
	v.set, v.kids = true, nil
	for i, part := range strings.Split(text, ",") {
		item, at := d.schema.newDefault(v.key.Item).clone(), fmt.Sprintf("%s[%d]", path, i)
		v.kids = append(v.kids, item)
		if item.key.Type == Object {
			item.set, item.origin = true, origin
			at = joinPath(at, item.key.Keys[0].Name)
			item = item.kids[0]
		}
		d.give(item, part, origin, at)
	}
}

// freePool gives the kind's name, or with a number behind it where a pool has
// that name.
func freePool(pools *value, kind string) string {
	taken := make(map[string]bool)
	for _, p := range pools.kids {
		taken[p.field("name").str()] = true
	}
	name := kind
	for n := 2; taken[name]; n++ {
		name = fmt.Sprintf("%s-%d", kind, n)
	}
	return name
}

// hash identifies sources. Every part is preceded by its length, so that no
// two sets of sources give the same bytes.
func hash(src Sources, data []byte, env map[string]string) string {
	h := sha256.New()
	part := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	part(absolute("", src.File))
	part(string(data))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		part(name)
		part(env[name])
	}
	part("flags")
	for _, f := range src.Flags {
		part(f.Name)
		part(f.Value)
	}
	return hex.EncodeToString(h.Sum(nil))
}
