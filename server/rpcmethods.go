package server

import (
	"strings"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
)

// generic is a method that infers nothing: it runs on a goroutine of its own, on generated messages.
type generic struct {
	request func() proto.Message
	serve   func(proto.Message) (proto.Message, *infer.Error)
}

// method makes a generic method of a function of generated messages.
func method[Q any, P interface {
	*Q
	proto.Message
}](serve func(P) (proto.Message, *infer.Error)) generic {
	return generic{
		request: func() proto.Message { return P(new(Q)) },
		serve:   func(m proto.Message) (proto.Message, *infer.Error) { return serve(m.(P)) },
	}
}

// methodsOf returns the generic methods by path: those of the v2 service that infer nothing, and the health
// service that Kubernetes asks.
func methodsOf(s *Server) map[string]generic {
	m := map[string]generic{
		grpc_health_v1.Health_Check_FullMethodName: method(s.checkHealth),
		pb.GRPCInferenceService_ServerLive_FullMethodName: method(func(*pb.ServerLiveRequest) (proto.Message, *infer.Error) {
			return &pb.ServerLiveResponse{Live: true}, nil
		}),
		pb.GRPCInferenceService_ServerReady_FullMethodName: method(func(*pb.ServerReadyRequest) (proto.Message, *infer.Error) {
			return &pb.ServerReadyResponse{Ready: s.front.Ready()}, nil
		}),
		pb.GRPCInferenceService_ServerMetadata_FullMethodName: method(func(*pb.ServerMetadataRequest) (proto.Message, *infer.Error) {
			return &pb.ServerMetadataResponse{Name: productName, Version: s.opts.Version, Extensions: kserve.Extensions()}, nil
		}),
		pb.GRPCInferenceService_ModelReady_FullMethodName: method(func(q *pb.ModelReadyRequest) (proto.Message, *infer.Error) {
			_, err := s.named(q.GetName(), q.GetVersion())
			return &pb.ModelReadyResponse{Ready: err == nil}, nil
		}),
		pb.GRPCInferenceService_ModelMetadata_FullMethodName: method(func(q *pb.ModelMetadataRequest) (proto.Message, *infer.Error) {
			model, err := s.named(q.GetName(), q.GetVersion())
			if err != nil {
				return nil, err
			}
			return kserve.ModelMetadataMessage(model, s.readyVersions(model.Name)), nil
		}),
		pb.GRPCInferenceService_ModelConfig_FullMethodName: method(func(q *pb.ModelConfigRequest) (proto.Message, *infer.Error) {
			model, err := s.named(q.GetName(), q.GetVersion())
			if err != nil {
				return nil, err
			}
			return kserve.ModelConfigMessage(model, backendOf(model)), nil
		}),
		pb.GRPCInferenceService_ModelStatistics_FullMethodName: method(s.modelStatistics),
		pb.GRPCInferenceService_RepositoryIndex_FullMethodName: method(func(q *pb.RepositoryIndexRequest) (proto.Message, *infer.Error) {
			return kserve.RepositoryIndexMessage(s.front.Versions(), q.GetReady()), nil
		}),
	}
	refused := func(err *infer.Error, methods ...string) {
		for _, name := range methods {
			m[name] = method(func(*pb.ServerLiveRequest) (proto.Message, *infer.Error) { return nil, err })
		}
	}
	refused(errControl,
		pb.GRPCInferenceService_RepositoryModelLoad_FullMethodName, pb.GRPCInferenceService_RepositoryModelUnload_FullMethodName)
	refused(errExtensions,
		pb.GRPCInferenceService_SystemSharedMemoryStatus_FullMethodName, pb.GRPCInferenceService_SystemSharedMemoryRegister_FullMethodName,
		pb.GRPCInferenceService_SystemSharedMemoryUnregister_FullMethodName, pb.GRPCInferenceService_CudaSharedMemoryStatus_FullMethodName,
		pb.GRPCInferenceService_CudaSharedMemoryRegister_FullMethodName, pb.GRPCInferenceService_CudaSharedMemoryUnregister_FullMethodName,
		pb.GRPCInferenceService_TraceSetting_FullMethodName, pb.GRPCInferenceService_LogSettings_FullMethodName)
	return m
}

// named returns the version that a message names.
func (s *Server) named(name, version string) (*infer.Model, *infer.Error) {
	return s.find(&infer.Query{Name: []byte(name), Version: []byte(version), Header: noHeaders{}})
}

// noHeaders answers a query that came with no headers that a rule could ask for.
type noHeaders struct{}

func (noHeaders) Header(string) []byte { return nil }

func (s *Server) modelStatistics(q *pb.ModelStatisticsRequest) (proto.Message, *infer.Error) {
	name, version := q.GetName(), q.GetVersion()
	if name != "" {
		model, err := s.named(name, version)
		if err != nil {
			return nil, err
		}
		if version != "" {
			version = model.Version
		}
	}
	return kserve.StatisticsMessage(s.statistics(name, version)), nil
}

// checkHealth answers grpc.health.v1 for the server as a whole, for the v2 service, and for models by name.
func (s *Server) checkHealth(q *grpc_health_v1.HealthCheckRequest) (proto.Message, *infer.Error) {
	status := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	switch name := q.GetService(); name {
	case "", strings.Trim(servicePath, "/"):
		if s.front.Ready() {
			status = grpc_health_v1.HealthCheckResponse_SERVING
		}
	default:
		_, err := s.named(name, "")
		switch {
		case err == nil:
			status = grpc_health_v1.HealthCheckResponse_SERVING
		case err.Code == infer.UnknownModel:
			return nil, err
		}
	}
	return &grpc_health_v1.HealthCheckResponse{Status: status}, nil
}

// answerGeneric serves a call of a generic method.
func (r *RPC) answerGeneric(s *h2.Stream) {
	m := r.methods[string(s.Path())]
	request := m.request()
	var answer h2.Answer
	message := s.Message().Flatten(r.server.memory.Slabs)
	var err *infer.Error
	if e := proto.Unmarshal(message, request); e != nil {
		err = infer.Errorf(infer.Invalid, "the message cannot be parsed as %s", request.ProtoReflect().Descriptor().FullName())
	}
	var out proto.Message
	if err == nil {
		out, err = m.serve(request)
	}
	answer.Head = []wire.Header{{Name: headerRequestID, Value: r.server.appendRequestID(nil, s)}}
	conn := s.Conn()
	var list slab.List
	if err != nil {
		answer.Status, answer.Text, answer.Details = grpcStatus[err.Code], err.Text, appendStatusDetails(nil, err)
	} else {
		list.Append(slab.View{B: marshal(out)})
		answer.Message = &list
	}
	s.Reply(&answer)
	conn.Flush()
}

// marshal cannot fail: what it is given has valid texts and required fields there are none.
func marshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic("BUG: server: " + err.Error())
	}
	return b
}
