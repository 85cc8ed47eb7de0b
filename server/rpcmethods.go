package server

import (
	"context"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// inferenceService is the v2 service but for what infers, which [RPC] serves by hand.
type inferenceService struct {
	pb.UnimplementedGRPCInferenceServiceServer
	server *Server
}

func (i *inferenceService) ServerLive(context.Context, *pb.ServerLiveRequest) (*pb.ServerLiveResponse, error) {
	return &pb.ServerLiveResponse{Live: true}, nil
}

func (i *inferenceService) ServerReady(context.Context, *pb.ServerReadyRequest) (*pb.ServerReadyResponse, error) {
	return &pb.ServerReadyResponse{Ready: i.server.front.Ready()}, nil
}

func (i *inferenceService) ServerMetadata(context.Context, *pb.ServerMetadataRequest) (*pb.ServerMetadataResponse, error) {
	return &pb.ServerMetadataResponse{
		Name: productName, Version: i.server.opts.Version, Extensions: i.server.aside.extensions(),
	}, nil
}

func (i *inferenceService) ModelReady(_ context.Context, q *pb.ModelReadyRequest) (*pb.ModelReadyResponse, error) {
	_, err := i.server.named(q.GetName(), q.GetVersion())
	return &pb.ModelReadyResponse{Ready: err == nil}, nil
}

func (i *inferenceService) ModelMetadata(_ context.Context, q *pb.ModelMetadataRequest) (*pb.ModelMetadataResponse, error) {
	model, err := i.server.named(q.GetName(), q.GetVersion())
	if err != nil {
		return nil, err
	}
	return management.ModelMetadataMessage(model, i.server.readyVersions(model.Name)), nil
}

func (i *inferenceService) ModelConfig(_ context.Context, q *pb.ModelConfigRequest) (*pb.ModelConfigResponse, error) {
	model, err := i.server.named(q.GetName(), q.GetVersion())
	if err != nil {
		return nil, err
	}
	return management.ModelConfigMessage(model, backendOf(model)), nil
}

func (i *inferenceService) ModelStatistics(_ context.Context, q *pb.ModelStatisticsRequest) (*pb.ModelStatisticsResponse, error) {
	name, version := q.GetName(), q.GetVersion()
	if name != "" {
		model, err := i.server.named(name, version)
		if err != nil {
			return nil, err
		}
		if version != "" {
			version = model.Version
		}
	}
	return management.StatisticsMessage(i.server.statistics(name, version)), nil
}

func (i *inferenceService) RepositoryIndex(_ context.Context, q *pb.RepositoryIndexRequest) (*pb.RepositoryIndexResponse, error) {
	return management.RepositoryIndexMessage(i.server.front.Versions(), q.GetReady()), nil
}

// named returns the version that a message names.
func (s *Server) named(name, version string) (*infer.Model, *infer.Error) {
	return s.find(&infer.Query{Name: []byte(name), Version: []byte(version), Header: noHeaders{}})
}

// noHeaders answers a query that came with no headers that a rule could ask for.
type noHeaders struct{}

func (noHeaders) Header(string) []byte { return nil }
