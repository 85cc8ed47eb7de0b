package config

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the tests get into their golden files")

// TestErrors runs testdata/errors.txt: sections of "== name", a file, ">>" and
// every line that loading it reports.
func TestErrors(t *testing.T) {
	t.Chdir("testdata")
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"PORT": "9000", "ROWS": "many", "EMPTY": ""}
	golden, err := os.ReadFile("errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	head, sections, _ := strings.Cut(string(golden), "== ")
	got.WriteString(head)
	for section := range strings.SplitSeq(sections, "\n== ") {
		name, body, _ := strings.Cut(section, "\n")
		text, want, _ := strings.Cut(body, ">>\n")
		t.Run(name, func(t *testing.T) {
			src := Sources{File: "sluice.yaml", Data: []byte(unescape(text)), Getenv: func(name string) (string, bool) {
				v, ok := env[name]
				return v, ok
			}}
			out := "(no error)"
			if _, err := Load(src, []Kind{ONNX(), Triton(), TFServing(), KServe()}); err != nil {
				out = strings.ReplaceAll(err.Error(), dir, "$DIR")
			}
			got.WriteString("== " + name + "\n" + text + ">>\n" + out + "\n\n")
			if strings.TrimSpace(want) != out && !*rewrite {
				t.Errorf("got:\n%s\nwant:\n%s", out, strings.TrimSpace(want))
			}
		})
	}
	if *rewrite {
		if err := os.WriteFile("errors.txt", []byte(strings.TrimSuffix(got.String(), "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// unescape lets the golden file hold bytes that editors would spoil.
func unescape(text string) string {
	return strings.NewReplacer(`<tab>`, "\t", `<ff>`, "\xff", `<nul>`, "\x00", `<bom>`, "\uFEFF", "<cr>", "\r").Replace(text)
}
