package gateway_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// stream opens a stream to a port, which the test bounds.
func (r *running) stream(port string) pb.GRPCInferenceService_ModelStreamInferClient {
	r.t.Helper()
	client, _ := r.dial(port)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	r.t.Cleanup(cancel)
	stream, err := client.ModelStreamInfer(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	return stream
}

func TestStreamsShareTheLanesAndTheSplit(t *testing.T) {
	r := start(t, `
pools:
  - {name: p, kind: puppet, script: "model:m,repeat:d,fixed:200us"}
models:
  - {name: m, targets: [{version: "1", pool: p, weight: 3}, {version: "2", pool: p, weight: 1}]}
  - {name: d, targets: [{version: "1", pool: p, weight: 1}]}
telemetry: {access_log: {sample: 100%}}
`)
	stream := r.stream("http")
	const requests = 80
	go func() {
		for i := range requests {
			q := echo([]string{"m", "d"}[i%2], float32(i*100), 3)
			q.Id = fmt.Sprint(i)
			_ = stream.Send(q) // a failure ends what is received, too
		}
		_ = stream.CloseSend()
	}()
	next, versions, said := 0, map[string]int{}, 0
	for {
		a, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || a.GetErrorMessage() != "" {
			t.Fatalf("%v, %v", a, err)
		}
		m := a.GetInferResponse()
		if m.GetModelName() == "d" {
			said++
			continue
		}
		first := math.Float32frombits(binary.LittleEndian.Uint32(m.GetRawOutputContents()[0]))
		if m.GetId() != fmt.Sprint(next) || first != float32(next*100) {
			t.Fatalf("answer %q with %v, it was the turn of %d", m.GetId(), first, next)
		}
		versions[m.GetModelVersion()]++
		next += 2
	}
	if next != requests || said != requests/2*3 || versions["1"] != 30 || versions["2"] != 10 {
		t.Errorf("%d requests answered by versions %v, %d responses", next, versions, said)
	}
	_, body := r.call("metrics", "GET", "/metrics", "")
	for _, want := range []string{
		`sluice_requests_total{code="OK",model="m",protocol="grpc",version="1"} 30`,
		`sluice_requests_total{code="OK",model="m",protocol="grpc",version="2"} 10`,
		`sluice_requests_total{code="OK",model="d",protocol="grpc",version="1"} 40`,
		`sluice_in_flight_requests{model="m"} 0`,
		`sluice_in_flight_requests{model="d"} 0`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if log := r.logged(); strings.Count(log, "ModelStreamInfer") != requests {
		t.Errorf("%d lines in the access log, want %d", strings.Count(log, "ModelStreamInfer"), requests)
	}
	client, _ := r.dial("http")
	if _, err := client.ModelInfer(t.Context(), echo("d", 1, 1)); status.Code(err) != codes.Unimplemented {
		t.Errorf("a decoupled model over ModelInfer: %v", err)
	}
}

func TestDrainAnswersWhatIsOutstandingOnStreams(t *testing.T) {
	r := start(t, strings.Replace(oneModel, "model:m", "model:m,fixed:300ms,slots:8", 1))
	busy, idle := r.stream("http"), r.stream("http")
	for i := range 4 {
		if err := busy.Send(echo("m", float32(i), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := idle.Header(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "all are in flight", func() bool {
		_, body := r.call("metrics", "GET", "/metrics", "")
		return strings.Contains(body, `sluice_in_flight_requests{model="m"} 4`)
	})
	r.stop()
	for i := range 4 {
		a, err := busy.Recv()
		if err != nil || a.GetErrorMessage() != "" {
			t.Fatalf("answer %d: %v, %v", i, a, err)
		}
	}
	if _, err := busy.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	if _, err := idle.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the idle stream ended with %v", err)
	}
	if err := r.end(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestGraceCutsStreams(t *testing.T) {
	slow := strings.Replace(oneModel, "model:m", "model:m,fixed:1h", 1)
	r := start(t, slow)
	r.rewrite(strings.Replace(listen, "grace: 5s", "grace: 100ms", 1) + slow)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	stream := r.stream("http")
	if err := stream.Send(echo("m", 1, 1)); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it is in flight", func() bool {
		_, body := r.call("metrics", "GET", "/metrics", "")
		return strings.Contains(body, `sluice_in_flight_requests{model="m"} 1`)
	})
	r.stop()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
	_ = r.end() // which says that something was cut, and checks that nothing is left
}

func TestDigitsOverAStream(t *testing.T) {
	library := os.Getenv("SLUICE_ONNXRUNTIME")
	if library == "" {
		library, _ = filepath.Abs("../../.cache/onnxruntime/libonnxruntime.so")
	}
	if _, err := os.Stat(library); err != nil {
		t.Skip("no ONNX Runtime: run make onnxruntime")
	}
	t.Setenv("SLUICE_ONNXRUNTIME", library)
	src, err := os.ReadFile("../../examples/digits/heldout.json")
	if err != nil {
		t.Fatal(err)
	}
	var heldout struct {
		Images []struct {
			Label int64
			Image []float32
		}
	}
	if err := json.Unmarshal(src, &heldout); err != nil {
		t.Fatal(err)
	}
	models, _ := filepath.Abs("../../examples/digits/models")
	r := start(t, fmt.Sprintf(`
pools:
  - {name: local, kind: onnx, repository: %q, discover: true}
`, models))
	stream := r.stream("http")
	images := heldout.Images[:min(300, len(heldout.Images))]
	go func() {
		for i := range images {
			var raw []byte
			for _, v := range images[i].Image {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
			}
			_ = stream.Send(&pb.ModelInferRequest{ // a failure ends what is received, too
				ModelName: "digits", Id: fmt.Sprint(i), RawInputContents: [][]byte{raw},
				Inputs:  []*pb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "FP32", Shape: []int64{1, 64}}},
				Outputs: []*pb.ModelInferRequest_InferRequestedOutputTensor{{Name: "label"}},
			})
		}
		_ = stream.CloseSend()
	}()
	right := 0
	for i := range images {
		a, err := stream.Recv()
		if err != nil || a.GetInferResponse().GetId() != fmt.Sprint(i) {
			t.Fatalf("image %d: %v, %v", i, a, err)
		}
		if int64(binary.LittleEndian.Uint64(a.GetInferResponse().GetRawOutputContents()[0])) == images[i].Label {
			right++
		}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
	if right < len(images)*95/100 {
		t.Errorf("%d of %d digits are right", right, len(images))
	}
}

// TestStreamsThroughTritonUnderStress cuts streams at any moment while their server breaks connections, answers with
// failures and takes its leave.
func TestStreamsThroughTritonUnderStress(t *testing.T) {
	decoupled := puppet.Raw("d", tensor.FP32, 0)
	decoupled.Decoupled = true
	server := upstream(t, puppet.TritonOptions{
		Models: []puppet.TritonModel{decoupled, puppet.Raw("m", tensor.FP32, 8)},
		Script: func(run int64, _ *puppet.TritonRequest) (v puppet.TritonVerdict) {
			v.Responses = int(run % 7)
			switch run % 97 {
			case 3:
				v.Drop = true
			case 31:
				v.GoAway = true
			case 47:
				v.Status, v.Text = grpc.InvalidArgument, "the script says so"
			}
			return v
		},
	})
	r := start(t, tritonPool(server))
	const clients, requests = 6, 40
	streams := 20
	if testing.Short() {
		streams = 5
	}
	var answered, failed, broken atomic.Int64
	var wg sync.WaitGroup
	for c := range clients {
		client, _ := r.dial("http")
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 7))
			for range streams {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				if rng.IntN(2) == 0 {
					time.AfterFunc(time.Duration(rng.IntN(5000))*time.Microsecond, cancel)
				}
				if stream, err := client.ModelStreamInfer(ctx); err == nil {
					wg.Go(func() {
						for i := range requests {
							if stream.Send(echo([]string{"m", "d"}[i%2], float32(i), 1)) != nil {
								return
							}
						}
						_ = stream.CloseSend()
					})
					for err == nil {
						var a *pb.ModelStreamInferResponse
						if a, err = stream.Recv(); err == nil && a.GetErrorMessage() == "" {
							answered.Add(1)
						} else if err == nil {
							failed.Add(1)
						}
					}
					if !errors.Is(err, io.EOF) {
						broken.Add(1)
						if status.Code(err) != codes.Canceled {
							t.Errorf("a stream ended with %v", err)
						}
					}
				}
				cancel()
			}
		})
	}
	wg.Wait()
	waitFor(t, "nothing is in flight", func() bool {
		_, body := r.call("metrics", "GET", "/metrics", "")
		return strings.Contains(body, `sluice_in_flight_requests{model="m"} 0`) && strings.Contains(body, `sluice_in_flight_requests{model="d"} 0`)
	})
	if answered.Load() == 0 || failed.Load() == 0 || broken.Load() == 0 {
		t.Errorf("%d answers, %d failures, %d streams cut: want some of each", answered.Load(), failed.Load(), broken.Load())
	}
}
