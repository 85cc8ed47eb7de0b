package gateway_test

import (
	"context"
	"encoding/binary"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/protocol/kserve/pb"
)

// dial connects a client of grpc-go to a port.
func (r *running) dial(port string) (pb.GRPCInferenceServiceClient, *grpc.ClientConn) {
	r.t.Helper()
	conn, err := grpc.NewClient(r.g.Addresses()[port], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return pb.NewGRPCInferenceServiceClient(conn), conn
}

// echo is a request whose answer nobody else gets.
func echo(model string, tag float32, rows int) *pb.ModelInferRequest {
	raw := make([]byte, 8*rows)
	for i := range 2 * rows {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(tag+float32(i)))
	}
	return &pb.ModelInferRequest{
		ModelName: model,
		Inputs: []*pb.ModelInferRequest_InferInputTensor{
			{Name: "x", Datatype: "FP32", Shape: []int64{int64(rows), 2}},
		},
		RawInputContents: [][]byte{raw},
	}
}

func TestInferOverGRPC(t *testing.T) {
	r := start(t, oneModel)
	client, conn := r.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, opts := range [][]grpc.CallOption{nil, {grpc.UseCompressor("gzip")}} {
		var head metadata.MD
		q := echo("m", 1, 3)
		q.Id = "seven"
		ctx := metadata.AppendToOutgoingContext(ctx, "x-request-id", "mine")
		a, err := client.ModelInfer(ctx, q, append(opts, grpc.Header(&head))...)
		if err != nil {
			t.Fatal(err)
		}
		if a.GetId() != "seven" || a.GetOutputs()[0].GetName() != "y" || string(a.GetRawOutputContents()[0]) != string(q.RawInputContents[0]) {
			t.Errorf("answered %v", a)
		}
		if got := head.Get("x-request-id"); len(got) != 1 || got[0] != "mine" || len(head.Get("server-timing")) != 1 || len(head.Get("sluice-version")) != 1 {
			t.Errorf("metadata %v", head)
		}
	}
	typed := echo("m", 1, 20_000)
	typed.Inputs[0].Contents = &pb.InferTensorContents{Fp32Contents: make([]float32, 40_000)}
	typed.RawInputContents = nil
	typed.Inputs[0].Contents.Fp32Contents[39_999] = 3
	if a, err := client.ModelInfer(ctx, typed); status.Code(err) != codes.InvalidArgument {
		t.Errorf("more rows than the model takes: %v, %v", a, err)
	}
	typed.Inputs[0].Shape = []int64{20, 2000}
	if a, err := client.ModelInfer(ctx, typed); err != nil || len(a.GetRawOutputContents()[0]) != 160_000 {
		t.Errorf("large typed contents: %v", err)
	}
	h, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil || h.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health %v, %v", h, err)
	}
	if status, version := r.infer("m"); status != 200 {
		t.Errorf("REST on the same port: %d %s", status, version)
	}
}

func TestQuestionsOverGRPC(t *testing.T) {
	r := start(t, oneModel)
	client, _ := r.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if a, err := client.ServerLive(ctx, &pb.ServerLiveRequest{}); err != nil || !a.GetLive() {
		t.Errorf("live: %v, %v", a, err)
	}
	if a, err := client.ServerReady(ctx, &pb.ServerReadyRequest{}); err != nil || !a.GetReady() {
		t.Errorf("ready: %v, %v", a, err)
	}
	for name, want := range map[string]bool{"m": true, "nope": false} {
		if a, err := client.ModelReady(ctx, &pb.ModelReadyRequest{Name: name}); err != nil || a.GetReady() != want {
			t.Errorf("model %s ready: %v, %v", name, a, err)
		}
	}
	if a, err := client.ModelMetadata(ctx, &pb.ModelMetadataRequest{Name: "m"}); err != nil || len(a.GetVersions()) != 2 || a.GetInputs()[0].GetName() != "x" {
		t.Errorf("metadata: %v, %v", a, err)
	}
	if a, err := client.ModelConfig(ctx, &pb.ModelConfigRequest{Name: "m"}); err != nil || a.GetConfig().GetMaxBatchSize() != 32 {
		t.Errorf("config: %v, %v", a, err)
	}
	if a, err := client.ModelStatistics(ctx, &pb.ModelStatisticsRequest{Name: "m"}); err != nil || len(a.GetModelStats()) != 2 {
		t.Errorf("statistics: %v, %v", a, err)
	}
	if a, err := client.RepositoryIndex(ctx, &pb.RepositoryIndexRequest{}); err != nil || len(a.GetModels()) != 2 {
		t.Errorf("index: %v, %v", a, err)
	}
}

func TestRefusalsOverGRPC(t *testing.T) {
	r := start(t, strings.Replace(oneModel, "model:m", "model:m,fixed:30s", 1))
	client, _ := r.dial("http")
	wrong := echo("m", 1, 1)
	wrong.Inputs[0].Datatype = "FP64"
	short := echo("m", 1, 2)
	short.RawInputContents[0] = short.RawInputContents[0][:15]
	old := echo("m", 1, 1)
	old.ModelVersion = "9"
	for _, tc := range []struct {
		name   string
		call   func(context.Context) error
		code   codes.Code
		reason string
	}{
		{"unknown model", infers(client, echo("nope", 1, 1)), codes.NotFound, "UNKNOWN_MODEL"},
		{"unknown version", infers(client, old), codes.NotFound, "UNKNOWN_VERSION"},
		{"wrong type", infers(client, wrong), codes.InvalidArgument, "INVALID"},
		{"short data", infers(client, short), codes.InvalidArgument, "INVALID"},
		{"deadline", infers(client, echo("m", 1, 1)), codes.DeadlineExceeded, ""},
		{"load", func(ctx context.Context) error {
			_, err := client.RepositoryModelLoad(ctx, &pb.RepositoryModelLoadRequest{})
			return err
		}, codes.PermissionDenied, "FORBIDDEN"},
		{"shared memory", func(ctx context.Context) error {
			_, err := client.SystemSharedMemoryRegister(ctx, &pb.SystemSharedMemoryRegisterRequest{})
			return err
		}, codes.Unimplemented, "UNSUPPORTED"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			st := status.Convert(tc.call(ctx))
			if st.Code() != tc.code {
				t.Fatalf("%v, want %v", st, tc.code)
			}
			if tc.reason == "" {
				return // grpc-go notices its own deadline first
			}
			for _, d := range st.Details() {
				if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetReason() == tc.reason && info.GetDomain() == "sluice" {
					return
				}
			}
			t.Errorf("details %v, want the reason %s", st.Details(), tc.reason)
		})
	}
}

func infers(client pb.GRPCInferenceServiceClient, q *pb.ModelInferRequest) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := client.ModelInfer(ctx, q)
		return err
	}
}

func TestEachCallGetsItsOwnAnswer(t *testing.T) {
	r := start(t, strings.Replace(oneModel, "model:m", "model:m,fixed:200us,row:5us,slots:2", 1))
	const callers = 32
	each := 100
	if testing.Short() {
		each = 20
	}
	var wg sync.WaitGroup
	for c := range callers {
		client, _ := r.dial("http")
		wg.Go(func() {
			for i := range each {
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				if i%10 == 9 {
					time.AfterFunc(100*time.Microsecond, cancel)
				}
				q := echo("m", float32(c*each+i)*16, 1+i%3)
				a, err := client.ModelInfer(ctx, q)
				switch {
				case err != nil && status.Code(err) != codes.Canceled:
					t.Errorf("%v", err)
				case err == nil && string(a.GetRawOutputContents()[0]) != string(q.RawInputContents[0]):
					t.Errorf("caller %d got somebody else's answer", c)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	waitFor(t, "nothing is in flight", func() bool {
		_, body := r.call("metrics", "GET", "/metrics", "")
		return strings.Contains(body, `sluice_in_flight_requests{model="m"} 0`)
	})
}

func TestDrainAnswersCallsInFlight(t *testing.T) {
	r := start(t, strings.Replace(oneModel, "model:m", "model:m,fixed:300ms,slots:8", 1))
	var wg sync.WaitGroup
	for range 4 {
		client, _ := r.dial("http")
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if _, err := client.ModelInfer(ctx, echo("m", 1, 1)); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, "all are in flight", func() bool {
		_, body := r.call("admin", "GET", "/v1/status", "")
		return strings.Contains(body, `"in_flight_requests": 4`)
	})
	r.stop()
	wg.Wait()
	if err := r.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestTwoDataPortsSpeakBoth(t *testing.T) {
	r := start(t, oneModel)
	text := strings.Replace(listen, `http: {address: "127.0.0.1:0"}`, "http: {address: \"127.0.0.1:0\"}\n  grpc: {address: \"127.0.0.1:0\"}", 1)
	r.rewrite(text + oneModel)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{"http", "grpc"} {
		client, conn := r.dial(port)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if _, err := client.ModelInfer(ctx, echo("m", 1, 1)); err != nil {
			t.Errorf("gRPC on %s: %v", port, err)
		}
		cancel()
		_ = conn.Close()
		if status, body := r.call(port, "POST", "/v2/models/m/infer", ask); status != 200 {
			t.Errorf("REST on %s: %d %s", port, status, body)
		}
	}
	r.rewrite(listen + oneModel)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if _, there := r.g.Addresses()["grpc"]; there {
		t.Error("the second port is open although the file leaves it out")
	}
}
