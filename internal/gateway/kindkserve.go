package gateway

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/kserve"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/tensor"
)

// KServe is the kind of pools that are servers of the v2 protocol. Each has a scheduler of its own.
func KServe() Kind {
	return Kind{Config: config.KServe(), Start: func(env Env) Host {
		return Host{
			Key: func(p *config.Pool) string {
				var o config.KServeOptions
				p.Options.Into(&o)
				return fmt.Sprintf("%q %d %+v", p.Name, p.Body, o)
			},
			Open:  func(p *config.Pool) (*backends.Pool, error) { return openKServe(p, env) },
			Close: func() {},
		}
	}}
}

// protocolOf is how a pool's servers are spoken to.
func protocolOf(name string) kserve.Protocol {
	switch name {
	case config.REST:
		return kserve.REST
	case config.V1:
		return kserve.V1
	}
	return kserve.GRPC
}

// binaryOf is whether a pool's servers are taken to understand binary tensors.
func binaryOf(name string) kserve.Binary {
	switch name {
	case config.BinaryAlways:
		return kserve.BinaryAlways
	case config.BinaryNever:
		return kserve.BinaryNever
	}
	return kserve.BinaryAsTold
}

// signaturesOf are what a configuration says that models take and give.
func signaturesOf(said []config.KServeSignature) []kserve.Signature {
	specs := func(tensors []config.KServeTensor) []infer.Spec {
		var all []infer.Spec
		for _, t := range tensors {
			dims := make([]int64, len(t.Shape))
			for i, n := range t.Shape {
				dims[i] = int64(n)
			}
			all = append(all, infer.Spec{Name: t.Name, DType: tensor.ParseDType([]byte(t.Datatype)), Dims: dims})
		}
		return all
	}
	var all []kserve.Signature
	for _, s := range said {
		all = append(all, kserve.Signature{Model: s.Model, Inputs: specs(s.Inputs), Outputs: specs(s.Outputs)})
	}
	return all
}

func openKServe(c *config.Pool, env Env) (*backends.Pool, error) {
	var o config.KServeOptions
	c.Options.Into(&o)
	opts, err := upstreamOptions(c, &config.TritonOptions{
		Endpoints: o.Endpoints, Slots: o.Slots, Connections: o.Connections, RepositoryControl: o.RepositoryControl,
		Health: o.Health, TLS: o.TLS,
	})
	if err != nil {
		return nil, err
	}
	p, err := kserve.New(kserve.Options{Options: opts, Protocol: protocolOf(o.Protocol), Binary: binaryOf(o.Binary), Signatures: signaturesOf(o.Signatures)}, env.Memory, env.Upstream, env.Log.Named("kserve").With(zap.String("pool", c.Name)))
	if err != nil {
		return nil, err
	}
	pool := upstreamPool("kserve", p.Pool)
	pool.Want = p.Want
	return pool, nil
}
