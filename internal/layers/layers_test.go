package layers

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "example.com/m"

// TestRepository holds the rules for this module.
func TestRepository(t *testing.T) {
	root := os.DirFS("../..")
	breaches, err := Check(root, "github.com/sluice-serving/sluice", Table())
	if err != nil {
		t.Fatal(err)
	}
	for _, breach := range breaches {
		t.Error(breach)
	}
	packages, err := load(root, "github.com/sluice-serving/sluice")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(packages, func(p *pkg) bool { return p.dir == "internal/layers" }) {
		t.Error("the check did not see its own package: it looks in the wrong place")
	}
}

func TestCheck(t *testing.T) {
	rows := []Row{
		{"low", "", nil},
		{"telemetry", "", nil},
		{"mid", "", []string{"low"}},
		{"kinds", "", []string{"low"}},
		{"kinds/*", "", []string{"kinds"}},
	}
	tests := []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{
			name: "down is allowed",
			files: map[string]string{
				"low/a.go": "// Package low is low.\npackage low",
				"mid/a.go": "// Package mid is mid.\npackage mid\nimport _ \"example.com/m/low\"",
			},
		},
		{
			name: "up is not, behind any build tag",
			files: map[string]string{
				"low/a.go":       "// Package low is low.\npackage low",
				"low/a_plan9.go": "//go:build cgo && ignore\n\npackage low\nimport _ \"example.com/m/mid\"",
			},
			want: []string{"low: may not import mid, as a_plan9.go does"},
		},
		{
			name: "siblings do not meet, a parent may import its child, the child its parent",
			files: map[string]string{
				"kinds/a.go":   "// Package kinds is.\npackage kinds\nimport _ \"example.com/m/kinds/x\"",
				"kinds/x/a.go": "// Package x is.\npackage x\nimport (\n_ \"example.com/m/kinds\"\n_ \"example.com/m/kinds/y\"\n)",
			},
			want: []string{"kinds/x: may not import kinds/y, as a.go does"},
		},
		{
			name:  "everyone may import telemetry",
			files: map[string]string{"low/a.go": "// Package low is low.\npackage low\nimport _ \"example.com/m/telemetry\""},
		},
		{
			name:  "telemetry imports nothing",
			files: map[string]string{"telemetry/a.go": "// Package telemetry is.\npackage telemetry\nimport _ \"example.com/m/low\""},
			want:  []string{"telemetry: may not import low, as a.go does"},
		},
		{
			name:  "tests and other modules are free",
			files: map[string]string{"low/a.go": "// Package low is low.\npackage low\nimport _ \"example.com/mid\"", "low/a_test.go": "package low\nimport _ \"example.com/m/mid\""},
		},
		{
			name:  "a package needs a row",
			files: map[string]string{"new/a.go": "// Package new is new.\npackage new"},
			want:  []string{"new: no row in the import table of internal/layers"},
		},
		{
			name:  "and a package comment",
			files: map[string]string{"low/a.go": "package low", "low/b.go": "//go:build linux\n\npackage low"},
			want:  []string{"low: package low has no package comment"},
		},
		{
			name:  "but not two",
			files: map[string]string{"low/a.go": "// Package low is low.\npackage low", "low/b.go": "// Package low is high.\npackage low"},
			want:  []string{"low: package low has 2 package comments, in a.go, b.go"},
		},
		{
			name: "what the go command skips is skipped",
			files: map[string]string{
				".cache/a.go": "package a", "low/testdata/a.go": "package a", "_old/a.go": "package a",
				"other/go.mod": "module other", "other/deep/a.go": "package a",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := fstest.MapFS{}
			for name, source := range test.files {
				fsys[name] = &fstest.MapFile{Data: []byte(source + "\n")}
			}
			got, err := Check(fsys, module, rows)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("Check = %q, want %q", got, test.want)
			}
		})
	}
}

// TestTable holds that the table itself points one way: without patterns that
// let a package reach itself through others.
func TestTable(t *testing.T) {
	rows := Table()
	edges := map[string][]string{}
	for _, row := range rows {
		for _, other := range rows {
			for _, pattern := range row.Imports {
				if other.Package != row.Package && (pattern == other.Package || match(pattern, other.Package)) {
					edges[row.Package] = append(edges[row.Package], other.Package)
				}
			}
		}
		if row.Purpose == "" {
			t.Errorf("row %s says no purpose", row.Package)
		}
	}
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(name string, trail []string)
	visit = func(name string, trail []string) {
		if state[name] == done {
			return
		}
		trail = append(trail, name)
		if state[name] == visiting {
			t.Errorf("the table goes round: %s", strings.Join(trail, " -> "))
			return
		}
		state[name] = visiting
		for _, next := range edges[name] {
			visit(next, trail)
		}
		state[name] = done
	}
	for _, row := range rows {
		visit(row.Package, nil)
	}
	for _, row := range rows {
		for _, pattern := range row.Imports {
			if !slices.ContainsFunc(rows, func(other Row) bool {
				return pattern == other.Package || match(pattern, other.Package) || match(other.Package, pattern)
			}) {
				t.Errorf("row %s may import %s, which is no row", row.Package, pattern)
			}
		}
	}
}
