package cli

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/internal/gateway"
	"github.com/sluice-serving/sluice/telemetry"
)

// serveFlags are the flags of serve.
type serveFlags struct {
	sources   sourceFlags
	readyFile string
	logFormat string
	logLevel  string
}

func newServe(kinds []gateway.Kind) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Serve runs the gateway until it is told to stop.

Without a configuration file it serves every model that it finds behind --backend. With one, flags win over
the file. SIGHUP, or a change of the file, reloads it; a bad file changes nothing. SIGTERM drains: it fails
readiness, serves on for drain.delay, answers what is in flight within drain.grace, and ends. SIGINT skips the
delay. A second signal ends at once.

It listens on :8000 and :8001 (requests: REST and gRPC on both), :8002 (metrics) and 127.0.0.1:9901 (operators),
unless told otherwise. Where only one of --http and --grpc, or of their settings, is given, there is no other.`,
		Example: `  sluice serve --backend onnx=./models
  sluice serve --backend triton=127.0.0.1:8011,127.0.0.1:8021
  sluice serve --backend kserve=127.0.0.1:9000
  sluice serve --backend tfserving=127.0.0.1:8500#half_plus_two
  sluice serve -c sluice.yaml --http :9000
  sluice serve --backend onnx=./models --http 127.0.0.1:0 --ready-file /tmp/ready.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, f, kinds) },
	}
	f.sources.register(cmd, kinds)
	cmd.Flags().StringVar(&f.readyFile, "ready-file", "", "write the bound addresses there as JSON once ready")
	cmd.Flags().StringVar(&f.logFormat, "log-format", "auto", "json, console, or auto: console on a terminal")
	cmd.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func serve(cmd *cobra.Command, f serveFlags, kinds []gateway.Kind) error {
	sources := f.sources.sources()
	if sources.File == "" && len(f.sources.backends) == 0 {
		return &exitError{exitUsage, fmt.Errorf("nothing to serve: give --backend KIND=TARGET or a configuration with -c")}
	}
	// A log's reader that ends, as journald does when it is restarted, must not end the gateway: without this a write to a
	// broken pipe would. It lasts until the log is closed.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	defer signal.Stop(pipes)
	log, err := telemetry.NewLog(telemetry.LogOptions{Output: cmd.ErrOrStderr(), Format: f.logFormat, Level: f.logLevel})
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer func() { _ = log.Close() }() // what could not be logged in time cannot be logged now either
	g, err := gateway.New(gateway.Options{Sources: sources, Kinds: kinds, ReadyFile: f.readyFile, Build: build()}, log)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	return g.Run(cmd.Context(), signals)
}

// sourceFlags are the flags that make a configuration.
type sourceFlags struct {
	file     string
	backends []string
	values   []flagValue
}

// flagValue is a flag that sets one setting.
type flagValue struct {
	name string
	text string
}

func (f *sourceFlags) register(cmd *cobra.Command, kinds []gateway.Kind) {
	fl := cmd.Flags()
	fl.StringVarP(&f.file, "config", "c", "", "configuration file")
	fl.StringArrayVar(&f.backends, "backend", nil, "serve all models of a backend: KIND=TARGET, for instance onnx=./models, triton=host:8001,host2:8001 or tfserving=host:8500#MODEL,MODEL; may be repeated")
	f.values = []flagValue{{name: "http"}, {name: "grpc"}, {name: "metrics"}, {name: "admin"}}
	for i, doc := range []string{
		"address of the data port for REST clients (both data ports speak both)", "address of the data port for gRPC clients",
		"address of the metrics port", "address of the admin port",
	} {
		fl.StringVar(&f.values[i].text, f.values[i].name, "", doc+"; HOST:PORT or unix:PATH")
	}
}

func (f *sourceFlags) sources() config.Sources {
	src := config.Sources{File: f.file}
	for _, b := range f.backends {
		src.Flags = append(src.Flags, config.Flag{Name: "backend", Value: b})
	}
	for _, v := range f.values {
		if v.text != "" {
			src.Flags = append(src.Flags, config.Flag{Name: v.name, Value: v.text})
		}
	}
	return src
}
