package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/internal/gateway"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/telemetry"
)

// PuppetKind is the kind of pools whose models answer their input after a set time: `--backend puppet=fixed:2ms,row:20us`.
func PuppetKind() gateway.Kind {
	return gateway.Kind{
		Config: config.Kind{
			Name: "puppet", Target: "script",
			Doc: "Answers each request with its input after a set time.",
			Keys: []config.Key{{
				Name: "script", Type: config.String, Required: true, Check: checkScript,
				Doc: "Settings such as fixed:2ms,row:20us,slots:1,model:NAME,max_batch:32.",
			}},
		},
		Start: func(gateway.Env) gateway.Host {
			return gateway.Host{
				Key:   func(p *config.Pool) string { return p.Name + " " + scriptOf(p) },
				Open:  openPuppet,
				Close: func() {},
			}
		},
	}
}

func checkScript(text string) error {
	_, err := puppet.Parse(text)
	return err
}

func scriptOf(p *config.Pool) string {
	var o struct{ Script string }
	p.Options.Into(&o)
	return o.Script
}

func openPuppet(p *config.Pool) (*gateway.Pool, error) {
	opts, err := puppet.Parse(scriptOf(p))
	if err != nil {
		return nil, err
	}
	back, end, ok, err := newDevice(opts)
	if err != nil {
		return nil, err
	}
	if !ok {
		back = puppet.New(opts)
		end = back.Close
	}
	return &gateway.Pool{
		Kind: "puppet", Slots: back, Catalog: back,
		Close: func(context.Context) error {
			end()
			return nil
		},
	}, nil
}

// kinds are the product's and the puppet.
func kinds() []gateway.Kind { return append(gateway.Kinds(), PuppetKind()) }

// local is a gateway in this process.
type local struct {
	*gateway.Gateway
	stop context.CancelFunc
	done chan error
	log  *telemetry.Log
}

// startLocal runs a gateway and returns once it is ready.
func startLocal(ctx context.Context, sources config.Sources, words io.Writer, signals <-chan os.Signal) (*local, error) {
	log, err := telemetry.NewLog(telemetry.LogOptions{Output: words, Format: "console", Level: "warn"})
	if err != nil {
		return nil, err
	}
	g, err := gateway.New(gateway.Options{Sources: sources, Kinds: kinds(), Build: telemetry.Build{Version: "bench"}}, log)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	l := &local{Gateway: g, stop: stop, done: make(chan error, 1), log: log}
	go func() { l.done <- g.Run(ctx, signals) }()
	select {
	case <-g.Ready():
		return l, nil
	case err := <-l.done:
		stop()
		return nil, errors.Join(err, errors.New("the gateway ended before it was ready"), log.Close())
	}
}

// wait returns when the gateway has ended.
func (l *local) wait() error {
	err := <-l.done
	l.stop()
	return errors.Join(err, l.log.Close())
}

// Close ends the gateway and returns an error if it leaves anything behind.
func (l *local) Close() error {
	l.stop()
	return errors.Join(l.wait(), l.Memory().Check())
}

// backendList collects repeated -backend flags.
type backendList []string

func (b *backendList) String() string { return strings.Join(*b, " ") }

func (b *backendList) Set(s string) error {
	*b = append(*b, s)
	return nil
}

func gatewayCommand(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flags("gateway", "gateway -backend puppet=fixed:2ms,row:20us,slots:1 [-c FILE]", stderr)
	var backends backendList
	var sources config.Sources
	fs.StringVar(&sources.File, "c", "", "configuration file, in which pools may be of kind puppet")
	fs.Var(&backends, "backend", "KIND=TARGET as of `sluice serve`, or puppet=SCRIPT; may be repeated")
	addresses := map[string]*string{}
	for _, name := range []string{"http", "metrics", "admin"} {
		addresses[name] = fs.String(name, "", "address of the "+name+" port (default as of `sluice serve`)")
	}
	if err := parse(fs, args); err != nil {
		return err
	}
	for _, b := range backends {
		sources.Flags = append(sources.Flags, config.Flag{Name: "backend", Value: b})
	}
	for name, a := range addresses {
		if *a != "" {
			sources.Flags = append(sources.Flags, config.Flag{Name: name, Value: *a})
		}
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	// The gateway takes signals itself: ctx may end with the first one, which would be the second for it.
	l, err := startLocal(context.WithoutCancel(ctx), sources, stderr, signals)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(l.Addresses()); err != nil {
		return errors.Join(fmt.Errorf("write the addresses: %w", err), l.Close())
	}
	return l.wait()
}

// StartSluice starts a gateway with the given configuration in a process of its own with as many Go threads as told, and
// returns once it is ready, with its ports by name.
func StartSluice(ctx context.Context, self Self, s *Server, configuration string, threads int) (addresses map[string]string, err error) {
	name := s.Name
	cmd := self.command(ctx, "gateway", "-c", configuration)
	cmd.Env = append(cmd.Env, fmt.Sprintf("GOMAXPROCS=%d", threads))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := s.start(cmd, nil); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(out).Decode(&addresses); err != nil {
		s.Close()
		return nil, fmt.Errorf("%s is not ready: %w", name, errors.Join(err, s.Alive()))
	}
	s.Target = addresses["http"]
	return addresses, nil
}
