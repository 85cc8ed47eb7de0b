package scenario

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/bench/generator"
	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/bench/machine"
	"github.com/sluice-serving/sluice/bench/peer"
	"github.com/sluice-serving/sluice/bench/trial"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// Who merges in front of a real Triton's model, and what the models are called there: the same one, once as it is and
// once with the server's own dynamic batching.
const (
	laneMerges   = "lanes of Sluice"
	tritonMerges = "dynamic batching of Triton"
	nobodyMerges = "no batching, Triton"

	aloneModel   = "digits"
	dynamicModel = "digits_dynamic"
)

// tritonCase is one table of the report, in front of a real Triton.
type tritonCase struct {
	title   string
	clients int
}

func tritonCases() []tritonCase {
	return []tritonCase{
		{"A real Triton, the digits model, 64 clients", 64},
		{"A real Triton, the digits model, 1 client", 1},
	}
}

// batchTriton measures single rows through Sluice's lanes beside the same clients straight at the Triton behind them,
// with and without its own batching.
func batchTriton(ctx context.Context, opts BatchOptions, dir string) (all []trial.Comparison, err error) {
	var cases []tritonCase
	for _, tc := range tritonCases() {
		if strings.Contains(tc.title, opts.Only) {
			cases = append(cases, tc)
		}
	}
	if len(cases) == 0 {
		return nil, nil
	}
	triton, end, err := startTriton(ctx, opts)
	if err != nil {
		return nil, err
	}
	defer end()
	sluice, err := startPassSluice(ctx, opts.Self, peer.Hop{Dir: dir, Upstream: triton.Target, Workers: runtime.NumCPU()})
	if err != nil {
		return nil, err
	}
	defer sluice.Close()
	sluice.Note = fmt.Sprintf("GOMAXPROCS=%d, discovers the model, slots as it has instances; the Triton as below, its own batching off", runtime.NumCPU())
	for _, tc := range cases {
		c, err := tc.measure(ctx, opts, sluice, triton)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tc.title, errors.Join(err, triton.Alive(), sluice.Alive()))
		}
		all = append(all, c)
	}
	return all, nil
}

// startTriton starts a Triton with the digits models and returns when they answer.
func startTriton(ctx context.Context, opts BatchOptions) (s *peer.Server, end func(), err error) {
	return peer.StartTriton(ctx, peer.TritonSetup{
		Program: opts.Triton, Repository: opts.TritonModels, Models: []string{aloneModel, dynamicModel},
		Note: "Python backend, one instance, ONNX Runtime with one thread; gRPC straight at it",
		Ready: func(ctx context.Context, s *peer.Server) error {
			for _, model := range []string{aloneModel, dynamicModel} {
				if _, err := client.AskGRPC(ctx, s.Target, digitsCall(model)); err != nil {
					return err
				}
			}
			return learnVersion(ctx, s)
		},
	})
}

// learnVersion asks the server what it calls itself.
func learnVersion(ctx context.Context, s *peer.Server) error {
	answer, err := client.AskGRPC(ctx, s.Target, &client.GRPC{Path: pb.GRPCInferenceService_ServerMetadata_FullMethodName})
	if err != nil {
		return err
	}
	var meta pb.ServerMetadataResponse
	if err := proto.Unmarshal(answer, &meta); err != nil {
		return fmt.Errorf("read the metadata of %s: %w", s.Name, err)
	}
	s.Version = meta.GetVersion()
	return nil
}

// digitsCall asks for the label of one image. The label is the same whatever the image is merged with, to the last bit.
func digitsCall(model string) *client.GRPC {
	message, err := proto.Marshal(&pb.ModelInferRequest{
		ModelName: model, ModelVersion: "1",
		Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: tensor.FP32.String(), Shape: []int64{1, 64}}},
		Outputs:          []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "label"}},
		RawInputContents: [][]byte{client.RowOf(4 * 64)},
	})
	if err != nil {
		panic("BUG: bench: a request cannot be marshalled: " + err.Error())
	}
	return &client.GRPC{Path: pb.GRPCInferenceService_ModelInfer_FullMethodName, Message: message}
}

// measure compares who merges.
func (tc tritonCase) measure(ctx context.Context, opts BatchOptions, sluice, triton *peer.Server) (trial.Comparison, error) {
	plan := trial.Plan{
		Title: tc.title, Load: fmt.Sprintf("Closed loop over gRPC, a connection a client, single rows, blocks of %s", opts.Block),
		Cost: "time per request, us", Extra: "rows a run", Anchor: tritonMerges, Effort: opts.Effort, Tell: tellBlock(opts.Words),
	}
	if tc.clients == 1 {
		plan.Cost = "median latency, us"
	}
	floor, err := client.AskGRPC(ctx, triton.Target, digitsCall(aloneModel))
	if err != nil {
		return trial.Comparison{}, err
	}
	var subjects []trial.Subject
	for _, way := range []struct {
		name, model string
		server      *peer.Server
	}{{laneMerges, aloneModel, sluice}, {tritonMerges, dynamicModel, triton}, {nobodyMerges, aloneModel, triton}} {
		call := digitsCall(way.model)
		answer, err := client.AskGRPC(ctx, way.server.Target, call)
		if err != nil {
			return trial.Comparison{}, err
		}
		if err := sameOutputs(floor, answer); err != nil {
			return trial.Comparison{}, fmt.Errorf("%s: %w", way.name, err)
		}
		run := generator.Options{GRPC: call, Body: answer, Target: way.server.Target, Connections: tc.clients, Streams: 1, Duration: opts.Block, Settle: true}
		s := trial.Subject{Name: way.name, Version: way.server.Version, Note: way.server.Note, Measure: func(ctx context.Context) (trial.Block, error) {
			return tc.block(ctx, opts.Self, run, way.server, triton, way.model)
		}}
		if way.name == nobodyMerges {
			s.Note = "" // it is said of the other copy
		}
		subjects = append(subjects, s)
	}
	fmt.Fprintf(opts.Words, "%s\n", plan.Title)
	return trial.Compare(ctx, plan, subjects)
}

// block measures one way. What the server merged is what the Triton itself counts.
func (tc tritonCase) block(ctx context.Context, self machine.Self, run generator.Options, server, triton *peer.Server, model string) (trial.Block, error) {
	run.Processes, run.Beside = server.Processes(), triton.Processes()
	if server == triton {
		run.Beside = nil
	}
	before, err := tritonTotals(ctx, triton.Target, model)
	if err != nil {
		return trial.Block{}, err
	}
	r, err := generator.RunProcess(ctx, self, run)
	if err != nil {
		return trial.Block{}, err
	}
	after, err := tritonTotals(ctx, triton.Target, model)
	if err != nil {
		return trial.Block{}, err
	}
	b, err := blockOf(&r)
	if err != nil {
		return b, err
	}
	if runs := after.since(before); runs.count > 0 {
		b.Extra = runs.rows / runs.count
	}
	b.Cost = 1e6 / r.PerSecond()
	if tc.clients == 1 {
		b.Cost = b.P50.Seconds() * 1e6
	}
	return b, nil
}

// tritonTotals is what a Triton has run of a model.
func tritonTotals(ctx context.Context, target, model string) (batchTotals, error) {
	question, err := proto.Marshal(&pb.ModelStatisticsRequest{Name: model, Version: "1"})
	if err != nil {
		return batchTotals{}, fmt.Errorf("ask for statistics: %w", err)
	}
	answer, err := client.AskGRPC(ctx, target, &client.GRPC{Path: pb.GRPCInferenceService_ModelStatistics_FullMethodName, Message: question})
	if err != nil {
		return batchTotals{}, err
	}
	var stats pb.ModelStatisticsResponse
	if err := proto.Unmarshal(answer, &stats); err != nil {
		return batchTotals{}, fmt.Errorf("read the statistics: %w", err)
	}
	var t batchTotals
	for _, s := range stats.GetModelStats() {
		t.rows += float64(s.GetInferenceCount())
		t.count += float64(s.GetExecutionCount())
	}
	return t, nil
}

// tritonGoals holds the tables against what is promised: more rows than the Triton merges by itself.
func tritonGoals(c *trial.Comparison) []trial.Goal {
	if strings.Contains(c.Plan.Title, "1 client") {
		return nil
	}
	r := c.Ratio(laneMerges, tritonMerges, func(b *trial.Block) float64 { return b.PerSec })
	if r.N == 0 {
		return nil
	}
	return []trial.Goal{{
		What: c.Plan.Title + ": rows/s", Want: "more than with " + tritonMerges, Got: r.String() + "x", Met: r.Low > 1,
	}}
}
