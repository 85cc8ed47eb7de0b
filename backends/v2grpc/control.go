package v2grpc

import (
	"context"
	"slices"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// Control is how models are loaded and unloaded at the servers.
func Control() *upstream.Control {
	return &upstream.Control{Has: has, Load: load, Unload: unload}
}

// has tells whether a server has the model in its repository, loaded or not.
func has(ctx context.Context, ask upstream.Ask, name string) (bool, error) {
	index := &pb.RepositoryIndexResponse{}
	if err := ask(ctx, indexPath, &pb.RepositoryIndexRequest{}, index); err != nil {
		return false, err
	}
	return slices.ContainsFunc(index.GetModels(), func(m *pb.RepositoryIndexResponse_ModelIndex) bool {
		return m.GetName() == name
	}), nil
}

func load(ctx context.Context, ask upstream.Ask, name string) error {
	return ask(ctx, loadPath, &pb.RepositoryModelLoadRequest{ModelName: name}, &pb.RepositoryModelLoadResponse{})
}

func unload(ctx context.Context, ask upstream.Ask, name string) error {
	return ask(ctx, unloadPath, &pb.RepositoryModelUnloadRequest{ModelName: name}, &pb.RepositoryModelUnloadResponse{})
}
