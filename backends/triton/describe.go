package triton

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// description is what an endpoint says of a version. It is immutable.
type description struct {
	model     infer.Model // without a handle
	alone     bool        // its requests never merge
	sequences bool
	instances int // 0: nobody knows
}

// describe makes a description of an endpoint's answers; config is nil where the endpoint gives none.
func describe(name, version string, meta *pb.ModelMetadataResponse, config *pb.ModelConfig) (*description, error) {
	d := &description{model: infer.Model{
		Name: name, Version: version, Platform: meta.GetPlatform(), MaxBatch: int64(config.GetMaxBatchSize()),
		Decoupled: config.GetModelTransactionPolicy().GetDecoupled(),
	}}
	d.sequences = config.GetSequenceBatching() != nil
	d.instances = instances(config)
	var errs []error
	for _, t := range meta.GetInputs() {
		spec, err := specOf(t)
		errs = append(errs, err)
		spec.Optional = slices.ContainsFunc(config.GetInput(), func(in *pb.ModelInput) bool {
			return in.GetName() == spec.Name && in.GetOptional()
		})
		d.model.Inputs = append(d.model.Inputs, spec)
	}
	for _, t := range meta.GetOutputs() {
		spec, err := specOf(t)
		errs = append(errs, err)
		d.model.Outputs = append(d.model.Outputs, spec)
	}
	if d.model.MaxBatch < 0 {
		errs = append(errs, fmt.Errorf("its max_batch_size is %d", d.model.MaxBatch))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	why := whyAlone(d, config)
	d.alone = why != ""
	d.model.Merge = "never: " + why
	if !d.alone {
		d.model.Merge = fmt.Sprintf("up to %d rows: the server's max_batch_size", d.model.MaxBatch)
	}
	return d, nil
}

// whyAlone tells why a version's requests are not merged; empty: they are.
func whyAlone(d *description, config *pb.ModelConfig) string {
	switch {
	case d.model.Decoupled:
		return "its answers are decoupled from its requests"
	case d.sequences:
		return "its requests belong to sequences, which the server keeps apart"
	case d.model.MaxBatch == 0:
		return "its max_batch_size is 0"
	}
	for _, in := range config.GetInput() {
		if in.GetAllowRaggedBatch() {
			return fmt.Sprintf("the rows of its input %.64q may differ in shape", in.GetName())
		}
		if in.GetIsShapeTensor() {
			return fmt.Sprintf("its input %.64q is a shape, which has no rows", in.GetName())
		}
	}
	return ""
}

// instances returns how many runs of the version the server does at a time, 0 if it does not say.
func instances(config *pb.ModelConfig) int {
	n := 0
	for _, g := range config.GetInstanceGroup() {
		if !g.GetPassive() {
			n += int(max(g.GetCount(), 1)) * max(len(g.GetGpus()), 1)
		}
	}
	return n
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

// same tells whether two endpoints mean the same version: a request goes to either.
func (d *description) same(o *description) bool {
	return d == o || d.model.SameSignature(&o.model) && d.model.MaxBatch == o.model.MaxBatch &&
		d.alone == o.alone && d.sequences == o.sequences
}
