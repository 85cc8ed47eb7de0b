package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/scenario"
)

const usage = `usage: sluice bench COMMAND [flags]

  grpc      make gRPC calls to any server and report latencies, errors and CPU; unary or streaming
  http      the same with HTTP/1.1 requests
  proxy     what it costs to pass a gRPC call on, beside HAProxy, nginx, Envoy and a grpc-go proxy
  hop       what it costs to terminate a request, beside nginx, HAProxy and a bare handler
  batch     what merging requests gains, and what it costs
  idle      what an idle connection keeps of memory, beside the same servers
  pressure  what healthy calls and memory suffer from clients and upstreams that take nothing
  gateway   run the gateway with models that only pretend (--backend puppet=fixed:2ms,row:20us,slots:1)

sluice bench COMMAND -h lists the flags of a command.
`

// Main is `sluice bench`: args are what follows it. Data goes to stdout, words to stderr. Self is how this program is
// started again with Main's arguments to follow.
func Main(ctx context.Context, self machine.Self, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return usageError{errors.New("bench: which of grpc, http, proxy, hop, batch, idle, pressure and gateway?")}
	}
	if args[0] != "gateway" { // which has its own way with signals
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
	}
	err := command(ctx, self, args[0], args[1:], stdout, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

func command(ctx context.Context, self machine.Self, name string, args []string, stdout, stderr io.Writer) error {
	switch name {
	case "-h", "-help", "--help", "help":
		fmt.Fprint(stderr, usage)
		return nil
	case "proxy":
		return proxyCommand(ctx, self, args, stdout, stderr)
	case "hop":
		return hopCommand(ctx, self, args, stdout, stderr)
	case "batch":
		return batchCommand(ctx, self, args, stdout, stderr)
	case "idle":
		return idleCommand(ctx, self, args, stdout, stderr)
	case "pressure":
		return pressureCommand(ctx, self, args, stdout, stderr)
	case "http":
		return httpCommand(ctx, args, stdout, stderr)
	case "grpc":
		return grpcCommand(ctx, args, stdout, stderr)
	case "gateway":
		return gatewayCommand(ctx, args, stdout, stderr)
	case "generate": // from here on: what this program starts itself as
		return generator.Generate(ctx, os.Stdin, stdout)
	case "upstream":
		return peer.ServeUpstream(ctx)
	case "crowd":
		return scenario.ServeCrowd(ctx, os.Stdin, stdout)
	case "bare", "edge", "relay":
		if len(args) != 1 {
			return usageError{fmt.Errorf("bench %s: one argument", name)}
		}
		switch name {
		case "bare":
			return peer.ServeBare(ctx, args[0])
		case "relay":
			return peer.ServeRelay(ctx, args[0])
		}
		return peer.ServeEdge(ctx, args[0])
	default:
		return usageError{fmt.Errorf("bench: unknown command %.128q", name)}
	}
}

// usageError is a mistake in the arguments.
type usageError struct{ error }

// ExitCode is that of a wrong command line.
func (usageError) ExitCode() int { return 2 }

func (u usageError) Unwrap() error { return u.error }

// goalError says that a figure was promised and not reached.
type goalError struct{ error }

// ExitCode is that of a gate that was not met.
func (goalError) ExitCode() int { return 4 }
