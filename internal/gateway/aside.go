package gateway

import (
	"context"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/server"
)

// aside is what clients of the data ports may ask of the servers of pools.
func (g *Gateway) aside() server.Aside {
	return server.Aside{Shares: func() bool { return g.sharing() != nil }, Regions: g.regions}
}

// sharing returns the pool whose server shares memory with clients, nil if there is none.
func (g *Gateway) sharing() *backends.Pool {
	gen := g.current.Load()
	for i := range gen.pools {
		if p := gen.pools[i].pool; p != nil && p.SharedMemory {
			return p
		}
	}
	return nil
}

// regions asks the server of that pool.
func (g *Gateway) regions(ctx context.Context, path string, question, answer proto.Message) error {
	p := g.sharing()
	if p == nil {
		return infer.ErrNoEndpoint // there was one a moment ago
	}
	_, err := p.Ask(ctx, path, question, func() proto.Message { return answer })
	return err
}
