package v2grpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-serving/sluice/backends"
	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// Service is what the names of the protocol's methods begin with.
const Service = "/inference.GRPCInferenceService/"

const (
	inferPath    = Service + "ModelInfer"
	streamPath   = Service + "ModelStreamInfer"
	readyPath    = Service + "ModelReady"
	livePath     = Service + "ServerLive"
	indexPath    = Service + "RepositoryIndex"
	metadataPath = Service + "ModelMetadata"
	configPath   = Service + "ModelConfig"
	loadPath     = Service + "RepositoryModelLoad"
	unloadPath   = Service + "RepositoryModelUnload"
)

// Live asks a server whether it is live. One that is not is an [upstream.ErrNotLive].
func Live(ctx context.Context, ask upstream.Ask) error {
	live := &pb.ServerLiveResponse{}
	if err := ask(ctx, livePath, &pb.ServerLiveRequest{}, live); err != nil {
		return err
	}
	if !live.GetLive() {
		return upstream.ErrNotLive
	}
	return nil
}

// Index asks a server what its repository has.
func Index(ctx context.Context, ask upstream.Ask) ([]upstream.Listed, error) {
	index := &pb.RepositoryIndexResponse{}
	if err := ask(ctx, indexPath, &pb.RepositoryIndexRequest{}, index); err != nil {
		return nil, err
	}
	all := make([]upstream.Listed, 0, len(index.GetModels()))
	for _, m := range index.GetModels() {
		l := upstream.Listed{Name: m.GetName(), Version: m.GetVersion(), Number: m.GetVersion(), State: infer.Unavailable, Reason: m.GetReason()}
		switch strings.TrimPrefix(m.GetState(), "State.") { // as MLServer words it
		case "READY":
			l.State, l.Reason = infer.Ready, ""
		case "LOADING":
			l.State, l.Reason = infer.Loading, "the server is loading it"
		default:
			if l.Reason == "" {
				l.Reason = "the server says " + strings.ToLower(m.GetState())
			}
		}
		all = append(all, l)
	}
	return all, nil
}

// Ready asks a server whether a version takes requests.
func Ready(ctx context.Context, ask upstream.Ask, l upstream.Listed) (why string, err error) {
	answer := &pb.ModelReadyResponse{}
	err = ask(ctx, readyPath, &pb.ModelReadyRequest{Name: l.Name, Version: l.Number}, answer)
	var refused *upstream.StatusError
	switch {
	case upstream.Unimplemented(err):
		return "", nil // then its list is all that it says
	case errors.As(err, &refused):
		return "the server says: " + backends.PublicText(refused.Text), nil
	case err != nil:
		return "", err
	case !answer.GetReady():
		return "the server says that it is not ready", nil
	}
	return "", nil
}

// signature makes the model that metadata describe.
func signature(l upstream.Listed, meta *pb.ModelMetadataResponse) (infer.Model, error) {
	m := infer.Model{Name: l.Name, Version: l.Version, Platform: meta.GetPlatform()}
	var errs []error
	for _, t := range meta.GetInputs() {
		spec, err := specOf(t)
		errs = append(errs, err)
		m.Inputs = append(m.Inputs, spec)
	}
	for _, t := range meta.GetOutputs() {
		spec, err := specOf(t)
		errs = append(errs, err)
		m.Outputs = append(m.Outputs, spec)
	}
	return m, errors.Join(errs...)
}

func specOf(t *pb.ModelMetadataResponse_TensorMetadata) (infer.Spec, error) {
	s := infer.Spec{Name: t.GetName(), DType: tensor.ParseDType([]byte(t.GetDatatype())), Dims: slices.Clone(t.GetShape())}
	switch {
	case s.Name == "":
		return s, errors.New("a tensor has no name")
	case s.DType == tensor.Invalid:
		return s, fmt.Errorf("tensor %.64q is of the unknown datatype %.32q", s.Name, t.GetDatatype())
	case len(s.Dims) > tensor.MaxRank:
		return s, fmt.Errorf("tensor %.64q has %d dimensions", s.Name, len(s.Dims))
	}
	if s.Dims == nil {
		s.Dims = []int64{}
	}
	return s, nil
}
