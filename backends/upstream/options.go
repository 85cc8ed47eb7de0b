package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Options configures a Pool.
type Options struct {
	// Name is the pool's, in metrics. Required.
	Name string
	// Dialect is what the servers are spoken to in. Required.
	Dialect Dialect
	// Endpoints are the servers' addresses: host:port, unix: and a path, or dns:name:port for a server at every
	// address behind the name. Required.
	Endpoints []string
	// Lookup returns the addresses behind a name. Default: the system's resolver.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	// LookupInterval is the time between two look-ups of a name. Default 5 s.
	LookupInterval time.Duration
	// Slots is how many batches may be outstanding at one endpoint for one version whose requests merge.
	// Default (0): the instances of the version there, 2 where nobody knows. More keeps the server busy over
	// the time that a batch travels, and makes batches smaller.
	Slots int
	// Connections bounds the connections to an endpoint. Default 2, and 64 over REST, where a connection has one call
	// at a time. More spread the reading of answers over more cores, and coalesce less; over REST they let more calls
	// reach the server at once.
	Connections int
	// Interval is the time between two looks at an endpoint. Default 2 s.
	Interval time.Duration
	// Timeout is how long an answer to a look may take. Default 500 ms.
	Timeout time.Duration
	// HealthyAfter is how many looks in a row must succeed before an endpoint that had failed takes requests
	// again. Default 2.
	HealthyAfter int
	// UnhealthyAfter is how many looks in a row must fail before an endpoint takes no more. Default 3.
	UnhealthyAfter int
	// LastResort is how long ago a server whose looks time out may have answered anything to be asked all the same for
	// versions that no endpoint takes. Default: what it takes to become unhealthy, and a minute. More asks longer in vain
	// where a server hangs; less refuses what a server would have answered that is busy for long.
	LastResort time.Duration
	// CancelAfter is how long a run may still take that nobody waits for any more, before the server is told to give
	// it up. Default 0: it is told at once. More spares servers that cannot take being told, and wastes their time.
	CancelAfter time.Duration
	// RepositoryControl lets Load and Unload tell the servers to. Default false: they refuse.
	RepositoryControl bool
	// SharedMemory lets tensors lie in regions of shared memory, which clients register at the server: there is one
	// endpoint, on the machine of its clients. Default false: such requests are refused.
	SharedMemory bool
	// TLS is spoken to the endpoints. Default nil: plain text.
	TLS *tls.Config
	// MaxAnswer bounds an answer in bytes. Default 64 MiB.
	MaxAnswer int64
}

// EnsureDefaults fills in what is not set.
func (o *Options) EnsureDefaults() {
	connections := 2
	if o.Dialect.REST != nil {
		connections = 64
	}
	for _, n := range []struct {
		v   *int
		def int
	}{
		{&o.Connections, connections},
		{&o.HealthyAfter, 2},
		{&o.UnhealthyAfter, 3},
	} {
		if *n.v == 0 {
			*n.v = n.def
		}
	}
	if o.Interval == 0 {
		o.Interval = 2 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 500 * time.Millisecond
	}
	if o.LastResort == 0 {
		o.LastResort = time.Duration(o.UnhealthyAfter)*(o.Interval+o.Timeout) + time.Minute
	}
	if o.Lookup == nil {
		o.Lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	if o.LookupInterval == 0 {
		o.LookupInterval = 5 * time.Second
	}
	if o.MaxAnswer == 0 {
		o.MaxAnswer = 64 << 20
	}
}

// Validate returns an error that names every setting that cannot be.
func (o *Options) Validate() error {
	var errs []error
	if o.Name == "" {
		errs = append(errs, errors.New("name: missing"))
	}
	if o.Dialect.Look == nil || o.Dialect.Describe == nil || o.Dialect.NewCodec == nil {
		errs = append(errs, errors.New("dialect: missing"))
	}
	if len(o.Endpoints) == 0 {
		errs = append(errs, errors.New("endpoints: missing"))
	}
	if o.SharedMemory && (len(o.Endpoints) != 1 || strings.HasPrefix(o.Endpoints[0], dnsPrefix)) {
		errs = append(errs, errors.New("shared memory: want exactly one endpoint, at an address: a region is known to one server"))
	}
	if o.Slots < 0 {
		errs = append(errs, fmt.Errorf("slots: %d is negative", o.Slots))
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{
		{"interval", o.Interval},
		{"timeout", o.Timeout},
		{"lookup interval", o.LookupInterval},
	} {
		if d.v <= 0 {
			errs = append(errs, fmt.Errorf("%s: %v is not positive", d.name, d.v))
		}
	}
	if o.LastResort < 0 {
		errs = append(errs, fmt.Errorf("last resort: %v is negative", o.LastResort))
	}
	if o.CancelAfter < 0 {
		errs = append(errs, fmt.Errorf("cancel after: %v is negative", o.CancelAfter))
	}
	if o.HealthyAfter < 1 || o.UnhealthyAfter < 1 {
		errs = append(errs, fmt.Errorf("healthy after %d, unhealthy after %d: want at least 1", o.HealthyAfter, o.UnhealthyAfter))
	}
	return errors.Join(errs...)
}
