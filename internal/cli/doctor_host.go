package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-serving/sluice/backends/onnx"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/internal/gateway"
)

func checkBuild(f *findings) {
	b := build()
	text := "sluice " + b.Version + ", " + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH
	if !onnx.Built {
		f.fail("build", "build with CGO_ENABLED=1 and a C compiler", "%s, without cgo: it runs no ONNX models", text)
		return
	}
	f.ok("build", "%s, with cgo", text)
}

func checkRuntime(f *findings) {
	if !onnx.Built {
		return // said already
	}
	number, path, err := onnx.Runtime()
	if err != nil {
		f.fail("onnx runtime", "", "%s", oneLine(err)) // which says what to do
		return
	}
	f.ok("onnx runtime", "%s, %s", number, path)
}

// oneLine is the text of an error, whose cause may have written several lines.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func checkCores(f *findings) {
	cores, procs := runtime.NumCPU(), runtime.GOMAXPROCS(0)
	if procs > cores {
		f.warn("cores", "leave GOMAXPROCS unset", "GOMAXPROCS is %d on %s: batches get in each other's way", procs, plural(cores, "core"))
		return
	}
	f.ok("cores", "%d of %s in use (GOMAXPROCS)", procs, plural(cores, "core"))
}

// checkClock compares the clock with the time of this build's commit, which cannot lie ahead.
func checkClock(f *findings) {
	now := time.Now()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			made, err := time.Parse(time.RFC3339, s.Value)
			if s.Key == "vcs.time" && err == nil && now.Before(made) {
				f.fail("clock", "set it; certificates and logs depend on it",
					"it shows %s, before this build was made", now.UTC().Format(time.RFC3339))
				return
			}
		}
	}
	f.ok("clock", "%s", now.UTC().Format(time.RFC3339))
}

// checkConfiguration returns the configuration, nil where it is wrong.
func checkConfiguration(f *findings, sources config.Sources, kinds []gateway.Kind) *config.Config {
	cfg, err := config.Load(sources, configKinds(kinds))
	var problems config.Errors
	if errors.As(err, &problems) {
		for _, p := range problems {
			f.fail("configuration", "", "%s", p)
		}
		return nil
	}
	if err != nil {
		f.fail("configuration", "", "%s", err)
		return nil
	}
	for _, w := range cfg.Warnings() {
		f.warn("configuration", "", "%s", w)
	}
	name := "defaults and flags"
	if cfg.File() != "" {
		name = cfg.File()
	}
	f.ok("configuration", "%s", name)
	return cfg
}

// scarce is the memory below which a few large requests are all that fits.
const scarce = 256 << 20

func checkMemory(f *findings, cfg *config.Config) {
	inFlight, memory := gateway.Budget(cfg)
	switch {
	case inFlight > memory/2:
		f.warn("memory", "lower limits.in_flight, or raise the memory limit",
			"requests in flight may take %s of %s: models and sessions need the rest", bytesText(inFlight), bytesText(memory))
	case memory < scarce:
		f.warn("memory", "raise the memory limit", "%s, of which requests in flight may take %s", bytesText(memory), bytesText(inFlight))
	default:
		f.ok("memory", "%s, of which requests in flight may take %s", bytesText(memory), bytesText(inFlight))
	}
}

// bytesText is a size with three digits.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for ; v >= 1000 && i < len(units)-1; i++ {
		v /= 1024
	}
	digits := 0
	if i > 0 && v < 100 {
		digits = 1
	}
	scale := math.Pow10(digits)
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64) + " " + units[i]
}

// spare are the descriptors that are needed beside those of client connections.
const spare = 256

func checkDescriptors(f *findings, cfg *config.Config) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		f.warn("descriptors", "", "the limit cannot be read: %s", err)
		return
	}
	if want := uint64(cfg.Limits.Connections) + spare; limit.Cur < want {
		f.warn("descriptors", "raise it (ulimit -n, LimitNOFILE=), or lower limits.connections",
			"the limit is %d; limits.connections (%d) may need %d", limit.Cur, cfg.Limits.Connections, want)
		return
	}
	f.ok("descriptors", "the limit is %d, enough for limits.connections (%d)", limit.Cur, cfg.Limits.Connections)
}

// listener is what a port depends on.
type listener struct {
	name    string
	address string
	tls     config.TLS
}

func listeners(cfg *config.Config) []listener {
	l := cfg.Listen
	all := []listener{
		{"http", l.HTTP.Address, l.HTTP.TLS},
		{"grpc", l.GRPC.Address, l.GRPC.TLS},
		{"metrics", l.Metrics.Address, l.Metrics.TLS},
		{"admin", l.Admin.Address, l.Admin.TLS},
	}
	return slices.DeleteFunc(all, func(l listener) bool { return l.address == "" })
}

// renewal is how long before its end a certificate should be replaced.
const renewal = 14 * 24 * time.Hour

func checkCertificates(f *findings, cfg *config.Config) {
	for _, l := range listeners(cfg) {
		if !l.tls.Enabled() {
			continue
		}
		pair, err := tls.LoadX509KeyPair(l.tls.Cert, l.tls.Key)
		if err != nil {
			f.fail("certificate", "see listen."+l.name+".tls", "listen.%s: %s", l.name, err)
			continue
		}
		end := pair.Leaf.NotAfter
		day := end.UTC().Format(time.DateOnly)
		switch left := time.Until(end); {
		case left < 0:
			f.fail("certificate", "replace it; a reload reads it anew", "listen.%s: it ended on %s", l.name, day)
		case time.Now().Before(pair.Leaf.NotBefore):
			f.fail("certificate", "check the clock", "listen.%s: it starts on %s", l.name, pair.Leaf.NotBefore.UTC().Format(time.DateOnly))
		case left < renewal:
			f.warn("certificate", "replace it; a reload reads it anew", "listen.%s: it ends on %s", l.name, day)
		default:
			f.ok("certificate", "listen.%s: good until %s", l.name, day)
		}
	}
}

func checkPorts(ctx context.Context, f *findings, cfg *config.Config) {
	for _, l := range listeners(cfg) {
		err := probe(ctx, l.address)
		if err == nil {
			f.ok("port", "listen.%s: %s is free", l.name, l.address)
			continue
		}
		advice := "give another address, --" + l.name + " or listen." + l.name + ".address"
		if errors.Is(err, syscall.EADDRINUSE) {
			advice = "stop what listens there (a running gateway?), or " + advice
		}
		f.fail("port", advice, "listen.%s: %s: %s", l.name, l.address, err)
	}
}

// probe returns an error if nobody could listen on address. It leaves nothing behind.
func probe(ctx context.Context, address string) error {
	path, isUnix := strings.CutPrefix(address, "unix:")
	if !isUnix {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return ln.Close()
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		conn.Close()
		return syscall.EADDRINUSE
	case errors.Is(err, syscall.ECONNREFUSED): // a socket that nobody serves: serve replaces it
		return nil
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".sluice-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}
