package triton

import (
	"context"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/backends/v2grpc"
	"github.com/sluice-serving/sluice/infer"
)

// New starts to look at Tritons. It does not wait for them. Their dialect is not the caller's to give.
func New(opts upstream.Options, memory *infer.Memory, metrics *backends.Metrics, log *zap.Logger) (*upstream.Pool, error) {
	opts.Dialect = upstream.Dialect{
		Look: look, Describe: v2grpc.Describe, Ready: v2grpc.Ready, Control: v2grpc.Control(), NewCodec: v2grpc.NewCodec, NewStreamCodec: v2grpc.NewStreamCodec,
	}
	return upstream.New(opts, memory, metrics, log)
}

// look asks whether a server is live, and what its repository has.
func look(ctx context.Context, ask upstream.Ask) ([]upstream.Listed, error) {
	if err := v2grpc.Live(ctx, ask); err != nil {
		return nil, err
	}
	index, err := v2grpc.Index(ctx, ask)
	if err != nil {
		return nil, err
	}
	loaded := index[:0]
	for _, l := range index {
		if l.Version != "" { // else it was never loaded
			loaded = append(loaded, l)
		}
	}
	return loaded, nil
}
