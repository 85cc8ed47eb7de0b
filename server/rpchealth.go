package server

import (
	"context"

	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sluice-serving/sluice/infer"
)

// healthService is grpc.health.v1, which Kubernetes and balancers ask. It knows the server as a whole, whose
// name is empty, the services of the protocols, and models by their names.
type healthService struct {
	grpc_health_v1.UnimplementedHealthServer
	server *Server
}

// Check implements [grpc_health_v1.HealthServer].
func (h *healthService) Check(_ context.Context, q *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	status, err := h.server.health(q.GetService())
	if err != nil {
		return nil, err
	}
	return &grpc_health_v1.HealthCheckResponse{Status: status}, nil
}

// The services of the protocols. As one process serves all, they fare alike.
const (
	v2Service      = "inference.GRPCInferenceService"
	servingService = "tensorflow.serving.PredictionService"
	servingModels  = "tensorflow.serving.ModelService"
)

// mostHealth bounds the services of a list, as other servers do.
const mostHealth = 100

var errManyServices = infer.Errorf(infer.TooLarge, "there are more models than a list of health may have; ask for them by name")

// List implements [grpc_health_v1.HealthServer].
func (h *healthService) List(context.Context, *grpc_health_v1.HealthListRequest) (*grpc_health_v1.HealthListResponse, error) {
	names := []string{"", v2Service, servingService, servingModels}
	for _, v := range h.server.front.Versions() {
		if v.Name != names[len(names)-1] {
			names = append(names, v.Name)
		}
	}
	if len(names) > mostHealth {
		return nil, errManyServices
	}
	all := &grpc_health_v1.HealthListResponse{Statuses: make(map[string]*grpc_health_v1.HealthCheckResponse, len(names))}
	for _, name := range names {
		if status, err := h.server.health(name); err == nil { // else it has gone meanwhile
			all.Statuses[name] = &grpc_health_v1.HealthCheckResponse{Status: status}
		}
	}
	return all, nil
}

// Watch implements [grpc_health_v1.HealthServer]: it tells how a service fares, and each change of that. A
// service that nobody knows may come to be.
func (h *healthService) Watch(q *grpc_health_v1.HealthCheckRequest, stream grpc_health_v1.Health_WatchServer) error {
	s := h.server
	last := grpc_health_v1.HealthCheckResponse_ServingStatus(-1)
	for stopping := false; ; {
		changed := s.front.Changed()
		if status, _ := s.health(q.GetService()); status != last {
			if err := stream.Send(&grpc_health_v1.HealthCheckResponse{Status: status}); err != nil {
				return err
			}
			last = status
		}
		if stopping {
			return infer.ErrDraining
		}
		select {
		case <-changed:
		case <-s.stop.begun:
			stopping = true // once more: what stops may have said so just before
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// health returns how a service fares; it is an error if there is none of that name.
func (s *Server) health(name string) (grpc_health_v1.HealthCheckResponse_ServingStatus, *infer.Error) {
	var serving bool
	switch name {
	case "", v2Service, servingService, servingModels:
		serving = s.front.Ready()
	default:
		_, err := s.named(name, "")
		if err != nil && err.Code == infer.UnknownModel {
			return grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN, err
		}
		serving = err == nil
	}
	if serving {
		return grpc_health_v1.HealthCheckResponse_SERVING, nil
	}
	return grpc_health_v1.HealthCheckResponse_NOT_SERVING, nil
}
