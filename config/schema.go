package config

import (
	"encoding/json"
	"fmt"
)

// Schema gives the JSON Schema (draft 2020-12) of the file: exactly the keys
// that a build with these kinds reads, in the same table's words.
func Schema(kinds []Kind) ([]byte, error) {
	s := newSchema(kinds)
	root := s.json(&s.root)
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "Sluice configuration"
	root.Defs = map[string]*jsonSchema{
		"environment": {
			Type: "string", Pattern: `\$\{[A-Za-z_][A-Za-z0-9_]*\}`,
			Description: "A value with environment variables: ${NAME}.",
		},
	}
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	return append(out, '\n'), nil
}

// jsonSchema is the part of JSON Schema that is written here, in the order in
// which it is written.
type jsonSchema struct {
	Schema      string                 `json:"$schema,omitempty"`
	Ref         string                 `json:"$ref,omitempty"`
	Title       string                 `json:"title,omitempty"`
	Description string                 `json:"description,omitempty"`
	Type        any                    `json:"type,omitempty"`
	Const       any                    `json:"const,omitempty"`
	Enum        []any                  `json:"enum,omitempty"`
	Pattern     string                 `json:"pattern,omitempty"`
	MinLength   int                    `json:"minLength,omitempty"`
	Minimum     *float64               `json:"minimum,omitempty"`
	Maximum     *float64               `json:"maximum,omitempty"`
	Default     any                    `json:"default,omitempty"`
	Items       *jsonSchema            `json:"items,omitempty"`
	MinItems    int                    `json:"minItems,omitempty"`
	Required    []string               `json:"required,omitempty"`
	Properties  map[string]*jsonSchema `json:"properties,omitempty"`
	Additional  *bool                  `json:"additionalProperties,omitempty"`
	AnyOf       []*jsonSchema          `json:"anyOf,omitempty"`
	OneOf       []*jsonSchema          `json:"oneOf,omitempty"`
	Defs        map[string]*jsonSchema `json:"$defs,omitempty"`
}

func (s *schema) json(key *Key) *jsonSchema {
	if key.isPool() {
		return s.jsonPool()
	}
	var j *jsonSchema
	switch key.Type {
	case Object:
		j = s.jsonObject(key)
		if !hasRequired(key) {
			j.Type = []string{"object", "null"}
		}
	case List:
		j = &jsonSchema{Type: []string{"array", "null"}, Items: s.json(key.Item)}
		if key.Required {
			j.Type, j.MinItems = "array", 1
		}
	default:
		j = jsonScalar(key)
	}
	j.Description = key.Doc
	if key.Raise != "" {
		j.Description += " Raising it: " + key.Raise
	}
	return j
}

func (s *schema) jsonObject(key *Key) *jsonSchema {
	no := false
	j := &jsonSchema{Type: "object", Properties: make(map[string]*jsonSchema), Additional: &no}
	for i := range key.Keys {
		k := &key.Keys[i]
		j.Properties[k.Name] = s.json(k)
		if k.Required {
			j.Required = append(j.Required, k.Name)
		}
	}
	return j
}

// jsonPool is one alternative a kind.
func (s *schema) jsonPool() *jsonSchema {
	j := &jsonSchema{}
	for i, kind := range s.kinds {
		one := s.jsonObject(&s.pools[i])
		one.Title, one.Description = kind.Name, kind.Doc
		one.Properties["kind"] = &jsonSchema{Const: kind.Name, Description: s.pools[i].field("kind").Doc}
		j.OneOf = append(j.OneOf, one)
	}
	return j
}

// jsonScalar allows the forms that parseScalar reads, or an environment
// variable in their place.
func jsonScalar(key *Key) *jsonSchema {
	j := &jsonSchema{}
	if key.Default != "" {
		data, text, err := parseScalar(key, key.Default)
		if err != nil {
			panic(fmt.Sprintf("BUG: config: default of %s: %v", key.Name, err))
		}
		j.Default = text
		if _, ok := data.(bool); ok || (key.Type == Int || key.Type == Float) && text != "auto" {
			j.Default = data
		}
	}
	var forms []*jsonSchema
	switch key.Type {
	case Int, Float:
		n := &jsonSchema{Type: "number", Minimum: &key.Min}
		if key.Type == Int {
			n.Type = "integer"
		}
		if key.Max > 0 {
			n.Maximum = &key.Max
		}
		forms = append(forms, n)
	case Bool:
		forms = append(forms, &jsonSchema{Type: "boolean"})
	case Size:
		forms = append(forms, &jsonSchema{Type: "string", Pattern: `^[0-9.]+ ?(B|KiB|MiB|GiB|TiB)$`})
	case Duration:
		forms = append(forms, &jsonSchema{Type: "string", Pattern: `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`})
	case Percent:
		forms = append(forms, &jsonSchema{Type: "string", Pattern: `^[0-9.]+%$`})
	case Enum:
		e := &jsonSchema{}
		for _, v := range key.Values {
			e.Enum = append(e.Enum, v)
		}
		forms = append(forms, e)
	case String:
		// The file may leave out the quotes of a version.
		j.Type = []string{"string", "number"}
		return j
	default:
		j.Type, j.MinLength = "string", 1
		return j
	}
	if key.Auto {
		forms = append(forms, &jsonSchema{Const: "auto"})
	}
	j.AnyOf = append(forms, &jsonSchema{Ref: "#/$defs/environment"})
	return j
}
