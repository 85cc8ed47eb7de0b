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

	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/config"
)

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
	l, err := peer.StartLocal(context.WithoutCancel(ctx), sources, stderr, signals)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(l.Addresses()); err != nil {
		return errors.Join(fmt.Errorf("write the addresses: %w", err), l.Close())
	}
	return l.Wait()
}
