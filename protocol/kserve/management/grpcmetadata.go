package management

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// The answers to everything but inference over gRPC. Each is made from what the REST answer beside it is
// written from, so that both say the same.

// ModelMetadataMessage is [ModelMetadata] over gRPC.
func ModelMetadataMessage(m *infer.Model, versions []string) *pb.ModelMetadataResponse {
	md := metadataOf(m, versions)
	list := func(of []tensorMetadata) []*pb.ModelMetadataResponse_TensorMetadata {
		out := make([]*pb.ModelMetadataResponse_TensorMetadata, len(of))
		for i, t := range of {
			out[i] = &pb.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.DataType, Shape: t.Shape}
		}
		return out
	}
	return &pb.ModelMetadataResponse{
		Name: md.Name, Versions: md.Versions, Platform: md.Platform, Inputs: list(md.Inputs), Outputs: list(md.Outputs),
	}
}

// ModelConfigMessage is [ModelConfig] over gRPC.
func ModelConfigMessage(m *infer.Model, backend string) *pb.ModelConfigResponse {
	c := configOf(m, backend)
	to := &pb.ModelConfig{
		Name: c.Name, Platform: c.Platform, Backend: c.Backend, MaxBatchSize: int32(min(c.MaxBatchSize, 1<<31-1)),
		ModelTransactionPolicy: &pb.ModelTransactionPolicy{Decoupled: c.TransactionPolicy.Decoupled},
		ResponseCache:          &pb.ModelResponseCache{Enable: c.ResponseCache.Enable},
	}
	if c.DynamicBatching != nil {
		to.SchedulingChoice = &pb.ModelConfig_DynamicBatching{DynamicBatching: &pb.ModelDynamicBatching{}}
	}
	for key, p := range c.Parameters {
		if to.Parameters == nil {
			to.Parameters = map[string]*pb.ModelParameter{}
		}
		to.Parameters[key] = &pb.ModelParameter{StringValue: p.StringValue}
	}
	for _, in := range c.Input {
		to.Input = append(to.Input, &pb.ModelInput{
			Name: in.Name, DataType: pb.DataType(pb.DataType_value[in.DataType]), Format: pb.ModelInput_Format(pb.ModelInput_Format_value[in.Format]),
			Dims: in.Dims, IsShapeTensor: in.IsShapeTensor, AllowRaggedBatch: in.AllowRagged, Optional: in.Optional,
		})
	}
	for _, o := range c.Output {
		to.Output = append(to.Output, &pb.ModelOutput{
			Name: o.Name, DataType: pb.DataType(pb.DataType_value[o.DataType]),
			Dims: o.Dims, LabelFilename: o.LabelFilename, IsShapeTensor: o.IsShapeTensor,
		})
	}
	return &pb.ModelConfigResponse{Config: to}
}

// StatisticsMessage is [Statistics] over gRPC.
func StatisticsMessage(stats []ModelStats) *pb.ModelStatisticsResponse {
	to := &pb.ModelStatisticsResponse{}
	for i := range stats {
		s := &stats[i]
		one := &pb.ModelStatistics{
			Name: s.Name, Version: s.Version, LastInference: s.LastInference,
			InferenceCount: s.InferenceCount, ExecutionCount: s.ExecutionCount,
			InferenceStats: &pb.InferStatistics{
				Success: s.InferenceStats.Success.message(), Fail: s.InferenceStats.Fail.message(), Queue: s.InferenceStats.Queue.message(),
				ComputeInput: s.InferenceStats.ComputeInput.message(), ComputeInfer: s.InferenceStats.ComputeInfer.message(),
				ComputeOutput: s.InferenceStats.ComputeOutput.message(),
				CacheHit:      s.InferenceStats.CacheHit.message(), CacheMiss: s.InferenceStats.CacheMiss.message(),
			},
		}
		for _, b := range s.BatchStats {
			one.BatchStats = append(one.BatchStats, &pb.InferBatchStatistics{
				BatchSize:    uint64(b.BatchSize),
				ComputeInput: b.ComputeInput.message(), ComputeInfer: b.ComputeInfer.message(), ComputeOutput: b.ComputeOutput.message(),
			})
		}
		to.ModelStats = append(to.ModelStats, one)
	}
	return to
}

func (t Total) message() *pb.StatisticDuration {
	return &pb.StatisticDuration{Count: t.Count, Ns: t.NS}
}

// RepositoryIndexMessage is [RepositoryIndex] over gRPC.
func RepositoryIndexMessage(versions []infer.VersionStatus, readyOnly bool) *pb.RepositoryIndexResponse {
	to := &pb.RepositoryIndexResponse{}
	for _, e := range indexOf(versions, readyOnly) {
		to.Models = append(to.Models, &pb.RepositoryIndexResponse_ModelIndex{Name: e.Name, Version: e.Version, State: e.State, Reason: e.Reason})
	}
	return to
}
