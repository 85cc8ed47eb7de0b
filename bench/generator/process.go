package generator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/sluice-serving/sluice/bench/machine"
)

// generatorLine is one line of a generator process's output.
type generatorLine struct {
	Progress *Progress `json:"progress,omitempty"`
	Report   *Report   `json:"report,omitempty"`
}

// RunProcess is Run in a process of its own with one Go thread, so that the generator and what it measures share
// neither a Go scheduler nor a garbage collector.
func RunProcess(ctx context.Context, self machine.Self, opts Options) (Report, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return Report{}, err
	}
	input, err := json.Marshal(opts)
	if err != nil {
		return Report{}, fmt.Errorf("write the generator's options: %w", err)
	}
	cmd := self.Command(ctx, "generate")
	cmd.Stdin = bytes.NewReader(input)
	var words machine.Tail
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

// Generate is the other end of RunProcess.
func Generate(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
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
