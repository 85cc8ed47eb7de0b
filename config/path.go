package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Origin says where the value at path came from. Paths are written as in error
// messages, models[0].deadline; an item may also be named, models[digits], in
// quotes where the name is a number: models[digits].targets["1"].
func (c *Config) Origin(path string) (Origin, error) {
	v, _, err := c.find(path)
	if err != nil {
		return Origin{}, err
	}
	return v.origin, nil
}

// find gives the value at path and its path with numbers.
func (c *Config) find(path string) (*value, string, error) {
	v, at := c.root, ""
	for rest := path; rest != ""; {
		var name string
		if rest[0] == '[' {
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, "", fmt.Errorf("%s: the bracket is not closed", quoted(path))
			}
			name, rest = rest[1:end], strings.TrimPrefix(rest[end+1:], ".")
			i, err := v.item(name)
			if err != nil {
				return nil, "", fmt.Errorf("%s: %w", quoted(path), err)
			}
			v, at = v.kids[i], v.kidPath(at, i)
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		name, rest = rest[:end], strings.TrimPrefix(rest[end:], ".")
		if v.key.Type == List {
			return nil, "", fmt.Errorf("%s: name one of %s as %s[0]", quoted(path), at, at)
		}
		i := keyIndex(v.key, name)
		if i < 0 {
			return nil, "", fmt.Errorf("%s: there is no setting %s in %s%s", quoted(path), quoted(name), place(at), didYouMean(name, v.key.names()))
		}
		v, at = v.kids[i], v.kidPath(at, i)
	}
	return v, at, nil
}

func place(at string) string {
	if at == "" {
		return "the top level"
	}
	return at
}

// item finds a list's item: a bare number counts from 0; anything else, and a
// number in quotes, is a name or a version.
func (v *value) item(name string) (int, error) {
	if v.key.Type != List {
		return 0, fmt.Errorf("%s is no list", v.key.Name)
	}
	i, err := strconv.Atoi(name)
	if err == nil && i >= 0 && i < len(v.kids) {
		return i, nil
	}
	if bare := strings.Trim(name, `"`); err != nil && bare != "" {
		for i, kid := range v.kids {
			if kid.identity() == bare {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("%s has no item %s", v.key.Name, quoted(name))
}

// identity is what makes an item of a list itself, wherever it stands: its
// name, its version, or its own text; empty where it has none.
func (v *value) identity() string {
	if v.key.Type != Object {
		return v.text
	}
	for _, name := range []string{"name", "version"} {
		if i := keyIndex(v.key, name); i >= 0 {
			return v.kids[i].text
		}
	}
	return ""
}
