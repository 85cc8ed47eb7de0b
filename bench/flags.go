package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/report"
)

// flags builds a flag set whose errors are usage errors.
func flags(name, synopsis string, words io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet("bench "+name, flag.ContinueOnError)
	fs.SetOutput(words)
	fs.Usage = func() {
		fmt.Fprintf(words, "usage: sluice bench %s\n\n", synopsis)
		fs.PrintDefaults()
	}
	return fs
}

func parse(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if fs.NArg() > 0 {
		return usageError{fmt.Errorf("%s: unexpected argument %.128q", fs.Name(), fs.Arg(0))}
	}
	return nil
}

// headers collects repeated -header "name: value".
type headers []string

func (h *headers) String() string { return strings.Join(*h, ", ") }

func (h *headers) Set(s string) error {
	name, value, ok := strings.Cut(s, ":")
	if !ok || strings.ContainsAny(s, "\r\n") {
		return errors.New(`want "name: value"`)
	}
	*h = append(*h, strings.TrimSpace(name), strings.TrimSpace(value))
	return nil
}

// register adds the flags that HTTP/1.1 and gRPC share.
func (f *runFlags) register(fs *flag.FlagSet, target string) {
	o := &f.opts
	fs.StringVar(&o.Target, "target", target, "address:port or unix:path to send to")
	fs.Var(&f.headers, "header", `"name: value", as often as needed`)
	fs.IntVar(&o.Connections, "connections", 1, "connections; in a closed loop each has a request in flight all the time")
	fs.Float64Var(&o.Rate, "rate", 0, "requests a second (open loop, latency from the moment a request was due); 0: closed loop")
	fs.DurationVar(&o.Warmup, "warmup", watchWarmup, "sent and not measured")
	fs.DurationVar(&o.Duration, "duration", watchDuration, "measured")
	fs.DurationVar(&o.Timeout, "timeout", 10*time.Second, "after which a request counts as an error, with all on its connection")
	fs.IntVar(&f.pid, "pid", 0, "process whose CPU time per request is reported, with its children")
	fs.StringVar(&f.output, "output", "text", "text or json")
	fs.StringVar(&f.plot, "plot", "", "SVG file for the distribution of latencies")
}

// runFlags are those of every command that sends.
type runFlags struct {
	pid     int
	output  string
	plot    string
	opts    generator.Options
	headers headers
}

func (f *runFlags) options() *generator.Options { return &f.opts }

// textOrFile is the value of a flag, or the file that it names behind an @.
func textOrFile(flag, value string) ([]byte, error) {
	name, ok := strings.CutPrefix(value, "@")
	if !ok {
		return []byte(value), nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return b, nil
}

// run sends and reports as the flags say.
func (f *runFlags) run(ctx context.Context, stdout, stderr io.Writer) error {
	opts := &f.opts
	switch f.output {
	case "text", "json":
	default:
		return usageError{fmt.Errorf("-output: %.128q is neither text nor json", f.output)}
	}
	if f.pid != 0 {
		opts.Processes = machine.Tree(f.pid)
	}
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return usageError{err}
	}
	opts.Progress = func(p generator.Progress) { p.WriteText(stderr) }
	r, err := generator.Run(ctx, *opts)
	if err != nil {
		return err
	}
	if f.plot != "" {
		if err := os.WriteFile(f.plot, report.LatencyPlot(&r), 0o644); err != nil {
			return fmt.Errorf("-plot: %w", err)
		}
	}
	if f.output == "json" {
		return json.NewEncoder(stdout).Encode(&r)
	}
	r.WriteText(stdout)
	if n := r.Errors.Total(); n > 0 {
		return fmt.Errorf("%d requests got no right answer: %s", n, r.Errors.First)
	}
	return nil
}

// durations are the defaults of commands that send for a person to watch.
const (
	watchWarmup   = time.Second
	watchDuration = 10 * time.Second
)
