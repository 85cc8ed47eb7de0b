package config

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func schemaOf(t *testing.T, kinds []Kind) map[string]any {
	t.Helper()
	text, err := Schema(kinds)
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatalf("the schema is no JSON: %v", err)
	}
	return s
}

// TestSchemaKnowsTheTable: the schema has exactly the table's keys, each with
// its description.
func TestSchemaKnowsTheTable(t *testing.T) {
	got := make(map[string]string)
	var walk func(node any, path string)
	walk = func(node any, path string) {
		s := node.(map[string]any)
		if items, ok := s["items"]; ok {
			walk(items, path+"[]")
		}
		if kinds, ok := s["oneOf"].([]any); ok {
			for _, kind := range kinds {
				walk(kind, path+"<"+kind.(map[string]any)["title"].(string)+">")
			}
		}
		properties, _ := s["properties"].(map[string]any)
		if properties != nil && s["additionalProperties"] != false {
			t.Errorf("%s: unknown keys are allowed", path)
		}
		for name, p := range properties {
			got[path+"."+name], _ = p.(map[string]any)["description"].(string)
			walk(p, path+"."+name)
		}
	}
	walk(schemaOf(t, kinds()), "")
	want := make(map[string]string)
	s := newSchema(kinds())
	var table func(key *Key, path string)
	table = func(key *Key, path string) {
		if key.isPool() && !strings.HasSuffix(path, ">") {
			for i, kind := range s.kinds {
				table(&s.pools[i], path+"<"+kind.Name+">")
			}
			return
		}
		if key.Item != nil {
			table(key.Item, path+"[]")
		}
		for i := range key.Keys {
			kid := &key.Keys[i]
			want[path+"."+kid.Name] = kid.Doc
			table(kid, path+"."+kid.Name)
		}
	}
	table(&s.root, "")
	for path, doc := range want {
		if !strings.HasPrefix(got[path], doc) {
			t.Errorf("%s: the schema says %q, the table %q", path, got[path], doc)
		}
	}
	for path := range got {
		if want[path] == "" {
			t.Errorf("%s: only the schema has it", path)
		}
	}
}

// TestSchemaAgrees: what loads, the schema accepts; what it must refuse by
// itself, it refuses.
func TestSchemaAgrees(t *testing.T) {
	s := schemaOf(t, []Kind{ONNX()})
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkYAML(s, string(full)); err != nil {
		t.Errorf("full.yaml: %v", err)
	}
	golden, err := os.ReadFile("testdata/errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	refused := []string{
		"unknown fields", "version of the future", "version quoted", "wrong kinds of node", "sizes", "more sizes", "durations",
		"percentages", "enumerations", "numbers quoted", "numbers negative", "numbers zero", "pools: what is missing",
		"pools: unknown kind", "pools: onnx options", "models: what is missing", "models: queue and batching", "a boolean as a name",
	}
	accepted := 0
	_, sections, _ := strings.Cut(string(golden), "== ")
	for section := range strings.SplitSeq(sections, "\n== ") {
		name, body, _ := strings.Cut(section, "\n")
		text, want, _ := strings.Cut(body, ">>\n")
		err := checkYAML(s, unescape(text))
		if strings.TrimSpace(want) == "(no error)" {
			accepted++
			if err != nil {
				t.Errorf("%s: loads, but the schema says: %v", name, err)
			}
		}
		if slices.Contains(refused, name) && err == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
	if accepted < 10 {
		t.Errorf("only %d sections of errors.txt load", accepted)
	}
}

func checkYAML(s map[string]any, text string) error {
	var doc any
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return err
	}
	return check(s, s, doc, "")
}

// check validates doc against the part of JSON Schema that Schema writes.
func check(root, s map[string]any, doc any, path string) error {
	known := []string{
		"$schema", "$defs", "title", "description", "default", "$ref", "type", "const", "enum", "pattern", "minLength",
		"minimum", "maximum", "items", "minItems", "required", "properties", "additionalProperties", "anyOf", "oneOf",
	}
	for word := range s {
		if !slices.Contains(known, word) {
			return fmt.Errorf("%s: this check does not know %q", path, word)
		}
	}
	if ref, ok := s["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/$defs/")
		return check(root, root["$defs"].(map[string]any)[name].(map[string]any), doc, path)
	}
	if t, ok := s["type"]; ok && !hasType(t, doc) {
		return fmt.Errorf("%s: %v is not of type %v", path, doc, t)
	}
	if c, ok := s["const"]; ok && c != doc {
		return fmt.Errorf("%s: %v is not %v", path, doc, c)
	}
	if e, ok := s["enum"].([]any); ok && !slices.Contains(e, doc) {
		return fmt.Errorf("%s: %v is none of %v", path, doc, e)
	}
	switch doc := doc.(type) {
	case string:
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(doc) {
			return fmt.Errorf("%s: %q does not match %s", path, doc, p)
		}
		if n, ok := s["minLength"].(float64); ok && len(doc) < int(n) {
			return fmt.Errorf("%s: %q is too short", path, doc)
		}
	case int, float64:
		n := number(doc)
		if least, ok := s["minimum"].(float64); ok && n < least {
			return fmt.Errorf("%s: %v is below %v", path, n, least)
		}
		if most, ok := s["maximum"].(float64); ok && n > most {
			return fmt.Errorf("%s: %v is above %v", path, n, most)
		}
	case []any:
		return checkItems(root, s, doc, path)
	case map[string]any:
		return checkObject(root, s, doc, path)
	}
	if forms, ok := s["anyOf"].([]any); ok && matches(root, forms, doc, path) == 0 {
		return fmt.Errorf("%s: %v matches no form", path, doc)
	}
	return nil
}

func checkItems(root, s map[string]any, doc []any, path string) error {
	if n, ok := s["minItems"].(float64); ok && len(doc) < int(n) {
		return fmt.Errorf("%s: too few items", path)
	}
	for i, item := range doc {
		if items, ok := s["items"].(map[string]any); ok {
			if err := check(root, items, item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkObject(root, s map[string]any, doc map[string]any, path string) error {
	if one, ok := s["oneOf"].([]any); ok {
		if n := matches(root, one, doc, path); n != 1 {
			return fmt.Errorf("%s: matches %d alternatives", path, n)
		}
	}
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := doc[name.(string)]; !ok {
			return fmt.Errorf("%s: %s is missing", path, name)
		}
	}
	properties, _ := s["properties"].(map[string]any)
	for name, item := range doc {
		p, ok := properties[name].(map[string]any)
		if !ok && s["additionalProperties"] == false {
			return fmt.Errorf("%s: unknown key %s", path, name)
		}
		if err := check(root, p, item, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func matches(root map[string]any, forms []any, doc any, path string) int {
	n := 0
	for _, form := range forms {
		if check(root, form.(map[string]any), doc, path) == nil {
			n++
		}
	}
	return n
}

func number(doc any) float64 {
	switch doc := doc.(type) {
	case int:
		return float64(doc)
	case float64:
		return doc
	}
	panic("no number")
}

func hasType(want, doc any) bool {
	if list, ok := want.([]any); ok {
		return slices.ContainsFunc(list, func(t any) bool { return hasType(t, doc) })
	}
	switch doc := doc.(type) {
	case nil:
		return want == "null"
	case bool:
		return want == "boolean"
	case string:
		return want == "string"
	case int:
		return want == "integer" || want == "number"
	case float64:
		return want == "number" || want == "integer" && doc == float64(int(doc))
	case []any:
		return want == "array"
	case map[string]any:
		return want == "object"
	}
	return false
}
