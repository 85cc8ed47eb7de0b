// Package layers holds the module's import rules as data and finds what breaks
// them.
//
// Data flows one way through the layers, and imports point down. [Table] says
// for each package which others it may import; [Check] reads a source tree, of
// all platforms and build tags at once, and names every edge that the table does
// not allow, every package without a row and every package without exactly one
// package comment. The package's own test runs it over this repository.
package layers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Check reads the Go files under fsys, the root of the module, and returns one
// sentence for each breach of rows, in the order of the packages. Test files are
// not bound.
func Check(fsys fs.FS, module string, rows []Row) ([]string, error) {
	packages, err := load(fsys, module)
	if err != nil {
		return nil, err
	}
	var breaches []string
	for _, p := range packages {
		breaches = append(breaches, p.check(rows)...)
	}
	return breaches, nil
}

// pkg is what the non-test files of one folder with one package clause say.
type pkg struct {
	dir, name string
	comments  []string            // files that carry a package comment
	imports   map[string][]string // package of this module -> files that import it
}

func (p *pkg) check(rows []Row) []string {
	var breaches []string
	if n := len(p.comments); n == 0 {
		breaches = append(breaches, fmt.Sprintf("%s: package %s has no package comment", p.dir, p.name))
	} else if n > 1 {
		breaches = append(breaches, fmt.Sprintf("%s: package %s has %d package comments, in %s",
			p.dir, p.name, n, strings.Join(p.comments, ", ")))
	}
	row, ok := find(rows, p.dir)
	if !ok {
		return append(breaches, fmt.Sprintf("%s: no row in the import table of internal/layers", p.dir))
	}
	for _, imported := range sortedKeys(p.imports) {
		if !row.allows(p.dir, imported) {
			breaches = append(breaches, fmt.Sprintf("%s: may not import %s, as %s does",
				p.dir, imported, strings.Join(p.imports[imported], ", ")))
		}
	}
	return breaches
}

// find returns the first row whose pattern matches dir.
func find(rows []Row, dir string) (Row, bool) {
	for _, row := range rows {
		if match(row.Package, dir) {
			return row, true
		}
	}
	return Row{}, false
}

func (r Row) allows(dir, imported string) bool {
	return imported == "telemetry" || path.Dir(imported) == dir ||
		slices.ContainsFunc(r.Imports, func(pattern string) bool { return match(pattern, imported) })
}

func match(pattern, dir string) bool {
	ok, err := path.Match(pattern, dir)
	if err != nil {
		panic("BUG: bad pattern in the import table: " + pattern)
	}
	return ok
}

// load parses every non-test Go file and groups them into packages, sorted by
// folder. It looks where the go command looks, but at all build constraints.
func load(fsys fs.FS, module string) ([]*pkg, error) {
	found := map[string]*pkg{}
	files := token.NewFileSet()
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if skipped(fsys, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(files, name, source, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		key := dir + " " + file.Name.Name
		if found[key] == nil {
			found[key] = &pkg{dir: dir, name: file.Name.Name, imports: map[string][]string{}}
		}
		found[key].add(path.Base(name), module, file)
		return nil
	})
	if err != nil {
		return nil, err
	}
	packages := make([]*pkg, 0, len(found))
	for _, key := range sortedKeys(found) {
		packages = append(packages, found[key])
	}
	return packages, nil
}

// skipped reports whether the go command would not look into a folder, or it
// belongs to another module.
func skipped(fsys fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func (p *pkg) add(name, module string, file *ast.File) {
	if file.Doc.Text() != "" {
		p.comments = append(p.comments, name)
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic("BUG: the parser let a bad import path through: " + spec.Path.Value)
		}
		if inside, ok := strings.CutPrefix(imported, module+"/"); ok {
			p.imports[inside] = append(p.imports[inside], name)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
