package triton

import (
	"context"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// New starts to look at Tritons. It does not wait for them. Their dialect is not the caller's to give.
func New(opts upstream.Options, memory *infer.Memory, metrics *backends.Metrics, log *zap.Logger) (*upstream.Pool, error) {
	opts.Dialect = upstream.Dialect{Look: look, Describe: question}
	return upstream.New(opts, memory, metrics, log)
}

// look asks whether a server is live, and what its repository has.
func look(ctx context.Context, ask upstream.Ask) ([]upstream.Listed, error) {
	if err := upstream.Live(ctx, ask); err != nil {
		return nil, err
	}
	index, err := upstream.Index(ctx, ask)
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

const configPath = upstream.V2 + "ModelConfig"

// question asks for the metadata of a version, and for its configuration, which a server need not give.
func question(ctx context.Context, ask upstream.Ask, l upstream.Listed) (*upstream.Description, error) {
	meta, err := upstream.Metadata(ctx, ask, l)
	if err != nil {
		return nil, err
	}
	config := &pb.ModelConfigResponse{}
	err = ask(ctx, configPath, &pb.ModelConfigRequest{Name: l.Name, Version: l.Number}, config)
	if err != nil && !upstream.Unimplemented(err) {
		return nil, err
	}
	d, err := describe(l, meta, config.GetConfig())
	if err != nil {
		return nil, upstream.Unusable(err)
	}
	return d, nil
}
