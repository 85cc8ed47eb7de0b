package gateway

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/telemetry"
)

var writeReference = flag.Bool("write-reference", false, "write the reference page of metrics instead of comparing it")

const (
	root      = "../.."
	reference = root + "/docs/reference/metrics.md"
)

// families lists what a running gateway registers.
func families(t *testing.T) []telemetry.Desc {
	t.Helper()
	log, err := telemetry.NewLog(telemetry.LogOptions{Output: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	m := newMetrics(telemetry.Build{}, &Gateway{})
	log.Register(m.registry)
	return telemetry.Describe(m.registry)
}

func TestReferencePage(t *testing.T) {
	want := telemetry.Reference(families(t))
	if *writeReference {
		if err := os.WriteFile(reference, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is stale: run go generate ./telemetry", reference)
	}
}

// TestReferenceKnowsEveryFamily reads the sources for families, so that a package cannot register one elsewhere than in
// a gateway.
func TestReferenceKnowsEveryFamily(t *testing.T) {
	known := map[string]bool{}
	for _, d := range families(t) {
		known[d.Name] = true
	}
	found := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil // does not build; other tests say so
		}
		ast.Inspect(file, func(n ast.Node) bool {
			name, ok := registeredName(n)
			if !ok {
				return true
			}
			found++
			if !known["sluice_"+name] {
				t.Errorf("%s registers %s, which a gateway does not: %s leaves it out", path, name, reference)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("found no family in the sources")
	}
}

// registeredName is the name of the family that n registers, if n is a call that does.
func registeredName(n ast.Node) (string, bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) < 2 {
		return "", false
	}
	var called string
	switch fun := call.Fun.(type) {
	case *ast.SelectorExpr:
		called = fun.Sel.Name
	case *ast.Ident:
		called = fun.Name
	}
	if !strings.HasPrefix(called, "New") || !strings.HasSuffix(called, "Family") && !strings.HasSuffix(called, "Func") {
		return "", false
	}
	if r, ok := call.Args[0].(*ast.Ident); ok && r.Name == "nil" {
		return "", false
	}
	name := ""
	ast.Inspect(call.Args[1], func(n ast.Node) bool {
		field, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, ok := field.Key.(*ast.Ident)
		value, literal := field.Value.(*ast.BasicLit)
		if ok && literal && key.Name == "Name" {
			name, _ = strconv.Unquote(value.Value)
		}
		return true
	})
	return name, name != ""
}
