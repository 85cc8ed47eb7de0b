package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const referencePage = "../docs/reference/config.md"

// TestReference keeps the reference page what the table says.
func TestReference(t *testing.T) {
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(referencePage), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, referencePage, reference([]Kind{ONNX(), Triton(), TFServing(), KServe()}))
}

const referenceHead = `# Configuration

<!-- Written from the table in config/table.go by: go test ./config -run TestReference -rewrite -->

One YAML file, given with ` + "`sluice serve -c FILE`" + `. A field that this page does not have is an error, and so is one
that is given twice. ` + "`sluice config check FILE`" + ` reports every problem at once, each with file, line and column;
` + "`sluice config explain PATH`" + ` explains one setting and says where its value came from; ` + "`sluice config show`" + ` prints the
effective configuration; ` + "`sluice config schema`" + ` prints a JSON Schema for editors.

Values come from, in rising precedence: the defaults below, the file, command-line flags, admin overrides.

- Sizes are written ` + "`64MiB`" + ` (B, KiB, MiB, GiB, TiB), durations ` + "`500us`" + ` (ns, us, ms, s, m, h), percentages ` + "`5%`" + `.
- ` + "`${NAME}`" + ` in a value is replaced by the environment variable of that name; one that is not set is an error. A plain
  ` + "`${`" + ` is written ` + "`$${`" + `.
- Files, folders and sockets with a relative name are relative to the configuration file.
- Anchors, aliases and merges (` + "`<<`" + `) are read, within bounds. Tags and further documents are not.

A file that sets a little:

` + "```yaml" + `
version: 1
pools:
  - name: local
    kind: onnx
    repository: ./models
models:
  - name: digits
    targets:
      - {version: "1", pool: local, weight: 95, labels: [stable]}
      - {version: "2", pool: local, weight: 5, labels: [canary]}
    deadline: 2s
` + "```" + `
`

func reference(kinds []Kind) string {
	s := newSchema(kinds)
	var b strings.Builder
	b.WriteString(referenceHead)
	table := func(title, doc string, keys []Key, path string) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | holds | default | meaning |\n|---|---|---|---|\n", title, doc)
		s.rows(&b, keys, path)
	}
	var top []Key
	for _, k := range s.root.Keys {
		if k.Type != Object && k.Type != List {
			top = append(top, k)
		}
	}
	table("The top level", "Beside the sections below.", top, "")
	for _, k := range s.root.Keys {
		switch k.Type {
		case Object:
			table(k.Name, k.Doc, k.Keys, k.Name)
		case List:
			table(k.Name, k.Doc, k.Item.Keys, k.Name+"[]")
		}
		if k.Name == "pools" {
			for _, kind := range kinds {
				table("pools of kind "+kind.Name, kind.Doc, kind.Keys, "pools[]")
			}
		}
	}
	return b.String()
}

func (s *schema) rows(b *strings.Builder, keys []Key, path string) {
	for i := range keys {
		k := &keys[i]
		at := joinPath(path, k.Name)
		if k.Type == Object {
			s.row(b, at, k)
			s.rows(b, k.Keys, at)
			continue
		}
		s.row(b, at, k)
		if k.Type == List && k.Item.Type == Object {
			s.rows(b, k.Item.Keys, at+"[]")
		}
	}
}

func (s *schema) row(b *strings.Builder, at string, k *Key) {
	e := s.explain(k, at)
	def := "-"
	switch {
	case k.Required:
		def = "required"
	case e.Default != "":
		def = "`" + e.Default + "`"
	}
	doc := e.Doc
	if e.Raise != "" {
		doc += " *Raising it:* " + e.Raise
	}
	if k.Flag != "" {
		doc += " Flag: `--" + k.Flag + "`."
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", at, e.Type, def, strings.ReplaceAll(doc, "|", `\|`))
}
