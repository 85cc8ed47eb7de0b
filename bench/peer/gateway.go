package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/internal/gateway"
	"github.com/sluice-serving/sluice/telemetry"
)

// kinds are the product's and the puppet.
func kinds() []gateway.Kind { return append(gateway.Kinds(), PuppetKind()) }

// Local is a gateway in this process.
type Local struct {
	*gateway.Gateway
	stop context.CancelFunc
	done chan error
	log  *telemetry.Log
}

// StartLocal runs a gateway and returns once it is ready.
func StartLocal(ctx context.Context, sources config.Sources, words io.Writer, signals <-chan os.Signal) (*Local, error) {
	log, err := telemetry.NewLog(telemetry.LogOptions{Output: words, Format: "console", Level: "warn"})
	if err != nil {
		return nil, err
	}
	g, err := gateway.New(gateway.Options{Sources: sources, Kinds: kinds(), Build: telemetry.Build{Version: "bench"}}, log)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	l := &Local{Gateway: g, stop: stop, done: make(chan error, 1), log: log}
	go func() { l.done <- g.Run(ctx, signals) }()
	select {
	case <-g.Ready():
		return l, nil
	case err := <-l.done:
		stop()
		return nil, errors.Join(err, errors.New("the gateway ended before it was ready"), log.Close())
	}
}

// Wait returns when the gateway has ended.
func (l *Local) Wait() error {
	err := <-l.done
	l.stop()
	return errors.Join(err, l.log.Close())
}

// Close ends the gateway and returns an error if it leaves anything behind.
func (l *Local) Close() error {
	l.stop()
	return errors.Join(l.Wait(), l.Memory().Check())
}

// StartSluice starts a gateway with the given configuration in a process of its own with as many Go threads as told, and
// returns once it is ready, with its ports by name.
func StartSluice(ctx context.Context, self machine.Self, s *Server, configuration string, threads int) (addresses map[string]string, err error) {
	name := s.Name
	cmd := self.Command(ctx, "gateway", "-c", configuration)
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
