package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/onnx"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/gateway"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
)

var rewrite = flag.Bool("rewrite", false, "write what the tests get into their golden files")

// patience bounds every wait for something that is sure to come.
const patience = 30 * time.Second

// toyKind is a kind of pools whose models answer with what they are sent. Its target is how long a run takes.
func toyKind() gateway.Kind {
	return gateway.Kind{
		Config: config.Kind{
			Name: "toy", Target: "takes", Doc: "Answers with what it is sent.",
			Keys: []config.Key{{Name: "takes", Type: config.Duration, Required: true, Doc: "How long a run takes."}},
		},
		Start: func(gateway.Env) gateway.Host {
			return gateway.Host{Key: takes, Open: openToy, Close: func() {}}
		},
	}
}

func takes(p *config.Pool) string {
	var o struct{ Takes time.Duration }
	p.Options.Into(&o)
	return o.Takes.String()
}

// openToy opens the models echo, types, scalar, image and broken; of a pool that takes its time, slow only.
func openToy(p *config.Pool) (*gateway.Pool, error) {
	opts := puppet.Options{Models: toyModels()}
	if opts.Fixed, _ = time.ParseDuration(takes(p)); opts.Fixed > 0 {
		opts.Models = []*infer.Model{puppet.Echo("slow", 0)}
	}
	opts.Script = func(_ int64, b *infer.Batch) puppet.Verdict {
		if b.Model.Name == "broken" {
			return puppet.Verdict{Fail: infer.Errorf(infer.BadBackend, "the model broke down")}
		}
		return puppet.Verdict{}
	}
	back := puppet.New(opts)
	return &gateway.Pool{
		Kind: "toy", Slots: back, Catalog: back, Endpoints: func() []backends.EndpointStatus { return nil },
		Close: func(context.Context) error {
			back.Close()
			return nil
		},
	}, nil
}

func toyModels() []*infer.Model {
	model := func(name string, specs ...infer.Spec) *infer.Model {
		m := &infer.Model{Name: name, Version: "1", Platform: "toy", Inputs: specs, Merge: "never: each request runs alone"}
		for _, s := range specs {
			s.Name = "out_" + s.Name
			m.Outputs = append(m.Outputs, s)
		}
		return m
	}
	var all []infer.Spec
	for d := tensor.Bool; d <= tensor.Bytes; d++ {
		all = append(all, infer.Spec{Name: strings.ToLower(d.String()), DType: d, Dims: []int64{2}, Optional: true})
	}
	return []*infer.Model{
		puppet.Echo("echo", 32),
		puppet.Echo("broken", 0),
		model("types", all...),
		model("scalar", infer.Spec{Name: "x", DType: tensor.FP64}),
		model("image", infer.Spec{Name: "pixels", DType: tensor.FP32, Dims: []int64{3, 1, 2}}),
	}
}

func toyKinds() []gateway.Kind { return append(gateway.Kinds(), toyKind()) }

// sluice runs a command line in this process.
func sluice(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, words bytes.Buffer
	code = run(t.Context(), args, Stdio{In: strings.NewReader(""), Out: &out, Err: &words}, toyKinds())
	return code, out.String(), words.String()
}

// served is a `sluice serve` in this process.
type served struct {
	http, metrics, admin string
	words                *lockedBuffer
	stop                 func() int
}

// serveHere runs serve until the test ends.
func serveHere(t *testing.T, args ...string) *served {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	args = append([]string{
		"serve", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", ready,
	}, args...)
	ctx, cancel := context.WithCancel(context.Background())
	s := &served{words: &lockedBuffer{}}
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, args, Stdio{In: strings.NewReader(""), Out: s.words, Err: s.words}, toyKinds())
	}()
	ended := false
	s.stop = func() int {
		if ended {
			return 0
		}
		ended = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if code := s.stop(); code != exitOK {
			t.Errorf("serve ended with %d:\n%s", code, s.words.String())
		}
	})
	addresses, err := awaitReady(ready, func() bool { return len(done) > 0 })
	if err != nil {
		t.Fatalf("%v\n%s", err, s.words.String())
	}
	s.http, s.metrics, s.admin = addresses["http"], addresses["metrics"], addresses["admin"]
	return s
}

// awaitReady reads the ready file as soon as there is one.
func awaitReady(path string, gone func() bool) (map[string]string, error) {
	var addresses map[string]string
	err := eventually(func() error {
		data, err := os.ReadFile(path)
		if err != nil {
			if gone() {
				return fatal{fmt.Errorf("serve ended before it was ready")}
			}
			return err
		}
		return json.Unmarshal(data, &addresses)
	})
	return addresses, err
}

// fatal is an error that waiting longer does not mend.
type fatal struct{ error }

// eventually asks until there is no error, or patience is over. What it waits for happens in other processes, which
// wake nobody here.
func eventually(ask func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil {
			return nil
		}
		if _, ok := err.(fatal); ok || time.Now().After(deadline) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// golden runs the command lines of testdata/FILE: sections of "== name", "$ args", what comes out, "! " before the
// lines of standard error, and "= code".
func golden(t *testing.T, file string, replace, hide map[string]string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("testdata")
	head, sections, _ := strings.Cut("\n"+string(data), "\n== ")
	got := strings.TrimPrefix(head, "\n")
	for section := range strings.SplitSeq(sections, "\n== ") {
		name, body, _ := strings.Cut(section, "\n")
		command, want, _ := strings.Cut(body, "\n")
		t.Run(name, func(t *testing.T) {
			line := strings.TrimPrefix(command, "$ ")
			for from, to := range replace {
				line = strings.ReplaceAll(line, from, to)
			}
			code, stdout, stderr := sluice(t, splitWords(t, line)...)
			out := transcript(code, stdout, stderr, hide)
			if got != "" {
				got += "\n"
			}
			got += "== " + name + "\n" + command + "\n" + out
			if out != strings.TrimRight(want, "\n")+"\n" && !*rewrite {
				t.Errorf("%s\ngot:\n%s\nwant:\n%s", line, out, want)
			}
		})
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// timing differs from run to run.
var timing = regexp.MustCompile(`answered in [0-9.]+ ms \(in the gateway, in ms: [^)]*\)`)

// transcript shows what a command did, with what differs from run to run made the same.
func transcript(code int, stdout, stderr string, hide map[string]string) string {
	var b strings.Builder
	b.WriteString(stdout)
	if stdout != "" && !strings.HasSuffix(stdout, "\n") {
		b.WriteString("(no newline)\n")
	}
	for line := range strings.Lines(stderr) {
		b.WriteString("! " + timing.ReplaceAllString(line, "answered in (time)"))
	}
	fmt.Fprintf(&b, "= %d\n", code)
	out := b.String()
	for from, to := range hide {
		out = strings.ReplaceAll(out, from, to)
	}
	return out
}

// splitWords splits a line at spaces, but not within single quotes, which it drops.
func splitWords(t *testing.T, line string) []string {
	t.Helper()
	var words []string
	var word strings.Builder
	quoted, inWord := false, false
	for _, r := range line + " " {
		switch {
		case r == '\'':
			quoted, inWord = !quoted, true
		case r == ' ' && !quoted:
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quoted {
		t.Fatalf("a quote is left open: %s", line)
	}
	return words
}

// lockedBuffer is a buffer that goroutines share.
type lockedBuffer struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.String()
}

// repository is the root of the source tree.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// needsRuntime skips a test where no ONNX Runtime can be loaded. It is looked for in the repository's cache too.
func needsRuntime(t *testing.T) {
	t.Helper()
	if os.Getenv("SLUICE_ONNXRUNTIME") == "" {
		library := filepath.Join(repository(t), ".cache", "onnxruntime", "libonnxruntime.so")
		if _, err := os.Stat(library); err == nil {
			t.Setenv("SLUICE_ONNXRUNTIME", library)
		}
	}
	if _, _, err := onnx.Runtime(); err != nil {
		t.Skipf("no ONNX Runtime: %v", err)
	}
}
