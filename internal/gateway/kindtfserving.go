package gateway

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/tfserving"
	"github.com/sluice-serving/sluice/config"
)

// TFServing is the kind of pools that are TensorFlow Serving. Each has a scheduler of its own.
func TFServing() Kind {
	return Kind{Config: config.TFServing(), Start: func(env Env) Host {
		return Host{
			Key: func(p *config.Pool) string {
				var o config.TFServingOptions
				p.Options.Into(&o)
				return fmt.Sprintf("%q %d %+v", p.Name, p.Body, o)
			},
			Open:  func(p *config.Pool) (*backends.Pool, error) { return openTFServing(p, env) },
			Close: func() {},
		}
	}}
}

func openTFServing(c *config.Pool, env Env) (*backends.Pool, error) {
	var o config.TFServingOptions
	c.Options.Into(&o)
	opts, err := upstreamOptions(c, &config.TritonOptions{
		Endpoints: o.Endpoints, Slots: o.Slots, Connections: o.Connections, Health: o.Health, TLS: o.TLS,
	})
	if err != nil {
		return nil, err
	}
	log := env.Log.Named("tfserving").With(zap.String("pool", c.Name))
	p, err := tfserving.New(tfserving.Options{Upstream: opts, Models: o.Models, Labels: o.Labels}, env.Memory, env.Upstream, log)
	if err != nil {
		return nil, err
	}
	pool := upstreamPool("tfserving", p.Pool)
	pool.Want = p.Want
	return pool, nil
}
