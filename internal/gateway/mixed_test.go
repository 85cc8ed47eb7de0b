package gateway_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/internal/puppet"
	v2 "github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// TestProtocolsShareBatches sends requests of every protocol at once, so that those of several travel in one batch, and
// holds that each gets its own rows back.
func TestProtocolsShareBatches(t *testing.T) {
	for _, tc := range []struct {
		name  string
		start func(t *testing.T) *running
	}{
		{"in this process", func(t *testing.T) *running {
			return start(t, strings.Replace(oneModel, "model:m", "model:m,fixed:300us,slots:1", 1))
		}},
		{"triton", func(t *testing.T) *running {
			m := puppet.Raw("m", tensor.FP32, 8)
			m.Instances, m.Fixed = 1, 300*time.Microsecond
			server := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{m}})
			return start(t, tritonPool(server))
		}},
		{"tensorflow serving", func(t *testing.T) *running {
			server := tfServing(t, puppet.TFServingOptions{Models: []puppet.TFModel{puppet.TFEcho("m")}})
			return start(t, tfPool(", slots: 1", server.Address())+`models: [{name: m, batching: {max_batch_size: 16}, targets: [{version: "1", pool: tf}]}]`+"\n")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := tc.start(t)
			waitFor(t, "the model answers", func() bool { status, _ := r.infer("m"); return status == 200 })
			sendMixed(t, r)
			metrics := func() string { _, text := r.call("metrics", "GET", "/metrics", ""); return text }
			waitFor(t, "nothing is in flight", func() bool { return strings.Contains(metrics(), `sluice_in_flight_requests{model="m"} 0`) })
			if count, sum := batchRows(metrics()); count == 0 || sum <= count {
				t.Errorf("%v batches of %v rows: nothing merged", count, sum)
			}
		})
	}
}

// sendMixed has callers that each use one protocol after the other.
func sendMixed(t *testing.T, r *running) {
	each := 200
	if testing.Short() {
		each = 50
	}
	var wg sync.WaitGroup
	for c := range 16 {
		client, conn := r.dial("http")
		predictions := pb.NewPredictionServiceClient(conn)
		wg.Go(func() {
			for i := range each {
				tag := float32(c*each+i) * 4
				q := echo("m", tag, 1+i%2)
				want := fmt.Sprintf("%x", q.RawInputContents[0])
				var got string
				var err error
				switch (c + i) % 4 {
				case 0:
					a, fault := client.ModelInfer(soon(t), q)
					err = fault
					if fault == nil {
						got = fmt.Sprintf("%x", a.GetRawOutputContents()[0])
					}
				case 1:
					a, fault := predictions.Predict(soon(t), predictionOf(q))
					if err = fault; err == nil {
						got = fmt.Sprintf("%x", bytesOf(a.GetOutputs()["y"].GetFloatVal(), a.GetOutputs()["y"].GetTensorContent()))
					}
				case 2:
					got, err = overREST(r, "/v1/models/m:predict", fmt.Sprintf(`{"inputs":%s}`, rowsOf(q)))
				case 3:
					got, err = overREST(r, "/v1/models/m:predict", fmt.Sprintf(`{"instances":%s}`, rowsOf(q)))
				}
				if err != nil || got != want {
					t.Errorf("caller %d, request %d: %s, %v; want %s", c, i, got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

// predictionOf is the request of another protocol.
func predictionOf(q *v2.ModelInferRequest) *pb.PredictRequest {
	x := &pb.TensorProto{Dtype: pb.DataType_DT_FLOAT, TensorShape: &pb.TensorShapeProto{}, TensorContent: q.RawInputContents[0]}
	for _, n := range q.Inputs[0].Shape {
		x.TensorShape.Dim = append(x.TensorShape.Dim, &pb.TensorShapeProto_Dim{Size: n})
	}
	return &pb.PredictRequest{ModelSpec: &pb.ModelSpec{Name: q.ModelName}, Inputs: map[string]*pb.TensorProto{"x": x}}
}

// bytesOf are those of a tensor that came as a list or as content.
func bytesOf(list []float32, content []byte) []byte {
	for _, f := range list {
		content = binary.LittleEndian.AppendUint32(content, math.Float32bits(f))
	}
	return content
}

// rowsOf is the tensor of a request as JSON.
func rowsOf(q *v2.ModelInferRequest) string {
	var rows [][2]float32
	for raw := q.RawInputContents[0]; len(raw) > 0; raw = raw[8:] {
		rows = append(rows, [2]float32{math.Float32frombits(binary.LittleEndian.Uint32(raw)), math.Float32frombits(binary.LittleEndian.Uint32(raw[4:]))})
	}
	b, err := json.Marshal(rows)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// overREST returns the bytes of the tensor that answers.
func overREST(r *running, path, body string) (string, error) {
	status, text := r.call("http", "POST", path, body)
	var answer struct{ Outputs, Predictions [][]float32 }
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 {
		return "", fmt.Errorf("%d %s: %w", status, text, err)
	}
	var all []byte
	for _, row := range append(answer.Outputs, answer.Predictions...) {
		all = bytesOf(row, all)
	}
	return fmt.Sprintf("%x", all), nil
}

// batchRows returns how many batches ran, and how many rows they had.
func batchRows(metrics string) (count, sum float64) {
	for line := range strings.Lines(metrics) {
		var v float64
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if _, err := fmt.Sscan(value, &v); err != nil {
			continue
		}
		switch {
		case strings.HasPrefix(name, "sluice_batch_rows_count{"):
			count += v
		case strings.HasPrefix(name, "sluice_batch_rows_sum{"):
			sum += v
		}
	}
	return count, sum
}
