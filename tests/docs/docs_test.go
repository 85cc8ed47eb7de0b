// Package docs runs what README.md and the guides tell a reader to type.
package docs

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds a page, and patienceReady in the prelude the start of a server.
const patience = 2 * time.Minute

// TestPages runs the sh and python blocks of each page, in their order, as one script of bash, in a folder that
// looks like a checkout after `make build onnxruntime`. Each command must succeed, and a block of output must be
// what the sh block before it printed: "..." stands for anything within a line and, alone, for any lines.
func TestPages(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	library := os.Getenv("SLUICE_ONNXRUNTIME")
	if library == "" {
		library = filepath.Join(root, ".cache", "onnxruntime", "libonnxruntime.so")
	}
	if _, err := os.Stat(library); err != nil {
		t.Skipf("no ONNX Runtime: %v", err)
	}
	for _, tool := range []string{"bash", "curl", "openssl", "gzip", "od"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the guides need %s: %v", tool, err)
		}
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(bin, "sluice"), "./cmd/sluice")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the command: %v\n%s", err, out)
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "guides", "*.md"))
	if err != nil || len(pages) < 6 {
		t.Fatalf("%d guides, %v", len(pages), err)
	}
	for _, page := range append([]string{filepath.Join(root, "README.md")}, pages...) {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			environment := "clients"
			if filepath.Base(page) == "tfserving.md" {
				environment = "tfclients"
			}
			runPage(t, root, bin, library, environment, blocksOf(string(text)))
		})
	}
}

// block is one fenced block.
type block struct {
	line     int // of its fence
	language string
	text     string
}

var fence = regexp.MustCompile("(?ms)^```(\\w*)[^\\n]*\\n(.*?)^```")

func blocksOf(page string) []block {
	var all []block
	for _, m := range fence.FindAllStringSubmatchIndex(page, -1) {
		all = append(all, block{
			line: 1 + strings.Count(page[:m[0]], "\n"), language: page[m[2]:m[3]], text: page[m[4]:m[5]],
		})
	}
	return all
}

// ports are where the servers of one page listen.
type ports struct{ http, grpc, metrics, admin string }

// freePorts finds four ports that nobody listens on.
func freePorts(t *testing.T) ports {
	t.Helper()
	var found [4]string
	for i := range found {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		_, found[i], _ = net.SplitHostPort(ln.Addr().String())
	}
	return ports{found[0], found[1], found[2], found[3]}
}

// here puts the ports of this run in place of the default ones.
func (p ports) here(text string) string {
	for from, to := range map[string]string{"8000": p.http, "8001": p.grpc, "8002": p.metrics, "9901": p.admin} {
		text = regexp.MustCompile(`\b(localhost|127\.0\.0\.1):`+from+`\b`).ReplaceAllString(text, "${1}:"+to)
	}
	return text
}

// prelude makes a shell in which the commands of the pages work on ports of this run, and `make` builds nothing.
const prelude = `set -euo pipefail
serve() {
  local all="$*" file="" flags=()
  if [[ $all =~ (^|\ )-c\ ([^ ]+) ]]; then file=${BASH_REMATCH[2]}; fi
  for name in http grpc metrics admin; do
    if [[ $all == *"--$name "* ]] || { [ -n "$file" ] && grep -qE "^ *$name:.*address" "$file"; }; then continue; fi
    local port=${name^^}
    flags+=("--$name" "127.0.0.1:${!port}")
  done
  exec "$SLUICE" serve "${flags[@]}" --ready-file "$READY" "$@" 2>>"$LOG"
}
sluice() {
  case "$*" in
  serve*) shift; serve "$@" ;;
  models*--admin* | pools*--admin* | predict*--url*) ;;
  models* | pools*) set -- "$@" --admin "127.0.0.1:$ADMIN" ;;
  predict*) set -- "$@" --url "127.0.0.1:$HTTP" ;;
  esac
  if [ $BASHPID != $$ ]; then exec "$SLUICE" "$@"; fi # so that $! is the command's own
  "$SLUICE" "$@"
}
ready() {
  for _ in $(seq 600); do
    if [ -e "$READY" ]; then rm "$READY"; return; fi
    kill -0 $! || return 1
    sleep 0.05
  done
  return 1
}
make() { :; }
`

// serving matches a command that serves, and with which the script goes on once it is ready.
var serving = regexp.MustCompile(`(?m)^((?:bin/)?sluice serve\b[^\n&]*?)( &)?$`)

// script is the page as bash runs it. A line with the mark and a number comes before what each block prints.
func script(p ports, python string, blocks []block) string {
	var b strings.Builder
	b.WriteString(prelude)
	for i, one := range blocks {
		fmt.Fprintf(&b, "echo '%s%d'\n", mark, i)
		text := p.here(one.text)
		switch one.language {
		case "sh":
			text = strings.ReplaceAll(text, "make run\n", "sluice serve --backend onnx=examples/digits/models &\n")
			b.WriteString(serving.ReplaceAllString(text, "$1 &\nready"))
		case "python":
			if python != "" {
				fmt.Fprintf(&b, "%q - <<'END_OF_PYTHON'\n%sEND_OF_PYTHON\n", python, text)
			}
		}
	}
	return b.String()
}

const mark = "\x1e"

func runPage(t *testing.T, root, bin, library, environment string, blocks []block) {
	dir := t.TempDir()
	for _, name := range []string{"examples", "Makefile"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(bin, filepath.Join(dir, "bin")); err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(root, ".cache", "venv", environment, "bin", "python")
	if _, err := os.Stat(python); err != nil {
		python = ""
	}
	p := freePorts(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script(p, python, blocks))
	cmd.Dir = dir
	log := filepath.Join(dir, ".log")
	cmd.Env = append(os.Environ(),
		"SLUICE="+filepath.Join(bin, "sluice"), "SLUICE_ONNXRUNTIME="+library, "READY="+filepath.Join(dir, ".ready"), "LOG="+log,
		"HTTP="+p.http, "GRPC="+p.grpc, "METRICS="+p.metrics, "ADMIN="+p.admin, "PATH="+bin+":"+os.Getenv("PATH"))
	// The servers that a page leaves running are of the shell's process group, and end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // an error: none was left
	if err != nil && !strings.Contains(err.Error(), "WaitDelay") {
		lines, _ := os.ReadFile(log)
		t.Fatalf("%v\n%s\nlog of the servers:\n%s", err, strings.ReplaceAll(string(out), mark, "--- block "), lines)
	}
	printed := parts(strings.ReplaceAll(string(out), "\r\n", "\n"), len(blocks))
	last := -1
	for i, one := range blocks {
		switch one.language {
		case "sh":
			last = i
		case "output":
			if last < 0 {
				t.Errorf("line %d: output of nothing", one.line)
				continue
			}
			if diff := compare(p.here(one.text), printed[last]); diff != "" {
				t.Errorf("line %d: %s\nprinted:\n%s", one.line, diff, printed[last])
			}
		}
	}
}

// parts splits what a script printed into what each block did.
func parts(out string, n int) []string {
	all := make([]string, n)
	for part := range strings.SplitSeq(out, mark) {
		number, text, _ := strings.Cut(part, "\n")
		i := 0
		if _, err := fmt.Sscan(number, &i); err == nil && i < n {
			all[i] = text
		}
	}
	return all
}

// compare returns what of the output that a page shows was not printed. Lines are looked for in their order; between
// two of them others may have been printed only where the page has a line of dots, or before the first and after the
// last.
func compare(shown, printed string) string {
	lines := strings.Split(strings.TrimRight(printed, "\n"), "\n")
	next, gap := 0, true
	for want := range strings.SplitSeq(strings.TrimRight(shown, "\n"), "\n") {
		if want == "..." {
			gap = true
			continue
		}
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(want), `\.\.\.`, ".*") + "$")
		for next < len(lines) && gap && !pattern.MatchString(lines[next]) {
			next++
		}
		if next == len(lines) || !pattern.MatchString(lines[next]) {
			return fmt.Sprintf("the page shows %q", want)
		}
		next, gap = next+1, false
	}
	return ""
}

func TestCompare(t *testing.T) {
	tests := []struct {
		name, shown, printed string
		same                 bool
	}{
		{"equal", "a\nb\n", "a\nb\n", true},
		{"more before and after", "b\n", "a\nb\nc\n", true},
		{"more between", "a\nc\n", "a\nb\nc\n", false},
		{"more between, as shown", "a\n...\nc\n", "a\nb\nc\n", true},
		{"anything within a line", "a ... c\n", "a b c\n", true},
		{"another line", "a\n", "b\n", false},
		{"another order", "b\n...\na\n", "a\nb\n", false},
		{"a line that goes on", "a\n", "ab\n", false},
		{"letters that mean something to patterns", "[1] (2)\n", "[1] (2)\n", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := compare(test.shown, test.printed); (diff == "") != test.same {
				t.Errorf("compare: %q, want the same: %t", diff, test.same)
			}
		})
	}
}
