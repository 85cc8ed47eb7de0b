package gateway

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/admin"
	"github.com/sluice-serving/sluice/config"
)

// change is what an operator asks for; the loop does it.
type change struct {
	do   func(ctx context.Context) error
	done chan error // one slot
}

// errStopping says that the loop takes up nothing any more.
var errStopping = errors.New("the gateway is shutting down")

// ask has the loop do something, and returns how it ended.
func (g *Gateway) ask(ctx context.Context, do func(context.Context) error) error {
	if g.draining.Load() {
		return errStopping
	}
	c := change{do: do, done: make(chan error, 1)}
	select {
	case g.changes <- c:
		return <-c.done
	case <-ctx.Done():
		return ctx.Err()
	case <-g.giveUp:
		return errStopping
	}
}

// Reload reads the sources anew and puts them in force, or fails and changes nothing.
func (g *Gateway) Reload(ctx context.Context) (admin.Reload, error) {
	var out admin.Reload
	err := g.ask(ctx, func(loop context.Context) (err error) {
		out, err = g.reload(loop)
		return err
	})
	return out, err
}

// reload runs on the loop.
func (g *Gateway) reload(ctx context.Context) (admin.Reload, error) {
	was := g.current.Load().cfg
	cfg, err := config.Load(g.opts.Sources, g.kinds)
	if err == nil {
		cfg = cfg.Inherit(was)
		err = g.apply(ctx, cfg)
	}
	g.noteReload(err)
	if err != nil {
		g.logger.Error("the configuration was not changed", zap.Error(err))
		return admin.Reload{}, err
	}
	changes := config.Diff(was, cfg)
	g.logger.Info("the configuration is in force", zap.String("hash", cfg.Hash()), zap.Strings("changes", changes))
	for _, w := range cfg.Warnings() {
		g.logger.Warn("the configuration says what is surely not meant", zap.Stringer("problem", w))
	}
	return admin.Reload{
		Generation: viewGeneration(g.current.Load()), Changes: changes, Warnings: admin.ViewProblems(cfg.Warnings()),
	}, nil
}

func (g *Gateway) noteReload(err error) {
	st := &admin.ReloadStatus{At: time.Now(), OK: err == nil}
	if err != nil {
		st.Error = err.Error()
	}
	g.mu.Lock()
	g.mu.reload = st
	g.mu.Unlock()
}

// apply puts a configuration in force: everything is opened and built first, then swapped in.
func (g *Gateway) apply(ctx context.Context, cfg *config.Config) error {
	token, err := readToken(cfg)
	if err != nil {
		return err
	}
	staged, err := g.ports.stage(cfg)
	if err != nil {
		return err
	}
	gen, err := g.buildSettled(ctx, cfg)
	if err != nil {
		staged.abandon()
		return err
	}
	g.token.Store(token)
	g.swap(gen)
	staged.commit(cfg)
	if g.watcher != nil {
		g.watcher.SetFiles(cfg.Files())
	}
	return nil
}

// settleTime bounds how long a reload waits for the models of new pools.
const settleTime = 5 * time.Minute

// buildSettled builds a generation and waits until no version of it is on its way, so that a reload that adds a
// version does not send requests to it before it is loaded. What takes too long goes in as it is.
func (g *Gateway) buildSettled(ctx context.Context, cfg *config.Config) (*generation, error) {
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	pace := newPace()
	defer pace.stop()
	var before *generation // keeps its pools open until the next attempt has acquired them
	for {
		start := time.Now()
		g.nextID++
		gen, err := g.build(ctx, cfg, g.nextID)
		if before != nil {
			g.drop(before)
		}
		if err != nil || gen.settled() {
			return gen, err
		}
		before = gen
		pace.took(time.Since(start))
		for again := false; !again; {
			select {
			case <-g.poke:
				pace.poked()
			case <-pace.due():
				again = true
			case <-timer.C:
				return gen, nil
			case <-ctx.Done():
				g.drop(gen)
				return nil, ctx.Err()
			}
		}
	}
}

// Split replaces a model's weights; nil gives the model back its own.
func (g *Gateway) Split(ctx context.Context, model string, weights map[string]float64) error {
	return g.override(ctx, func(c *config.Config) (*config.Config, error) { return c.WithSplit(model, weights) })
}

// Enable switches a version of a model on or off.
func (g *Gateway) Enable(ctx context.Context, model, version string, enabled bool) error {
	return g.override(ctx, func(c *config.Config) (*config.Config, error) {
		return c.WithVersion(model, version, enabled)
	})
}

func (g *Gateway) override(ctx context.Context, edit func(*config.Config) (*config.Config, error)) error {
	return g.ask(ctx, func(loop context.Context) error {
		cfg, err := edit(g.current.Load().cfg)
		if err != nil {
			return err
		}
		g.nextID++
		gen, err := g.build(loop, cfg, g.nextID)
		if err != nil {
			return err
		}
		g.swap(gen)
		g.logger.Info("an operator changed the routing", zap.String("hash", cfg.Hash()))
		return nil
	})
}
