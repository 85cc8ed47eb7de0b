package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
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

func httpCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flags("http", "http -target 127.0.0.1:8000 -path /v2/models/digits/infer -body @request.json [-rate 500]", stderr)
	var rf runFlags
	rf.register(fs, "127.0.0.1:8000")
	path := fs.String("path", "/v2/health/live", "path of the request")
	body := fs.String("body", "", "body of the request, or @file; without one the request is a GET")
	fs.IntVar(&rf.opts.Status, "status", 200, "status of a right answer")
	if err := parse(fs, args); err != nil {
		return err
	}
	request, err := buildRequest(*path, *body, rf.opts.Target, rf.headers)
	if err != nil {
		return usageError{err}
	}
	rf.opts.Request = request
	return rf.run(ctx, stdout, stderr)
}

func buildRequest(path, body, host string, extra headers) ([]byte, error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \r\n") {
		return nil, fmt.Errorf("-path: %.128q is not a path", path)
	}
	if body == "" {
		return NewRequest("GET", path, authorityOf(host), nil, extra...), nil
	}
	data, err := textOrFile("-body", body)
	if err != nil {
		return nil, err
	}
	return NewRequest("POST", path, authorityOf(host), data, extra...), nil
}

func writeReport(w io.Writer, r *Report) {
	fmt.Fprintf(w, "%s, %.1fs\n", Load{r.Options.Connections, r.Options.Streams, r.Options.Rate}, r.Elapsed.Seconds())
	fmt.Fprintf(w, "answered      %d (%.0f/s), %d wrong or lost, %d unfinished\n", r.Completed, r.PerSecond(), r.Errors.Total(), r.Unfinished)
	line := func(name string, h *Histogram) {
		fmt.Fprintf(w, "%-13s mean %s  p50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n", name, short(h.Mean()),
			short(h.Quantile(0.5)), short(h.Quantile(0.9)), short(h.Quantile(0.99)), short(h.Quantile(0.999)), short(h.Max()))
	}
	line("latency", &r.Latency)
	if r.Options.Rate > 0 {
		line("from sending", &r.Service)
		line("generator lag", &r.Lag)
	}
	if late := r.Late(); late != nil {
		fmt.Fprintf(w, "doubtful      %v\n", late)
	}
	if r.CPU.Target > 0 {
		fmt.Fprintf(w, "CPU           %s a request, other work used %.1f%% of the machine\n", short(r.CPUPerRequest()), 100*r.CPU.Foreign())
	}
}

// short rounds to three digits.
func short(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
