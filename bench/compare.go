package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/report"
	"github.com/sluice-serving/sluice/bench/scenario"
	"github.com/sluice-serving/sluice/bench/trial"
)

// reportFlags are those of every command that compares.
type reportFlags struct {
	results string
	check   bool
}

const hopText = `Each server reads the whole body of the same request and answers by itself: no upstream. One worker each
(GOMAXPROCS=1, worker_processes 1, nbthread 1), logs off, keep-alive, the load generator in a process of its own.
CPU is the time that the server's threads ran (/proc/PID/task/*/schedstat) over the requests it answered.`

func hopCommand(ctx context.Context, self machine.Self, args []string, stdout, stderr io.Writer) error {
	fs := flags("hop", "hop [-rounds 10] [-results DIR]", stderr)
	opts := scenario.HopOptions{Self: self, Words: stderr}
	var rf reportFlags
	rf.register(fs, &opts.Block, 2500*time.Millisecond, &opts.Effort)
	fs.StringVar(&opts.Parts, "parts", "", "where nginx and HAProxy are unpacked (default .cache/proxies)")
	loads := fs.String("loads", "32,1,32@10000", "a table for each of these: CONNECTIONS in a closed loop, or CONNECTIONS@RATE")
	fs.IntVar(&opts.Bytes, "bytes", 1024, "tensor bytes of a request")
	only := fs.String("only", "", "servers to measure beside Sluice and the bare handler, separated by commas (default all)")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *only != "" {
		opts.Only = strings.Split(*only, ",")
	}
	wanted, err := generator.ParseLoads(*loads)
	if err != nil {
		return usageError{fmt.Errorf("-loads: %w", err)}
	}
	var all []trial.Comparison
	for _, load := range wanted {
		opts.Load = load
		c, err := scenario.Hop(ctx, opts)
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	return rf.finish(&report.Document{
		Name: "hop", Title: "What it costs to terminate a request", Text: hopText,
		Command: commandLine("hop", args), Comparisons: all, Goals: scenario.HopGoals(all),
	}, stdout)
}

const proxyText = `Every proxy passes the same calls on to the same upstream: a server of our own that answers an inference with its input
at once, in slabs. Generator, proxy and upstream are a process each, and each server has as many threads as -workers says
(GOMAXPROCS, nbthread, worker_processes, --concurrency). HTTP/2 without TLS on both sides, kept connections, logs off.
CPU is the time that the proxy's threads ran (/proc/PID/task/*/schedstat) over the calls it passed on. Every answer is
compared byte by byte. How each proxy is configured stands under its table, and why in bench/README.md.`

func proxyCommand(ctx context.Context, self machine.Self, args []string, stdout, stderr io.Writer) error {
	fs := flags("proxy", "proxy [-loads 1x1,8x8,64x1] [-sizes 1024,65536,1048576] [-results DIR]", stderr)
	opts := scenario.ProxyOptions{Self: self, Words: stderr}
	var rf reportFlags
	rf.register(fs, &opts.Block, 750*time.Millisecond, &opts.Effort)
	fs.StringVar(&opts.Parts, "parts", "", "where nginx, HAProxy and Envoy are unpacked (default .cache/proxies)")
	loads := fs.String("loads", "1x1,8x8,64x1", "CONNECTIONSxSTREAMS[@RATE] over gRPC, a table for each of these and each size; none: no gRPC")
	sizes := fs.String("sizes", "1024,65536,1048576", "bytes of tensor in a call")
	plain := fs.String("plain", "32,1", "CONNECTIONS[@RATE] over HTTP/1.1, a table for each; none: no HTTP/1.1")
	only := fs.String("only", "", "subjects to measure, separated by commas (default all): Sluice, HAProxy, nginx, Envoy, grpc-go proxy, no proxy")
	fs.IntVar(&opts.Workers, "workers", 1, "threads of each server")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *only != "" {
		opts.Only = strings.Split(*only, ",")
	}
	opts.Loads, opts.Plain = []generator.Load{}, []generator.Load{}
	for _, f := range []struct {
		name, text string
		to         *[]generator.Load
	}{{"-loads", *loads, &opts.Loads}, {"-plain", *plain, &opts.Plain}} {
		if f.text == "none" {
			continue
		}
		var err error
		if *f.to, err = generator.ParseLoads(f.text); err != nil {
			return usageError{fmt.Errorf("%s: %w", f.name, err)}
		}
	}
	for text := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 4 || n%4 != 0 || n > 32<<20 {
			return usageError{fmt.Errorf("-sizes: %.128q is not a number of bytes from 4 to 32 MiB that FP32 fills", text)}
		}
		opts.Sizes = append(opts.Sizes, n)
	}
	all, err := scenario.Proxy(ctx, opts)
	if err != nil {
		return err
	}
	return rf.finish(&report.Document{
		Name: "proxy", Title: "What it costs to pass a call on", Text: proxyText,
		Command: commandLine("proxy", args), Comparisons: all, Goals: scenario.ProxyGoals(all),
	}, stdout)
}

const batchText = `Each request is one row. With batching on, requests that find the device busy are merged and run together when it is
free again; with batching off (max_batch_size: 1) each is a run of its own. Both go through the router, the lanes and the
pools of a whole gateway; clients call it from inside the process where the title does not say HTTP. The rows of a batch
are those of the gateway's own metrics.
In front of a real Triton each client has a connection of its own and asks for one row at a time over gRPC, from another
process; every answer is compared byte by byte. One model, version 1 of digits in the Python backend, is reached in three
ways: through Sluice, which merges in front of a model without batching of its own; straight, as a copy whose
dynamic_batching is on; and straight as it is. Rows a run are those of the Triton's own statistics. All share the cores.`

func batchCommand(ctx context.Context, self machine.Self, args []string, stdout, stderr io.Writer) error {
	fs := flags("batch", "batch [-rounds 10] [-results DIR]", stderr)
	opts := scenario.BatchOptions{Self: self, Words: stderr}
	var rf reportFlags
	rf.register(fs, &opts.Block, 2500*time.Millisecond, &opts.Effort)
	fs.StringVar(&opts.Digits, "digits", "", "repository of the digits models (default examples/digits/models)")
	fs.StringVar(&opts.Triton, "triton", "", "program of a real Triton (default .cache/triton/tritonserver); its models are those of tests/triton/models")
	fs.StringVar(&opts.Only, "only", "", "measure only the tables with this in their title")
	if err := parse(fs, args); err != nil {
		return err
	}
	all, goals, err := scenario.Batch(ctx, opts)
	if err != nil {
		return err
	}
	return rf.finish(&report.Document{
		Name: "batch", Title: "What merging requests gains, and what it costs", Text: batchText,
		Command: commandLine("batch", args), Comparisons: all, Goals: goals,
	}, stdout)
}

const idleText = `Each server answers one request on each of the connections, which then stay open; over gRPC each is a proxy in front
of the same upstream, as in proxy.md. Memory is the growth of what the server's processes have resident (VmRSS) from
before the first connection to two seconds after the last answer, over the connections; the clients are in another
process. Every round starts the server anew.`

func idleCommand(ctx context.Context, self machine.Self, args []string, stdout, stderr io.Writer) error {
	fs := flags("idle", "idle [-connections 10000] [-results DIR]", stderr)
	opts := scenario.IdleOptions{Self: self, Words: stderr}
	var rf reportFlags
	rf.registerResults(fs)
	fs.StringVar(&opts.Parts, "parts", "", "where nginx and HAProxy are unpacked (default .cache/proxies)")
	fs.IntVar(&opts.Connections, "connections", 10_000, "connections that stay open")
	fs.IntVar(&opts.Rounds, "rounds", 3, "rounds")
	only := fs.String("only", "", "servers to measure, separated by commas (default all)")
	fs.DurationVar(&opts.Rest, "rest", 2*time.Second, "how long the connections are left alone before memory is looked at")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *only != "" {
		opts.Only = strings.Split(*only, ",")
	}
	all, err := scenario.Idle(ctx, opts)
	if err != nil {
		return err
	}
	return rf.finish(&report.Document{
		Name: "idle", Title: "What an idle connection keeps", Text: idleText,
		Command: commandLine("idle", args), Comparisons: all, Goals: scenario.IdleGoals(all),
	}, stdout)
}

const pressureText = `A gateway of one thread serves healthy calls in an open loop while others misbehave: clients that send a large message
and then read nothing of the answer, or one byte a second, or that ask for a model whose upstream has stopped (SIGSTOP).
A client that is refused asks again after half a second to one and a half. They are a process that yields
to all others (SCHED_IDLE): elsewhere they have machines of their own. Every block starts a gateway of its own, and
measures once each client has had its message taken or was refused. The generator of the healthy calls stays awake for 300
us before each is due, ahead of other processes where it may (SCHED_FIFO), and blocks in which it was late all the same are
left out. Memory is the most that the gateway ever had resident (VmHWM).`

func pressureCommand(ctx context.Context, self machine.Self, args []string, stdout, stderr io.Writer) error {
	fs := flags("pressure", "pressure [-clients 200] [-results DIR]", stderr)
	opts := scenario.PressureOptions{Self: self, Words: stderr}
	var rf reportFlags
	rf.register(fs, &opts.Block, 3*time.Second, &opts.Effort)
	fs.IntVar(&opts.Clients, "clients", 200, "clients that misbehave")
	fs.IntVar(&opts.Message, "bytes", 16<<20, "tensor bytes that each of them asks with")
	budget := fs.Int64("in-flight", 128, "the gateway's budget of bytes in flight, in MiB")
	fs.Float64Var(&opts.Rate, "rate", 997, "healthy calls a second; a rate in step with the kernel's tick would meet it with each call, or with none")
	fs.StringVar(&opts.Only, "only", "", "measure only the scenes with this in their name")
	if err := parse(fs, args); err != nil {
		return err
	}
	opts.InFlight = *budget << 20
	c, err := scenario.Pressure(ctx, opts)
	if err != nil {
		return err
	}
	return rf.finish(&report.Document{
		Name: "pressure", Title: "What peers that take nothing cost", Text: pressureText,
		Command: commandLine("pressure", args), Comparisons: []trial.Comparison{c}, Goals: scenario.PressureGoals(&c, opts.InFlight),
	}, stdout)
}

func (rf *reportFlags) register(fs *flag.FlagSet, block *time.Duration, usual time.Duration, e *trial.Effort) {
	rf.registerResults(fs)
	fs.DurationVar(block, "block", usual, "measured time of a block")
	fs.IntVar(&e.Rounds, "rounds", 10, "undisturbed rounds wanted")
	fs.Float64Var(&e.MaxForeign, "max-foreign", 0.1, "share of the machine that other work may use in a block")
	fs.DurationVar(&e.Patience, "patience", 5*time.Second, "how long a block may wait for other work to pause")
	fs.DurationVar(&e.MaxTime, "max-time", 6*time.Minute, "no round of a table starts after this time")
}

func (rf *reportFlags) registerResults(fs *flag.FlagSet) {
	fs.StringVar(&rf.results, "results", "", "folder for the report: Markdown, JSON and plots")
	fs.BoolVar(&rf.check, "check", false, "fail, with exit code 4, if a goal was not met or nothing could be measured")
}

// finish prints and writes the report.
func (rf *reportFlags) finish(d *report.Document, stdout io.Writer) error {
	d.Machine = machine.This()
	if err := d.Publish(rf.results, stdout); err != nil || !rf.check {
		return err
	}
	if len(d.Goals) == 0 {
		return goalError{errors.New("no figure was measured that a goal is set for")}
	}
	if err := d.Missed(); err != nil {
		return goalError{err}
	}
	return nil
}

func commandLine(name string, args []string) string {
	return strings.TrimSpace("sluice bench " + name + " " + strings.Join(args, " "))
}
