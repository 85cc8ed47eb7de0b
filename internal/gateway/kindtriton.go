package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"os"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/triton"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/config"
)

// Triton is the kind of pools that are Triton inference servers. Each has a scheduler of its own.
func Triton() Kind {
	return Kind{Config: config.Triton(), Start: func(env Env) Host {
		return Host{
			Key: func(p *config.Pool) string {
				var o config.TritonOptions
				p.Options.Into(&o)
				return fmt.Sprintf("%q %d %+v", p.Name, p.Body, o)
			},
			Open:  func(p *config.Pool) (*backends.Pool, error) { return openTriton(p, env) },
			Close: func() {},
		}
	}}
}

func openTriton(c *config.Pool, env Env) (*backends.Pool, error) {
	var o config.TritonOptions
	c.Options.Into(&o)
	opts, err := upstreamOptions(c, &o)
	if err != nil {
		return nil, err
	}
	p, err := triton.New(opts, env.Memory, env.Upstream, env.Log.Named("triton").With(zap.String("pool", c.Name)))
	if err != nil {
		return nil, err
	}
	pool := upstreamPool("triton", p)
	pool.Ask, pool.SharedMemory, pool.Traces = p.Ask, opts.SharedMemory, o.TraceControl
	return pool, nil
}

// upstreamOptions are the options of a pool of servers elsewhere.
func upstreamOptions(c *config.Pool, o *config.TritonOptions) (upstream.Options, error) {
	opts := upstream.Options{
		Name: c.Name, Slots: o.Slots, Connections: o.Connections, RepositoryControl: o.RepositoryControl, CancelAfter: o.CancelAfter,
		SharedMemory: o.SharedMemory == config.Pass,
		Interval:     o.Health.Interval, Timeout: o.Health.Timeout,
		HealthyAfter: o.Health.HealthyAfter, UnhealthyAfter: o.Health.UnhealthyAfter,
		MaxAnswer: min(c.Body, math.MaxInt32),
	}
	for _, e := range o.Endpoints {
		opts.Endpoints = append(opts.Endpoints, e.Address)
	}
	var err error
	opts.TLS, err = upstreamTLS(o.TLS)
	return opts, err
}

// upstreamPool is a pool of servers elsewhere, as the gateway knows it.
func upstreamPool(kind string, p *upstream.Pool) *backends.Pool {
	return &backends.Pool{
		Kind: kind, Slots: p.Fleet(), Catalog: p, Endpoints: p.Status, Changed: p.Changed(),
		Direct: p.Direct, Open: p.Open, Drain: p.Drain, Close: p.Close,
	}
}

// upstreamTLS reads the files of TLS towards servers; nil: none is spoken.
func upstreamTLS(c config.UpstreamTLS) (*tls.Config, error) {
	if !c.Enabled() {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.ca: %s holds no certificate", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
