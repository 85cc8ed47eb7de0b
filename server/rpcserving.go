package server

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/tfserving"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
)

// predictionService is TensorFlow Serving's service but for what infers, which [RPC] serves by hand.
type predictionService struct {
	pb.UnimplementedPredictionServiceServer
	server *Server
}

func (p *predictionService) GetModelMetadata(ctx context.Context, q *pb.GetModelMetadataRequest) (*pb.GetModelMetadataResponse, error) {
	if err := tfserving.CheckMetadataRequest(q.GetMetadataField()); err != nil {
		return nil, err
	}
	query, err := servingQuery(q.GetModelSpec(), fromContext{ctx})
	if err != nil {
		return nil, err
	}
	model, err := p.server.find(&query)
	if err != nil {
		return nil, err
	}
	return tfserving.MetadataMessage(model), nil
}

// modelService tells how versions fare.
type modelService struct {
	pb.UnimplementedModelServiceServer
	server *Server
}

func (m *modelService) GetModelStatus(ctx context.Context, q *pb.GetModelStatusRequest) (*pb.GetModelStatusResponse, error) {
	query, err := servingQuery(q.GetModelSpec(), fromContext{ctx})
	if err != nil {
		return nil, err
	}
	versions, err := m.server.versionsOf(&query)
	if err != nil {
		return nil, err
	}
	return tfserving.StatusMessage(versions), nil
}

var errReload = infer.Errorf(infer.Unsupported,
	"which models this server has is told by its configuration, not by ReloadConfig; it is read anew when it changes")

func (m *modelService) HandleReloadConfigRequest(context.Context, *pb.ReloadConfigRequest) (*pb.ReloadConfigResponse, error) {
	return nil, errReload
}

// fromContext looks up headers in the metadata of a call.
type fromContext struct{ ctx context.Context }

// Header implements [infer.HeaderGetter].
func (f fromContext) Header(name string) []byte {
	if v := metadata.ValueFromIncomingContext(f.ctx, name); len(v) == 1 {
		return []byte(v[0])
	}
	return nil
}
