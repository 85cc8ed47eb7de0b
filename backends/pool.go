package backends

import (
	"context"

	"github.com/sluice-serving/sluice/infer"
)

// Pool is a set of endpoints of one kind and the models that they serve. It lives as long as the
// configuration names it with the same settings, over any number of generations.
type Pool struct {
	Name    string
	Kind    string
	Group   *Group
	Catalog infer.Catalog
	// Closer ends what the kind started; it waits for the last runs, as long as ctx allows.
	Closer func(ctx context.Context) error
}

// Close ends the pool.
func (p *Pool) Close(ctx context.Context) error {
	if p.Closer == nil {
		return nil
	}
	return p.Closer(ctx)
}
