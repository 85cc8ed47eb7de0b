package cli

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/gateway"
	"github.com/sluice-serving/sluice/slab"
)

// checkPools opens every pool as serve would and waits until each of its versions is ready or has failed.
func checkPools(ctx context.Context, f *findings, cfg *config.Config, kinds []gateway.Kind) {
	if len(cfg.Pools) == 0 {
		f.warn("models", "give --backend KIND=TARGET or -c FILE, as to serve", "no pool is named, so no model was loaded")
		return
	}
	inFlight, _ := gateway.Budget(cfg)
	env := gateway.Env{
		Memory:   infer.NewMemory(slab.NewPool(slab.Options{}, slab.NewBudget(inFlight))),
		Upstream: backends.NewMetrics(nil), Log: zap.NewNop(),
	}
	for _, k := range kinds {
		host := k.Start(env)
		for i := range cfg.Pools {
			if p := &cfg.Pools[i]; p.Kind == k.Config.Name {
				checkPool(ctx, f, cfg, p, host)
			}
		}
		host.Close()
	}
}

// poolClose bounds how long a pool may take to close.
const poolClose = 30 * time.Second

func checkPool(ctx context.Context, f *findings, cfg *config.Config, p *config.Pool, host gateway.Host) {
	start := time.Now()
	pool, err := host.Open(p)
	if err != nil {
		f.fail("models", "", "pool %s: %s", p.Name, oneLine(err))
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), poolClose)
		defer cancel()
		if err := pool.Close(ctx); err != nil {
			f.warn("models", "", "pool %s did not close: %s", p.Name, err)
		}
	}()
	gateway.Want(cfg, p.Name, pool)
	all, err := settled(ctx, pool)
	if err != nil {
		f.fail("models", "", "pool %s: %s", p.Name, err)
		return
	}
	ready := 0
	known := map[[2]string]bool{}
	wanted := targets(cfg, p.Name)
	for _, v := range all {
		key := [2]string{v.Name, v.Version}
		known[key] = true
		switch {
		case v.State == infer.Ready:
			ready++
		case p.Discover || wanted[key]:
			f.fail("models", "", "pool %s: %s version %s does not load: %s", p.Name, v.Name, v.Version, v.Reason)
		default:
			f.warn("models", "", "pool %s: %s version %s, which no target names, does not load: %s", p.Name, v.Name, v.Version, v.Reason)
		}
	}
	for key := range wanted {
		if !known[key] {
			f.fail("models", "see models[].targets", "pool %s has no %s version %s", p.Name, key[0], key[1])
		}
	}
	if ready > 0 {
		f.ok("models", "pool %s: %s in %s", p.Name, fmt.Sprintf("%d of %s loaded", ready, plural(len(all), "version")), time.Since(start).Round(time.Millisecond))
	} else if len(all) == 0 {
		hint := ""
		if p.Kind == "onnx" {
			hint = "models lie in MODEL/VERSION/model.onnx"
		}
		f.warn("models", hint, "pool %s has no models", p.Name)
	}
}

// targets are the versions of a pool that the configuration names, as the pool calls them.
func targets(cfg *config.Config, pool string) map[[2]string]bool {
	out := map[[2]string]bool{}
	for _, m := range cfg.Models {
		for _, t := range m.Targets {
			if t.Pool != pool {
				continue
			}
			key := [2]string{m.Name, t.Version}
			if t.Upstream.Model != "" {
				key[0] = t.Upstream.Model
			}
			if t.Upstream.Version != "" {
				key[1] = t.Upstream.Version
			}
			out[key] = true
		}
	}
	return out
}

// settled lists the versions of a pool once none is on its way.
func settled(ctx context.Context, pool *gateway.Pool) ([]infer.VersionStatus, error) {
	for {
		all, err := pool.Catalog.List(ctx)
		if err != nil {
			return nil, fmt.Errorf("list models: %w", err)
		}
		loading := false
		for _, v := range all {
			loading = loading || v.State == infer.Loading
		}
		if !loading {
			return all, nil
		}
		select {
		case <-pool.Changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
