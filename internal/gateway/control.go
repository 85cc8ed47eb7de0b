package gateway

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/server"
)

var (
	errNoControl = infer.Errorf(infer.Forbidden,
		"clients may not load or unload models, or change settings, on this server: that takes the admin token, and listen.admin.token is not set")
	errControlToken = infer.Errorf(infer.Unauthenticated, "loading and unloading models, and changing settings, takes the admin token, as a bearer token")
)

// control is what clients of the data ports may do to the models that are loaded.
func (g *Gateway) control() server.Control {
	return server.Control{Load: g.Load, Unload: g.Unload, Admits: func(authorization string) *infer.Error {
		switch token := g.token.Load(); {
		case token == nil:
			return errNoControl
		case !token.Admits(authorization):
			return errControlToken
		}
		return nil
	}}
}

// Load makes a model servable as its pool finds it now: versions that are new, have changed, or were unloaded. It
// returns when requests reach what was loaded.
func (g *Gateway) Load(ctx context.Context, model string) error {
	return g.steer(ctx, model, "load", infer.Catalog.Load)
}

// Unload takes a model out of service, until Load, and returns when its last runs have ended.
func (g *Gateway) Unload(ctx context.Context, model string) error {
	return g.steer(ctx, model, "unload", infer.Catalog.Unload)
}

// steer has the pools of a model do something with it.
func (g *Gateway) steer(ctx context.Context, model, what string, do func(infer.Catalog, context.Context, string) error) error {
	log := g.logger.With(zap.String("model", fmt.Sprintf("%.128s", model)), zap.String("action", what))
	if g.draining.Load() {
		return infer.ErrDraining
	}
	err := g.steerPools(ctx, model, do)
	if err != nil {
		log.Warn("a model was not changed as asked", zap.Error(err))
	} else {
		log.Info("a model was changed as asked")
	}
	// Also after a failure, which may have changed some versions of it.
	refreshed := g.ask(ctx, func(loop context.Context) error {
		g.refresh(loop)
		return nil
	})
	switch {
	case err != nil:
		return err
	case errors.Is(refreshed, errStopping):
		return infer.ErrDraining
	}
	return refreshed
}

func (g *Gateway) steerPools(ctx context.Context, model string, do func(infer.Catalog, context.Context, string) error) error {
	places := g.placesOf(model)
	var errs []error
	found := false
	for _, p := range places.all {
		err := do(p.catalog, ctx, p.name)
		var known *infer.Error
		if places.guessed && errors.As(err, &known) && known.Code == infer.UnknownModel {
			continue // it may be another pool's
		}
		found = true
		if err != nil {
			errs = append(errs, err)
		}
		if places.guessed {
			break
		}
	}
	switch {
	case !found && places.closed:
		return infer.Errorf(infer.NotReady, "a pool that may have model %.128q could not be opened", model)
	case !found:
		return infer.Errorf(infer.UnknownModel, "there is no model %.128q", model)
	case len(errs) == 1:
		return errs[0]
	}
	return errors.Join(errs...)
}

// places are where a model is, or may be.
type places struct {
	all []place
	// guessed says that nobody knows the model yet: the first pool that has it is the one.
	guessed bool
	// closed says that a pool which has it, or may have it, could not be opened.
	closed bool
}

type place struct {
	catalog infer.Catalog
	name    string // what the pool calls the model
}

// placesOf finds the pools of a model, or those that would serve it unlisted.
func (g *Gateway) placesOf(model string) places {
	gen := g.current.Load()
	var p places
	for _, m := range gen.models {
		if m.name != model {
			continue
		}
		seen := map[place]bool{}
		for i := range m.versions {
			v := &m.versions[i]
			pool := gen.pools[v.at].pool
			if pool == nil {
				p.closed = true
				continue
			}
			if at := (place{pool.Catalog, v.upstream.Model}); !seen[at] {
				seen[at] = true
				p.all = append(p.all, at)
			}
		}
		return p
	}
	p.guessed = true
	for i := range gen.cfg.Pools {
		switch pool := gen.pools[i].pool; {
		case !gen.cfg.Pools[i].Discover:
		case pool == nil:
			p.closed = true
		default:
			p.all = append(p.all, place{pool.Catalog, model})
		}
	}
	return p
}
