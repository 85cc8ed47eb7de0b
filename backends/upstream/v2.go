package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// V2 is the service of the v2 protocol, with which the names of its methods begin.
const V2 = "/inference.GRPCInferenceService/"

const (
	inferPath    = V2 + "ModelInfer"
	streamPath   = V2 + "ModelStreamInfer"
	livePath     = V2 + "ServerLive"
	indexPath    = V2 + "RepositoryIndex"
	metadataPath = V2 + "ModelMetadata"
	configPath   = V2 + "ModelConfig"
	loadPath     = V2 + "RepositoryModelLoad"
	unloadPath   = V2 + "RepositoryModelUnload"
)

// Live asks a server of the v2 protocol whether it is live. One that is not is an [ErrNotLive].
func Live(ctx context.Context, ask Ask) error {
	live := &pb.ServerLiveResponse{}
	if err := ask(ctx, livePath, &pb.ServerLiveRequest{}, live); err != nil {
		return err
	}
	if !live.GetLive() {
		return ErrNotLive
	}
	return nil
}

// Index asks a server of the v2 protocol what its repository has.
func Index(ctx context.Context, ask Ask) ([]Listed, error) {
	index := &pb.RepositoryIndexResponse{}
	if err := ask(ctx, indexPath, &pb.RepositoryIndexRequest{}, index); err != nil {
		return nil, err
	}
	all := make([]Listed, 0, len(index.GetModels()))
	for _, m := range index.GetModels() {
		l := Listed{Name: m.GetName(), Version: m.GetVersion(), Number: m.GetVersion(), State: infer.Unavailable, Reason: m.GetReason()}
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

// signature makes the model that metadata describe.
func signature(l Listed, meta *pb.ModelMetadataResponse) (infer.Model, error) {
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
