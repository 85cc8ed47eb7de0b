package server

import (
	"errors"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	tfpb "github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/services"
)

// newServices returns the services whose methods generated code reads and writes, with reflection, which
// describes all of them.
func newServices(s *Server) *services.Registry {
	r := services.New(services.Options{Head: s.rpcHead, Status: rpcError}, s.memory.Slabs, s.log)
	pb.RegisterGRPCInferenceServiceServer(r, &inferenceService{server: s})
	tfpb.RegisterPredictionServiceServer(r, &predictionService{server: s})
	tfpb.RegisterModelServiceServer(r, &modelService{server: s})
	grpc_health_v1.RegisterHealthServer(r, &healthService{server: s})
	reflection.Register(r)
	return r
}

// rpcHead begins the answer to a call: with the id of the request.
func (s *Server) rpcHead(stream *h2.Stream) []wire.Header {
	return []wire.Header{{Name: headerRequestID, Value: s.appendRequestID(nil, stream)}}
}

// rpcError has errors of ours, and messages that cannot be parsed, answered by the one table.
func rpcError(err error) *status.Status {
	var malformed *services.MessageError
	var ours *infer.Error
	switch {
	case errors.As(err, &malformed):
		ours = infer.Errorf(infer.Invalid, "%s", malformed.Error())
	case !errors.As(err, &ours):
		return nil
	}
	var p spb.Status
	if err := proto.Unmarshal(appendStatusDetails(nil, ours), &p); err != nil {
		panic("BUG: server: " + err.Error())
	}
	return status.FromProto(&p)
}
