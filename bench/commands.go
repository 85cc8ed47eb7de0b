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
	fmt.Fprintf(w, "%s, %.1fs\n", Load{r.Options.Connections, r.Options.Rate}, r.Elapsed.Seconds())
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

func hopCommand(ctx context.Context, self Self, args []string, stdout, stderr io.Writer) error {
	fs := flags("hop", "hop [-rounds 10] [-results DIR]", stderr)
	opts := HopOptions{Self: self, Words: stderr}
	fs.StringVar(&opts.Parts, "parts", "", "where nginx and HAProxy are unpacked (default .cache/proxies)")
	loads := fs.String("loads", "32,1,32@10000", "a table for each of these: CONNECTIONS in a closed loop, or CONNECTIONS@RATE")
	fs.IntVar(&opts.Bytes, "bytes", 1024, "tensor bytes of a request")
	fs.IntVar(&opts.Rounds, "rounds", 10, "undisturbed rounds wanted")
	fs.DurationVar(&opts.Block, "block", 2500*time.Millisecond, "measured time of a block")
	fs.Float64Var(&opts.MaxForeign, "max-foreign", 0.1, "share of the machine that other work may use in a block")
	fs.DurationVar(&opts.Patience, "patience", 5*time.Second, "how long a block may wait for other work to pause")
	only := fs.String("only", "", "subjects to measure, by name, separated by commas (default all)")
	results := fs.String("results", "", "folder for the report: Markdown, JSON and plots")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *only != "" {
		opts.Only = strings.Split(*only, ",")
	}
	wanted, err := parseLoads(*loads)
	if err != nil {
		return usageError{fmt.Errorf("-loads: %w", err)}
	}
	var all []Comparison
	for _, load := range wanted {
		opts.Load = load
		c, err := Hop(ctx, opts)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	doc := Document{
		Name: "hop", Title: "What it costs to terminate a request",
		Command: commandLine("hop", args), Machine: thisMachine(), Comparisons: all,
		Text: hopText,
	}
	return doc.publish(*results, stdout)
}

func batchCommand(ctx context.Context, self Self, args []string, stdout, stderr io.Writer) error {
	fs := flags("batch", "batch [-rounds 10] [-results DIR]", stderr)
	opts := BatchOptions{Self: self, Words: stderr}
	fs.StringVar(&opts.Digits, "digits", "", "repository of the digits models (default examples/digits/models)")
	fs.IntVar(&opts.Rounds, "rounds", 10, "undisturbed rounds wanted")
	fs.DurationVar(&opts.Block, "block", 2*time.Second, "measured time of a block")
	fs.Float64Var(&opts.MaxForeign, "max-foreign", 0.1, "share of the machine that other work may use in a block")
	fs.DurationVar(&opts.Patience, "patience", 5*time.Second, "how long a block may wait for other work to pause")
	fs.StringVar(&opts.Only, "only", "", "measure only the tables with this in their title")
	results := fs.String("results", "", "folder for the report: Markdown, JSON and plots")
	if err := parse(fs, args); err != nil {
		return err
	}
	all, goals, err := Batch(ctx, opts)
	if err != nil {
		return err
	}
	doc := Document{
		Name: "batch", Title: "What merging requests gains, and what it costs",
		Command: commandLine("batch", args), Machine: thisMachine(), Comparisons: all, Goals: goals,
		Text: batchText,
	}
	return doc.publish(*results, stdout)
}

const batchText = `Each request is one row. With batching on, requests that find the device busy are merged and run together when it is
free again; with batching off (max_batch_size: 1) each is a run of its own. Both go through the router, the lanes and the
pools of a whole gateway; clients call it from inside the process where the title does not say HTTP. The rows of a batch
are those of the gateway's own metrics.`

const hopText = `Each server reads the whole body of the same request and answers by itself: no upstream. One worker each
(GOMAXPROCS=1, worker_processes 1, nbthread 1), logs off, keep-alive, the load generator in a process of its own.
CPU is the time that the server's threads ran (/proc/PID/task/*/schedstat) over the requests it answered.`

func commandLine(name string, args []string) string {
	return strings.TrimSpace("sluice bench " + name + " " + strings.Join(args, " "))
}
