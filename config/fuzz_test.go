package config

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// FuzzConfig: no file makes Load panic or run away; what it refuses has
// positions in the file, and what it accepts is the same after show.
func FuzzConfig(f *testing.F) {
	golden, err := os.ReadFile("testdata/errors.txt")
	if err != nil {
		f.Fatal(err)
	}
	_, sections, _ := strings.Cut(string(golden), "== ")
	for section := range strings.SplitSeq(sections, "\n== ") {
		_, body, _ := strings.Cut(section, "\n")
		text, _, _ := strings.Cut(body, ">>\n")
		f.Add([]byte(unescape(text)))
	}
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	// Files that may be there or not must not make the outcome depend on the
	// machine: all relative names are looked for in an empty folder.
	name := f.TempDir() + "/sluice.yaml"
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Load(Sources{File: name, Data: data, Getenv: onlyLabel}, kinds())
		if err != nil {
			checkProblems(t, data, err)
			return
		}
		var shown, again bytes.Buffer
		if err := c.Show(&shown, true); err != nil {
			t.Fatalf("Show: %v", err)
		}
		second, err := Load(Sources{File: name, Data: shown.Bytes(), Getenv: onlyLabel}, kinds())
		if err != nil {
			t.Fatalf("show's output does not load: %v\n%s", err, shown.Bytes())
		}
		if changes := Diff(c, second); len(changes) > 0 && !strings.Contains(shown.String(), redacted) {
			t.Fatalf("show's output differs: %s", strings.Join(changes, "; "))
		}
		if err := second.Show(&again, false); err != nil {
			t.Fatalf("Show: %v", err)
		}
		for _, e := range c.Entries() {
			if _, err := c.Explain(e.Path); err != nil {
				t.Fatalf("Explain(%q): %v", e.Path, err)
			}
		}
	})
}

func checkProblems(t *testing.T, data []byte, err error) {
	var problems Errors
	if !errors.As(err, &problems) || len(problems) == 0 || len(problems) > maxProblems+1 {
		t.Fatalf("Load gave %T with %d problems", err, len(problems))
	}
	lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + bytes.Count(data, []byte("\u0085")) +
		bytes.Count(data, []byte("\u2028")) + bytes.Count(data, []byte("\u2029")) + 1
	for _, p := range problems {
		defaults := p.Origin.Source == SourceDefault
		if !defaults && (p.Origin.Line < 1 || p.Origin.Line > lines || p.Origin.Column < 1) {
			t.Fatalf("%s: no position in a file of %d lines", p, lines)
		}
		if strings.ContainsAny(p.String(), "\n\r") {
			t.Fatalf("%q: a problem is one line", p)
		}
	}
}
