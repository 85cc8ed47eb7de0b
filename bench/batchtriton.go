package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

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
func batchTriton(ctx context.Context, opts BatchOptions, dir string) (all []Comparison, err error) {
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
	sluice, err := startPassSluice(ctx, opts.Self, hop{dir: dir, upstream: triton.Target, workers: runtime.NumCPU()})
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

// startTriton starts a Triton with the digits models and returns when they are ready.
func startTriton(ctx context.Context, opts BatchOptions) (s *Server, end func(), err error) {
	program, err := filepath.Abs(opts.Triton)
	if err != nil {
		return nil, nil, fmt.Errorf("find Triton: %w", err)
	}
	if _, err := os.Stat(program); err != nil {
		return nil, nil, fmt.Errorf("triton: %w: no %s", ErrNotInstalled, opts.Triton)
	}
	models, err := filepath.Abs(opts.TritonModels)
	if err != nil {
		return nil, nil, fmt.Errorf("find Triton's models: %w", err)
	}
	address, release, err := reservePort()
	if err != nil {
		return nil, nil, fmt.Errorf("reserve a port for Triton: %w", err)
	}
	region := fmt.Sprintf("sluice_bench_%d", os.Getpid())
	host, port, _ := strings.Cut(address, ":")
	s = &Server{Name: "Triton", Target: address, Note: "Python backend, one instance, ONNX Runtime with one thread; gRPC straight at it"}
	cmd := exec.CommandContext(ctx, program, "--model-repository="+models, "--model-control-mode=explicit",
		"--load-model="+aloneModel, "--load-model="+dynamicModel, "--disable-auto-complete-config", "--exit-timeout-secs=2",
		"--allow-http=false", "--allow-metrics=false", "--grpc-address="+host, "--grpc-port="+port, "--reuse-grpc-port=true",
		"--backend-config=python,shm-region-prefix-name="+region)
	if err := s.start(cmd, nil); err != nil {
		release()
		return nil, nil, err
	}
	end = func() {
		s.Close()
		release()
		left, _ := filepath.Glob("/dev/shm/" + region + "*") // of processes that were killed
		for _, path := range left {
			_ = os.Remove(path)
		}
	}
	if err := awaitTriton(ctx, s); err != nil {
		end()
		return nil, nil, err
	}
	return s, end, nil
}

// awaitTriton returns when the models answer.
func awaitTriton(ctx context.Context, s *Server) error {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		_, err := AskGRPC(ctx, s.Target, digitsCall(aloneModel))
		if err == nil {
			_, err = AskGRPC(ctx, s.Target, digitsCall(dynamicModel))
		}
		if err == nil {
			return s.learnVersion(ctx)
		}
		if dead := s.Alive(); dead != nil {
			return dead
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("triton is not ready in %s: %w: %s", patience, err, s.words.String())
		}
	}
}

// learnVersion asks the server what it calls itself.
func (s *Server) learnVersion(ctx context.Context) error {
	answer, err := AskGRPC(ctx, s.Target, &GRPC{Path: pb.GRPCInferenceService_ServerMetadata_FullMethodName})
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
func digitsCall(model string) *GRPC {
	message, err := proto.Marshal(&pb.ModelInferRequest{
		ModelName: model, ModelVersion: "1",
		Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: tensor.FP32.String(), Shape: []int64{1, 64}}},
		Outputs:          []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "label"}},
		RawInputContents: [][]byte{rowOf(4 * 64)},
	})
	if err != nil {
		panic("BUG: bench: a request cannot be marshalled: " + err.Error())
	}
	return &GRPC{Path: pb.GRPCInferenceService_ModelInfer_FullMethodName, Message: message}
}

// measure compares who merges.
func (tc tritonCase) measure(ctx context.Context, opts BatchOptions, sluice, triton *Server) (Comparison, error) {
	plan := Plan{
		Title: tc.title, Load: fmt.Sprintf("Closed loop over gRPC, a connection a client, single rows, blocks of %s", opts.Block),
		Cost: "time per request, us", Extra: "rows a run", Anchor: tritonMerges, Effort: opts.Effort, Tell: tellBlock(opts.Words),
	}
	if tc.clients == 1 {
		plan.Cost = "median latency, us"
	}
	floor, err := AskGRPC(ctx, triton.Target, digitsCall(aloneModel))
	if err != nil {
		return Comparison{}, err
	}
	var subjects []Subject
	for _, way := range []struct {
		name, model string
		server      *Server
	}{{laneMerges, aloneModel, sluice}, {tritonMerges, dynamicModel, triton}, {nobodyMerges, aloneModel, triton}} {
		call := digitsCall(way.model)
		answer, err := AskGRPC(ctx, way.server.Target, call)
		if err != nil {
			return Comparison{}, err
		}
		if err := sameOutputs(floor, answer); err != nil {
			return Comparison{}, fmt.Errorf("%s: %w", way.name, err)
		}
		run := Options{GRPC: call, Body: answer, Target: way.server.Target, Connections: tc.clients, Streams: 1, Duration: opts.Block, Settle: true}
		s := Subject{Name: way.name, Version: way.server.Version, Note: way.server.Note, Measure: func(ctx context.Context) (Block, error) {
			return tc.block(ctx, opts.Self, run, way.server, triton, way.model)
		}}
		if way.name == nobodyMerges {
			s.Note = "" // it is said of the other copy
		}
		subjects = append(subjects, s)
	}
	fmt.Fprintf(opts.Words, "%s\n", plan.Title)
	return Compare(ctx, plan, subjects)
}

// block measures one way. What the server merged is what the Triton itself counts.
func (tc tritonCase) block(ctx context.Context, self Self, run Options, server, triton *Server, model string) (Block, error) {
	run.Processes, run.Beside = server.Processes(), triton.Processes()
	if server == triton {
		run.Beside = nil
	}
	before, err := tritonTotals(ctx, triton.Target, model)
	if err != nil {
		return Block{}, err
	}
	r, err := RunProcess(ctx, self, run)
	if err != nil {
		return Block{}, err
	}
	after, err := tritonTotals(ctx, triton.Target, model)
	if err != nil {
		return Block{}, err
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
	answer, err := AskGRPC(ctx, target, &GRPC{Path: pb.GRPCInferenceService_ModelStatistics_FullMethodName, Message: question})
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
func tritonGoals(c *Comparison) []Goal {
	if strings.Contains(c.Plan.Title, "1 client") {
		return nil
	}
	r := c.Ratio(laneMerges, tritonMerges, func(b *Block) float64 { return b.PerSec })
	if r.N == 0 {
		return nil
	}
	return []Goal{{
		What: c.Plan.Title + ": rows/s", Want: "more than with " + tritonMerges, Got: r.text() + "x", Met: r.Low > 1,
	}}
}
