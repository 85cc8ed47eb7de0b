package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Self is the command that runs Main in a process of its own: the path of a binary and the arguments before Main's.
type Self []string

// generatorLine is one line of a generator process's output.
type generatorLine struct {
	Progress *Progress `json:"progress,omitempty"`
	Report   *Report   `json:"report,omitempty"`
}

// RunProcess is Run in a process of its own with one Go thread, so that the generator and what it measures share
// neither a Go scheduler nor a garbage collector.
func RunProcess(ctx context.Context, self Self, opts Options) (Report, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return Report{}, err
	}
	input, err := json.Marshal(opts)
	if err != nil {
		return Report{}, fmt.Errorf("write the generator's options: %w", err)
	}
	cmd := self.command(ctx, "generate")
	cmd.Stdin = bytes.NewReader(input)
	var words tail
	cmd.Stderr = &words
	out, err := cmd.StdoutPipe()
	if err != nil {
		return Report{}, fmt.Errorf("start the generator: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return Report{}, fmt.Errorf("start the generator: %w", err)
	}
	report, readErr := readGenerator(out, opts.Progress)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return Report{}, ctx.Err()
		}
		return Report{}, fmt.Errorf("the generator failed: %w: %s", err, words.String())
	}
	if readErr != nil {
		return Report{}, readErr
	}
	report.Options = opts
	return *report, nil
}

func readGenerator(out io.Reader, tell func(Progress)) (*Report, error) {
	dec := json.NewDecoder(bufio.NewReader(out))
	for {
		var line generatorLine
		if err := dec.Decode(&line); err != nil {
			return nil, fmt.Errorf("read the generator's report: %w", err)
		}
		if line.Report != nil {
			return line.Report, nil
		}
		if line.Progress != nil && tell != nil {
			tell(*line.Progress)
		}
	}
}

// generate is the other end of RunProcess.
func generate(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var opts Options
	if err := json.NewDecoder(stdin).Decode(&opts); err != nil {
		return fmt.Errorf("read the generator's options: %w", err)
	}
	enc := json.NewEncoder(stdout)
	opts.Progress = func(p Progress) { _ = enc.Encode(generatorLine{Progress: &p}) }
	report, err := Run(ctx, opts)
	if err != nil {
		return err
	}
	if err := enc.Encode(generatorLine{Report: &report}); err != nil {
		return fmt.Errorf("write the generator's report: %w", err)
	}
	return nil
}

// command builds a child that runs Main with the arguments on one Go thread.
func (s Self) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s[0], append(append([]string{}, s[1:]...), args...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 3 * time.Second
	return cmd
}

// tail keeps the last words that a child wrote, for the error that names its end.
type tail struct{ b []byte }

const tailBytes = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - tailBytes; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	s := strings.TrimSpace(string(t.b))
	if s == "" {
		return "it said nothing"
	}
	return s
}

// lines lets several goroutines write to one writer.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

var errNoSelf = errors.New("no command to start processes with")
