package config

import (
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// redacted stands for the value of a secret.
const redacted = "<redacted>"

// Show writes the effective configuration as YAML that Load reads back to the
// same configuration, but for secrets, which it hides, and for what the file
// cannot say (versions that an admin switched off: a comment). With origins
// each value is followed by a comment that says where it came from.
func (c *Config) Show(w io.Writer, origins bool) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(render(c.root, origins)); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	return enc.Close()
}

// render gives v as a YAML node, or nil where v is unset.
func render(v *value, origins bool) *yaml.Node {
	switch v.key.Type {
	case Object:
		return renderObject(v, origins)
	case List:
		if !v.set {
			return nil
		}
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, kid := range v.kids {
			if item := render(kid, origins && kid.key.Type == Object); item != nil {
				n.Content = append(n.Content, item)
			}
		}
		if v.key.Item.Type != Object {
			n.Style = yaml.FlowStyle
		}
		return n
	}
	if !v.set {
		return nil
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: v.shown(), Tag: "!!str"}
	switch v.key.Type {
	case Int, Float, Bool:
		n.Tag = "" // plain, whatever the text looks like
	default:
		n.Value = escapeEnv(n.Value)
	}
	if origins {
		n.LineComment = "# " + strings.ToValidUTF8(v.origin.String(), "?")
	}
	return n
}

func renderObject(v *value, origins bool) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i, kid := range v.kids {
		item := render(kid, origins)
		if item == nil {
			continue
		}
		name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v.key.Keys[i].Name}
		if origins && kid.key.Type == List && kid.key.Item.Type != Object {
			item.LineComment = "# " + kid.origin.String()
		}
		n.Content = append(n.Content, name, item)
	}
	if v.disabled {
		n.HeadComment = "# disabled: " + Origin{Source: SourceAdmin}.String()
	}
	if len(n.Content) == 0 {
		return nil
	}
	return n
}

// shown is the text of a scalar as people may see it.
func (v *value) shown() string {
	if v.key.Secret {
		return redacted
	}
	return v.text
}

// Entry is one effective value.
type Entry struct {
	// Path is the setting, as models[0].deadline.
	Path string `json:"path"`
	// Value is its canonical spelling; secrets are hidden.
	Value string `json:"value"`
	// Origin says where it came from.
	Origin string `json:"origin"`
}

// Entries lists every value that is set, in the order of the file's format:
// what an API shows as JSON.
func (c *Config) Entries() []Entry {
	var out []Entry
	c.root.walk("", func(path string, v *value) {
		switch {
		case v.key.Type == Object && v.disabled:
			out = append(out, Entry{Path: joinPath(path, "disabled"), Value: "true", Origin: Origin{Source: SourceAdmin}.String()})
		case v.key.Type == Object, v.key.Type == List, !v.set:
		default:
			out = append(out, Entry{Path: path, Value: v.shown(), Origin: v.origin.String()})
		}
	})
	return out
}

// Files lists the files that the configuration was read from and those that it
// names (certificates, keys, tokens): what a [Watcher] should look at.
func (c *Config) Files() []string {
	var out []string
	if c.file != "" {
		out = append(out, absolute("", c.file))
	}
	c.root.walk("", func(_ string, v *value) {
		if v.key.Type == File && v.set {
			out = append(out, v.str())
		}
	})
	return out
}
