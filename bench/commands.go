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

func httpCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flags("http", "http -target 127.0.0.1:8000 -path /v2/models/digits/infer -body @request.json [-rate 500]", stderr)
	var opts Options
	var extra headers
	fs.StringVar(&opts.Target, "target", "127.0.0.1:8000", "address:port or unix:path to send to")
	path := fs.String("path", "/v2/health/live", "path of the request")
	body := fs.String("body", "", "body of the request, or @file; without one the request is a GET")
	fs.Var(&extra, "header", `"name: value", as often as needed`)
	fs.IntVar(&opts.Connections, "connections", 1, "connections; in a closed loop also the requests in flight")
	fs.Float64Var(&opts.Rate, "rate", 0, "requests a second (open loop, latency from the moment a request was due); 0: closed loop")
	fs.DurationVar(&opts.Warmup, "warmup", time.Second, "sent and not measured")
	fs.DurationVar(&opts.Duration, "duration", 10*time.Second, "measured")
	fs.IntVar(&opts.Status, "status", 200, "status of a right answer")
	pid := fs.Int("pid", 0, "process whose CPU time per request is reported, with its children")
	output := fs.String("output", "text", "text or json")
	if err := parse(fs, args); err != nil {
		return err
	}
	request, err := buildRequest(*path, *body, opts.Target, extra)
	if err != nil {
		return usageError{err}
	}
	opts.Request = request
	if *pid != 0 {
		opts.Processes = processTree(*pid)
	}
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return usageError{err}
	}
	opts.Progress = func(p Progress) {
		fmt.Fprintf(stderr, "%3.0fs  %d answered  %d errors  p50 %s  p99 %s\n", p.Elapsed.Seconds(), p.Completed, p.Errors, p.P50, p.P99)
	}
	r, err := Run(ctx, opts)
	if err != nil {
		return err
	}
	if *output == "json" {
		return json.NewEncoder(stdout).Encode(&r)
	}
	writeReport(stdout, &r)
	if n := r.Errors.Total(); n > 0 {
		return fmt.Errorf("%d requests got no right answer: %s", n, r.Errors.First)
	}
	return nil
}

func buildRequest(path, body, host string, extra headers) ([]byte, error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \r\n") {
		return nil, fmt.Errorf("-path: %.128q is not a path", path)
	}
	if strings.HasPrefix(host, "unix:") {
		host = "localhost"
	}
	if body == "" {
		return NewRequest("GET", path, host, nil, extra...), nil
	}
	data := []byte(body)
	if name, ok := strings.CutPrefix(body, "@"); ok {
		var err error
		if data, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("-body: %w", err)
		}
	}
	return NewRequest("POST", path, host, data, extra...), nil
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
