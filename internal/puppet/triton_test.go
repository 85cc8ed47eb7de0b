package puppet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // a client may compress
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-serving/sluice/internal/leak"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
	wiregrpc "github.com/sluice-serving/sluice/wire/grpc"
)

// startTriton starts a server for the test, with a client of grpc-go's.
func startTriton(t *testing.T, opts TritonOptions) (*Triton, pb.GRPCInferenceServiceClient) {
	t.Helper()
	leak.Goroutines(t)
	triton, err := StartTriton(opts)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+triton.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		triton.Close()
		if err := triton.Check(); err != nil {
			t.Error(err)
		}
	})
	return triton, pb.NewGRPCInferenceServiceClient(conn)
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// request asks the model for rows of size bytes each.
func request(model string, rows, size int) *pb.ModelInferRequest {
	data := make([]byte, rows*size)
	for i := range data {
		data[i] = byte(i * 7)
	}
	return &pb.ModelInferRequest{
		ModelName: model, Id: "17",
		Inputs:           []*pb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "UINT8", Shape: []int64{int64(rows), int64(size)}}},
		RawInputContents: [][]byte{data},
	}
}

func TestTritonEchoes(t *testing.T) {
	_, client := startTriton(t, TritonOptions{Models: []TritonModel{Raw("echo", tensor.Uint8, 8)}})
	for _, tc := range []struct {
		name       string
		rows, size int
		opts       []grpc.CallOption
	}{
		{"nothing", 1, 0, nil},
		{"small", 2, 100, nil},
		{"a view", 3, 40_000, nil},
		{"large", 1, 3 << 20, nil},
		{"compressed", 2, 5000, []grpc.CallOption{grpc.UseCompressor("gzip")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			q := request("echo", tc.rows, tc.size)
			got, err := client.ModelInfer(testContext(t), q, tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			want := &pb.ModelInferResponse{
				ModelName: "echo", ModelVersion: "1", Id: "17",
				Outputs:           []*pb.ModelInferResponse_InferOutputTensor{{Name: "y", Datatype: "UINT8", Shape: q.Inputs[0].Shape}},
				RawOutputContents: q.RawInputContents,
			}
			if !proto.Equal(got, want) {
				t.Errorf("an answer with %d outputs, %d bytes: want the input back", len(got.Outputs), len(bytes.Join(got.RawOutputContents, nil)))
			}
		})
	}
}

func TestTritonTakesInputsInAnyOrder(t *testing.T) {
	two := Raw("two", tensor.Uint8, 0)
	a, b := two.Inputs[0], two.Outputs[0]
	a.Name, b.Name = "a", "b"
	two.Inputs, two.Outputs = append(two.Inputs, a), append(two.Outputs, b)
	_, client := startTriton(t, TritonOptions{Models: []TritonModel{two}})
	q := &pb.ModelInferRequest{
		ModelName: "two",
		Inputs: []*pb.ModelInferRequest_InferInputTensor{
			{Name: "a", Datatype: "UINT8", Shape: []int64{1, 2}, Contents: &pb.InferTensorContents{UintContents: []uint32{8, 9}}},
			{Name: "x", Datatype: "UINT8", Shape: []int64{1, 3}},
		},
		Outputs:          []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "b"}, {Name: "y"}},
		RawInputContents: [][]byte{[]byte("xyz")},
	}
	got, err := client.ModelInfer(testContext(t), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Outputs) != 2 || got.Outputs[0].Name != "y" || got.Outputs[1].Name != "b" ||
		len(got.RawOutputContents) != 1 || string(got.RawOutputContents[0]) != "xyz" || len(got.Outputs[1].GetContents().GetUintContents()) != 2 {
		t.Errorf("got %v, want y with x's bytes and b with a's contents", got)
	}
	q.Outputs = q.Outputs[:1]
	if got, err = client.ModelInfer(testContext(t), q); err != nil || len(got.Outputs) != 1 || got.Outputs[0].Name != "b" || len(got.RawOutputContents) != 0 {
		t.Errorf("got %v, %v, want b alone", got, err)
	}
}

func TestTritonAnswersAFixedSize(t *testing.T) {
	m := Raw("fixed", tensor.FP32, 4)
	m.OutputBytes = 4096
	_, client := startTriton(t, TritonOptions{Models: []TritonModel{m}})
	got, err := client.ModelInfer(testContext(t), request("fixed", 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	out := got.Outputs[0]
	if out.Datatype != "FP32" || out.Shape[0] != 2 || out.Shape[1] != 1024 || len(got.RawOutputContents[0]) != 2*4096 {
		t.Errorf("got %v with %d bytes, want 2 rows of 1024 FP32", out, len(got.RawOutputContents[0]))
	}
}

func TestTritonRefuses(t *testing.T) {
	unready := Raw("unready", tensor.Uint8, 0)
	unready.Unready = true
	_, client := startTriton(t, TritonOptions{Models: []TritonModel{Raw("echo", tensor.Uint8, 2), unready}})
	short, more, none := request("echo", 1, 4), request("echo", 1, 4), request("echo", 1, 4)
	short.RawInputContents[0] = short.RawInputContents[0][1:]
	more.RawInputContents = append(more.RawInputContents, nil)
	none.Inputs, none.RawInputContents = nil, nil
	for _, tc := range []struct {
		name string
		q    *pb.ModelInferRequest
		want codes.Code
		text string
	}{
		{"unknown model", request("other", 1, 4), codes.NotFound, "'other' is not found"},
		{"unready model", request("unready", 1, 4), codes.Unavailable, "no available versions"},
		{"too many rows", request("echo", 3, 4), codes.InvalidArgument, "<= 2"},
		{"too few bytes", short, codes.InvalidArgument, "3 bytes, its shape needs 4"},
		{"too many contents", more, codes.InvalidArgument, "more raw contents"},
		{"no input", none, codes.InvalidArgument, "expected input 'x'"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := client.ModelInfer(testContext(t), tc.q)
			if status.Code(err) != tc.want || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, want %v with %q", err, tc.want, tc.text)
			}
		})
	}
}

func TestTritonTellsWhatItServes(t *testing.T) {
	batch, unready := Raw("batch", tensor.FP32, 16), Raw("unready", tensor.Bytes, 0)
	batch.Instances, unready.Unready = 3, true
	_, client := startTriton(t, TritonOptions{Models: []TritonModel{batch, unready}})
	ctx := testContext(t)
	if live, err := client.ServerLive(ctx, &pb.ServerLiveRequest{}); err != nil || !live.Live {
		t.Errorf("live: %v, %v", live, err)
	}
	if ready, err := client.ServerReady(ctx, &pb.ServerReadyRequest{}); err != nil || !ready.Ready {
		t.Errorf("ready: %v, %v", ready, err)
	}
	if md, err := client.ServerMetadata(ctx, &pb.ServerMetadataRequest{}); err != nil || md.Name != "triton" || md.Version == "" {
		t.Errorf("server: %v, %v", md, err)
	}
	for name, want := range map[string]bool{"batch": true, "unready": false, "other": false} {
		if ready, err := client.ModelReady(ctx, &pb.ModelReadyRequest{Name: name}); err != nil || ready.Ready != want {
			t.Errorf("model %s is ready: %v, %v, want %v", name, ready, err, want)
		}
	}
	md, err := client.ModelMetadata(ctx, &pb.ModelMetadataRequest{Name: "batch"})
	if err != nil || len(md.Versions) != 1 || md.Inputs[0].Datatype != "FP32" || len(md.Inputs[0].Shape) != 2 || md.Inputs[0].Shape[0] != -1 {
		t.Errorf("metadata: %v, %v", md, err)
	}
	mc, err := client.ModelConfig(ctx, &pb.ModelConfigRequest{Name: "batch", Version: "1"})
	if err != nil || mc.Config.MaxBatchSize != 16 || len(mc.Config.Input[0].Dims) != 1 || mc.Config.InstanceGroup[0].Count != 3 {
		t.Errorf("config: %v, %v", mc, err)
	}
	index, err := client.RepositoryIndex(ctx, &pb.RepositoryIndexRequest{})
	if err != nil || len(index.Models) != 2 || index.Models[1].State != "UNAVAILABLE" {
		t.Errorf("index: %v, %v", index, err)
	}
	if index, err = client.RepositoryIndex(ctx, &pb.RepositoryIndexRequest{Ready: true}); err != nil || len(index.Models) != 1 {
		t.Errorf("index of what is ready: %v, %v", index, err)
	}
	if _, err := client.ModelInfer(ctx, request("batch", 5, 4)); err != nil {
		t.Error(err)
	}
	stats, err := client.ModelStatistics(ctx, &pb.ModelStatisticsRequest{Name: "batch"})
	if err != nil || len(stats.ModelStats) != 1 || stats.ModelStats[0].InferenceCount != 5 || stats.ModelStats[0].ExecutionCount != 1 {
		t.Errorf("statistics: %v, %v", stats, err)
	}
	if _, err := client.ModelConfig(ctx, &pb.ModelConfigRequest{Name: "other"}); status.Code(err) != codes.NotFound {
		t.Errorf("the config of a model that is not there: %v", err)
	}
	if _, err := client.LogSettings(ctx, &pb.LogSettingsRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that is not served: %v", err)
	}
}

func TestTritonDoesAsTheScriptSays(t *testing.T) {
	var mu sync.Mutex
	verdict := TritonVerdict{}
	say := func(v TritonVerdict) { mu.Lock(); defer mu.Unlock(); verdict = v }
	triton, client := startTriton(t, TritonOptions{
		Models: []TritonModel{Raw("echo", tensor.Uint8, 0)},
		Script: func(_ int64, q *TritonRequest) TritonVerdict {
			mu.Lock()
			defer mu.Unlock()
			if string(q.Model) != "echo" || string(q.ID) != "17" || len(q.Message) == 0 {
				return TritonVerdict{Status: wiregrpc.Internal, Text: "not what was sent"}
			}
			return verdict
		},
	})
	ask := func() (*pb.ModelInferResponse, error) {
		return client.ModelInfer(testContext(t), request("echo", 1, 8))
	}
	if _, err := ask(); err != nil {
		t.Error(err)
	}
	say(TritonVerdict{Status: wiregrpc.ResourceExhausted, Text: "busy"})
	if _, err := ask(); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "busy") {
		t.Errorf("refused: %v", err)
	}
	say(TritonVerdict{Nonsense: []byte{0xff}})
	if _, err := ask(); err == nil {
		t.Error("nonsense was taken for an answer")
	}
	say(TritonVerdict{Mangle: func(r *pb.ModelInferResponse) { r.Outputs[0].Name = "z" }})
	if r, err := ask(); err != nil || r.Outputs[0].Name != "z" {
		t.Errorf("mangled: %v, %v", r, err)
	}
	say(TritonVerdict{Drop: true})
	if _, err := ask(); status.Code(err) != codes.Unavailable {
		t.Errorf("dropped: %v", err)
	}
	opened := triton.Stats().Connections
	say(TritonVerdict{GoAway: true})
	if _, err := ask(); err != nil {
		t.Errorf("the last call on a connection: %v", err)
	}
	say(TritonVerdict{})
	for deadline := time.Now().Add(10 * time.Second); triton.Stats().Connections < opened+2; {
		if _, err := ask(); err != nil {
			t.Fatalf("a call after GOAWAY: %v", err)
		}
		if time.Now().After(deadline) {
			t.Fatal("the client did not go elsewhere")
		}
	}
}

func TestTritonHolds(t *testing.T) {
	triton, client := startTriton(t, TritonOptions{Hold: true, Models: []TritonModel{Raw("echo", tensor.Uint8, 0)}})
	ctx, cancel := context.WithCancel(testContext(t))
	done := make(chan error, 3)
	ask := func(ctx context.Context) {
		go func() {
			_, err := client.ModelInfer(ctx, request("echo", 1, 8))
			done <- err
		}()
	}
	held := func(n int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); triton.Held() != n; {
			if time.Now().After(end) {
				t.Fatalf("%d calls are held, want %d", triton.Held(), n)
			}
			runtime.Gosched()
		}
	}
	ask(ctx)
	held(1)
	ask(testContext(t))
	held(2)
	cancel()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Errorf("a cancelled call: %v", err)
	}
	held(1)
	if !triton.Step() {
		t.Error("nothing to step")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if triton.Step() {
		t.Error("a step without a call")
	}
	if s := triton.Stats(); s.Cancelled != 1 || s.Calls != 2 || s.Most != 2 || s.Running != 0 {
		t.Errorf("stats %+v", s)
	}
	ask(testContext(t))
	held(1)
	triton.Close()
	if err := <-done; status.Code(err) != codes.Unavailable {
		t.Errorf("a call that is held when the puppet closes: %v", err)
	}
}

func TestTritonTakesItsTime(t *testing.T) {
	m := Raw("slow", tensor.Uint8, 8)
	m.Instances, m.Fixed, m.Row = 1, 2*time.Millisecond, time.Millisecond
	triton, client := startTriton(t, TritonOptions{Models: []TritonModel{m}})
	start := time.Now()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := client.ModelInfer(testContext(t), request("slow", 8, 4)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took < 30*time.Millisecond {
		t.Errorf("three runs of 10 ms on one instance took %v", took)
	}
	if s := triton.Stats(); s.Rows != 24 || s.Largest != 8 {
		t.Errorf("stats %+v", s)
	}
}

func TestTritonStalls(t *testing.T) {
	triton, client := startTriton(t, TritonOptions{Models: []TritonModel{Raw("echo", tensor.Uint8, 0)}})
	triton.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.ModelInfer(ctx, request("echo", 1, 1<<20)); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a call to a server that does not read: %v", err)
	}
	triton.Resume()
	if _, err := client.ModelInfer(testContext(t), request("echo", 1, 1<<20)); err != nil {
		t.Error(err)
	}
}

func TestTritonStreams(t *testing.T) {
	_, client := startTriton(t, TritonOptions{
		Models: []TritonModel{Raw("echo", tensor.Uint8, 0)},
		Script: func(_ int64, q *TritonRequest) TritonVerdict {
			switch string(q.ID) {
			case "three":
				return TritonVerdict{
					Responses: 3, Every: time.Millisecond,
					Each: func(i int, r *pb.ModelInferResponse) { r.Id = strconv.Itoa(i) },
				}
			case "none":
				return TritonVerdict{Responses: -1}
			case "refused":
				return TritonVerdict{Status: wiregrpc.Unavailable, Text: "not now"}
			case "end":
				return TritonVerdict{Status: wiregrpc.Unavailable, Text: "the end", EndStream: true}
			}
			return TritonVerdict{}
		},
	})
	stream, err := client.ModelStreamInfer(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"three", "none", "refused", "one"} {
		q := request("echo", 1, 100_000)
		q.Id = id
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for len(got) < 5 {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.GetInferResponse().GetId()+r.GetErrorMessage())
		if r.GetErrorMessage() == "" && len(r.GetInferResponse().GetRawOutputContents()[0]) != 100_000 {
			t.Errorf("response %d has other bytes than the request", len(got))
		}
	}
	if want := []string{"0", "1", "2", "not now", "one"}; !slices.Equal(got, want) {
		t.Errorf("responses %q, want %q", got, want)
	}
	q := request("echo", 1, 8)
	q.Id = "end"
	if err := stream.Send(q); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "the end") {
		t.Errorf("a stream that the script ends: %v", err)
	}
	stream, err = client.ModelStreamInfer(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("a stream without requests: %v", err)
	}
}
