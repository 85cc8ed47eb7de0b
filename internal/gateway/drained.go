package gateway

import (
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
)

// Drain has an endpoint of a pool take no new requests, or take them again, and returns when requests go by it. That
// outlives reloads for as long as the pool has the endpoint. The caller knows that there are both.
func (g *Gateway) Drain(ctx context.Context, pool, endpoint string, drained bool) error {
	err := g.ask(ctx, func(loop context.Context) error {
		gen, known := g.current.Load(), false
		for i, p := range gen.pools {
			if gen.cfg.Pools[i].Name != pool || p.pool == nil {
				continue
			}
			known = true
			if p.pool.Drain == nil {
				return infer.Errorf(infer.Unsupported, "pools of kind %q have no endpoints that could be drained", gen.cfg.Pools[i].Kind)
			}
			if !p.pool.Drain(loop, endpoint, drained) && drained {
				p.pool.Drain(loop, endpoint, false) // it has gone this moment, and is not to come back drained
			}
		}
		if !known {
			return infer.Errorf(infer.NotReady, "pool %.128q could not be opened", pool)
		}
		g.refresh(loop)
		g.logger.Info("an operator drained an endpoint, or ended that",
			zap.String("pool", pool), zap.String("endpoint", endpoint), zap.Bool("drained", drained))
		return nil
	})
	if errors.Is(err, errStopping) {
		return infer.ErrDraining
	}
	return err
}

// drainAsBefore has a pool that was opened in place of another of its name keep away from the endpoints that were
// drained there.
func (g *Gateway) drainAsBefore(ctx context.Context, name string, p *openPool) {
	gen := g.current.Load()
	if gen == nil || p.pool == nil || p.pool.Drain == nil {
		return
	}
	for i, old := range gen.pools {
		if gen.cfg.Pools[i].Name != name || old == p || old.pool == nil || old.pool.Endpoints == nil {
			continue
		}
		now := p.pool.Endpoints()
		for _, e := range old.pool.Endpoints() {
			known := slices.ContainsFunc(now, func(o backends.EndpointStatus) bool { return o.Name == e.Name && o.Draining })
			if e.Draining && !known {
				p.pool.Drain(ctx, e.Name, true)
			}
		}
	}
}
