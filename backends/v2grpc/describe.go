package v2grpc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-serving/sluice/backends/upstream"
	"github.com/sluice-serving/sluice/protocol/kserve/management"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// Describe asks a server for the metadata of a version, and for its configuration, which a
// server need not give: then nobody knows whether requests may merge, and they do not.
func Describe(ctx context.Context, ask upstream.Ask, l upstream.Listed) (*upstream.Description, error) {
	meta := &pb.ModelMetadataResponse{}
	if err := ask(ctx, metadataPath, &pb.ModelMetadataRequest{Name: l.Name, Version: l.Number}, meta); err != nil {
		return nil, err
	}
	config := &pb.ModelConfigResponse{}
	err := ask(ctx, configPath, &pb.ModelConfigRequest{Name: l.Name, Version: l.Number}, config)
	if err != nil && !upstream.Unimplemented(err) {
		return nil, err
	}
	d, err := describe(l, meta, config.GetConfig())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", upstream.ErrUnusable, err)
	}
	return d, nil
}

// describe makes a description of an endpoint's answers; config is nil where the endpoint gives none.
func describe(l upstream.Listed, meta *pb.ModelMetadataResponse, config *pb.ModelConfig) (*upstream.Description, error) {
	m, err := signature(l, meta)
	m.MaxBatch = int64(config.GetMaxBatchSize())
	m.Rowless = config != nil && m.MaxBatch == 0
	m.AnyRows = m.MaxBatch > 0 && config.GetParameters()[management.AnyRowsParameter].GetStringValue() == "true"
	m.Decoupled = config.GetModelTransactionPolicy().GetDecoupled()
	m.NumberedSequences = numbersSequences(config)
	for i := range m.Inputs {
		m.Inputs[i].Optional = slices.ContainsFunc(config.GetInput(), func(in *pb.ModelInput) bool {
			return in.GetName() == m.Inputs[i].Name && in.GetOptional()
		})
	}
	if m.MaxBatch < 0 {
		err = errors.Join(err, fmt.Errorf("its max_batch_size is %d", m.MaxBatch))
	}
	if err != nil {
		return nil, err
	}
	d := &upstream.Description{
		Model: m, Number: l.Number, Sequences: config.GetSequenceBatching() != nil, Instances: instances(config),
	}
	d.Silent = config == nil
	why := whyAlone(d, config)
	d.Model.Alone = why != ""
	d.Model.Merge = "never: " + why
	if !d.Model.Alone {
		d.Model.Merge = fmt.Sprintf("up to %d rows: the server's max_batch_size", m.MaxBatch)
	}
	return d, nil
}

// whyAlone tells why a version's requests are not merged; empty: they are.
func whyAlone(d *upstream.Description, config *pb.ModelConfig) string {
	switch {
	case config == nil:
		return "its server does not tell how its requests merge"
	case d.Model.Decoupled:
		return "its answers are decoupled from its requests"
	case d.Sequences:
		return "its requests belong to sequences, which the server keeps apart"
	case d.Model.MaxBatch == 0:
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

// numbersSequences tells whether the version is handed the ids of its sequences as numbers. Such a server has been
// seen to write an id that is text over whatever lies behind the number's place.
func numbersSequences(config *pb.ModelConfig) bool {
	for _, input := range config.GetSequenceBatching().GetControlInput() {
		for _, control := range input.GetControl() {
			if control.GetKind() == pb.ModelSequenceBatching_Control_CONTROL_SEQUENCE_CORRID {
				return control.GetDataType() != pb.DataType_TYPE_STRING
			}
		}
	}
	return false
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
