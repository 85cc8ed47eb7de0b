package puppet

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2"
)

const (
	tritonService = "/inference.GRPCInferenceService/"

	statusNotFound grpc.Status = 5
)

// Method implements [h2.GRPC]. It is where a stall stops a connection: the head of a call has been read, and
// nothing of its message.
func (t *Triton) Method(path []byte) h2.Kind {
	wait(&t.gate)
	if string(path) == tritonService+"ModelInfer" { // compared without a copy
		return h2.Unary
	}
	name, ok := strings.CutPrefix(string(path), tritonService)
	switch {
	case !ok:
		return h2.Unknown
	case name == "ModelStreamInfer":
		return h2.Streaming
	}
	if _, ok := t.generic(name); ok {
		return h2.Generic
	}
	return h2.Unknown
}

// Connect implements [h2.GRPC].
func (t *Triton) Connect(c *h2.Conn) h2.Calls {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.conns[c.Remote()] = c
	return tritonConn{t}
}

type tritonConn struct{ t *Triton }

// Unary implements [h2.Calls].
func (c tritonConn) Unary(s *h2.Stream) { c.t.callOf(s).serve() }

// Drained implements [h2.Calls].
func (tritonConn) Drained() {}

// Serve implements [h2.GRPC].
func (t *Triton) Serve(s *h2.Stream) {
	name := strings.TrimPrefix(string(s.Path()), tritonService)
	if name == "ModelInfer" { // it came compressed
		answered := make(chan struct{})
		c := t.callOf(s)
		c.answered = answered
		c.serve()
		<-answered
		return
	}
	if name == "ModelStreamInfer" {
		t.serveStream(s)
		return
	}
	wait(&t.mute)
	serve, _ := t.generic(name)
	status, text := grpc.OK, ""
	answer, err := serve(s.Message().Flatten(t.pool))
	if e, ok := err.(tritonError); ok { //nolint:errorlint // made a few lines below
		status, text = e.status, e.text
	} else if err != nil {
		status, text = grpc.Internal, "the request cannot be parsed"
	}
	var out slab.List
	a := h2.Answer{Status: status, Text: text}
	if answer != nil {
		b, err := proto.Marshal(answer)
		if err != nil {
			panic("BUG: puppet: an answer cannot be marshalled: " + err.Error())
		}
		out.Append(slab.View{B: b})
		a.Message = &out
	}
	s.Reply(&a)
}

type tritonError struct {
	status grpc.Status
	text   string
}

func (e tritonError) Error() string { return e.text }

// generic returns how a method other than the inferring ones is answered.
func (t *Triton) generic(name string) (func([]byte) (proto.Message, error), bool) {
	if slices.Contains(t.opts.Without, name) {
		return nil, false
	}
	switch name {
	case "ServerLive":
		return tritonMethod(func(*pb.ServerLiveRequest) (proto.Message, error) {
			return &pb.ServerLiveResponse{Live: true}, nil
		}), true
	case "ServerReady":
		return tritonMethod(func(*pb.ServerReadyRequest) (proto.Message, error) {
			return &pb.ServerReadyResponse{Ready: true}, nil
		}), true
	case "ServerMetadata":
		return tritonMethod(func(*pb.ServerMetadataRequest) (proto.Message, error) {
			return &pb.ServerMetadataResponse{
				Name: "triton", Version: "2.51.0",
				Extensions: []string{"classification", "sequence", "model_repository", "model_configuration", "statistics", "binary_tensor_data"},
			}, nil
		}), true
	case "ModelReady":
		return tritonMethod(func(q *pb.ModelReadyRequest) (proto.Message, error) {
			m := t.find([]byte(q.GetName()), []byte(q.GetVersion()))
			return &pb.ModelReadyResponse{Ready: m != nil && !m.unready.Load() && !m.denies.Load()}, nil
		}), true
	case "ModelMetadata":
		return tritonMethod(t.modelMetadata), true
	case "ModelConfig":
		return tritonMethod(t.modelConfig), true
	case "ModelStatistics":
		return tritonMethod(t.modelStatistics), true
	case "RepositoryIndex":
		return tritonMethod(t.repositoryIndex), true
	}
	return nil, false
}

func tritonMethod[Q any, P interface {
	*Q
	proto.Message
}](serve func(P) (proto.Message, error)) func([]byte) (proto.Message, error) {
	return func(b []byte) (proto.Message, error) {
		q := P(new(Q))
		if err := proto.Unmarshal(b, q); err != nil {
			return nil, err
		}
		return serve(q)
	}
}

// find returns the version of a model, the last listed if none is named; nil if there is none.
func (t *Triton) find(name, version []byte) *tritonModel {
	var found *tritonModel
	for _, m := range t.models {
		if m.Name == string(name) && (len(version) == 0 || m.Version == string(version)) {
			found = m
		}
	}
	return found
}

// known is find, for methods that refuse what there is not.
func (t *Triton) known(name, version string) (*tritonModel, error) {
	m := t.find([]byte(name), []byte(version))
	if m == nil {
		return nil, tritonError{statusNotFound, "Request for unknown model: '" + name + "' is not found"}
	}
	if m.unready.Load() {
		return nil, tritonError{grpc.Unavailable, "Request for unknown model: '" + name + "' has no available versions"}
	}
	return m, nil
}

func (t *Triton) modelMetadata(q *pb.ModelMetadataRequest) (proto.Message, error) {
	m, err := t.known(q.GetName(), q.GetVersion())
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, other := range t.models {
		if other.Name == m.Name && !other.unready.Load() {
			versions = append(versions, other.Version)
		}
	}
	return management.ModelMetadataMessage(&m.Model, versions), nil
}

func (t *Triton) modelConfig(q *pb.ModelConfigRequest) (proto.Message, error) {
	m, err := t.known(q.GetName(), q.GetVersion())
	if err != nil {
		return nil, err
	}
	answer := management.ModelConfigMessage(&m.Model, "puppet")
	answer.Config.InstanceGroup = []*pb.ModelInstanceGroup{{
		Name: m.Name, Count: int32(max(m.Instances, 1)), Kind: pb.ModelInstanceGroup_KIND_CPU,
	}}
	answer.Config.ModelTransactionPolicy = &pb.ModelTransactionPolicy{Decoupled: m.Decoupled}
	return answer, nil
}

func (t *Triton) modelStatistics(q *pb.ModelStatisticsRequest) (proto.Message, error) {
	if q.GetName() != "" {
		if _, err := t.known(q.GetName(), q.GetVersion()); err != nil {
			return nil, err
		}
	}
	answer := &pb.ModelStatisticsResponse{}
	for _, m := range t.models {
		if q.GetName() != "" && m.Name != q.GetName() || q.GetVersion() != "" && m.Version != q.GetVersion() {
			continue
		}
		m.mu.Lock()
		answer.ModelStats = append(answer.ModelStats, &pb.ModelStatistics{
			Name: m.Name, Version: m.Version, InferenceCount: uint64(m.rows), ExecutionCount: uint64(m.runs),
			InferenceStats: &pb.InferStatistics{},
		})
		m.mu.Unlock()
	}
	return answer, nil
}

func (t *Triton) repositoryIndex(q *pb.RepositoryIndexRequest) (proto.Message, error) {
	answer := &pb.RepositoryIndexResponse{}
	for _, m := range t.models {
		one := &pb.RepositoryIndexResponse_ModelIndex{Name: m.Name, Version: m.Version, State: "READY"}
		if m.unready.Load() {
			one.State, one.Reason = "UNAVAILABLE", "unloaded"
		}
		if !q.GetReady() || !m.unready.Load() {
			answer.Models = append(answer.Models, one)
		}
	}
	return answer, nil
}
