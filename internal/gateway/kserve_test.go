package gateway_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// TestServerWithoutIndex has a server like the KServe SDK's: without an index, a configuration or versions, and
// with answers in typed contents. A reload names another of its models.
func TestServerWithoutIndex(t *testing.T) {
	one, two := puppet.Raw("one", tensor.FP32, 0), puppet.Raw("two", tensor.FP32, 0)
	one.Version, two.Version = "", ""
	server := upstream(t, puppet.TritonOptions{
		Models:  []puppet.TritonModel{one, two},
		Without: []string{"RepositoryIndex", "ModelConfig", "ModelStatistics"},
		Script: func(int64, *puppet.TritonRequest) (v puppet.TritonVerdict) {
			v.Mangle = func(r *pb.ModelInferResponse) {
				r.ModelVersion = ""
				for i, raw := range r.RawOutputContents {
					c := &pb.InferTensorContents{}
					for ; len(raw) > 0; raw = raw[4:] {
						c.Fp32Contents = append(c.Fp32Contents, math.Float32frombits(binary.LittleEndian.Uint32(raw)))
					}
					r.Outputs[i].Contents = c
				}
				r.RawOutputContents = nil
			}
			return v
		},
	})
	pool := fmt.Sprintf("pools: [{name: servers, kind: kserve, health: {interval: 30ms}, endpoints: [{address: %q}]}]\n", server.Address())
	mine := "models: [{name: mine, targets: [{version: \"7\", pool: servers, upstream: {model: one, version: \"1\"}}]}"
	r := start(t, pool+mine+"]\n")
	answers := func(model, version string) {
		t.Helper()
		client, _ := r.dial("http")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		q := echo(model, 3, 2)
		a, err := client.ModelInfer(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		if a.GetModelName() != model || a.GetModelVersion() != version || len(a.GetRawOutputContents()) != 1 ||
			string(a.GetRawOutputContents()[0]) != string(q.RawInputContents[0]) || a.GetOutputs()[0].GetContents() != nil {
			t.Errorf("%s: answered %v", model, a)
		}
		if code, got := r.infer(model); code != 200 || got != version {
			t.Errorf("%s over REST: %d %s", model, code, got)
		}
	}
	answers("mine", "7")
	r.write(pool + mine + ", {name: two, targets: [{version: \"1\", pool: servers}]}]\n")
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new model serves", func() bool { code, _ := r.infer("two"); return code == 200 })
	answers("two", "1")
	r.write(pool + mine + ", {name: two, targets: [{version: \"1\", pool: servers}], batching: {max_batch_size: 8}}]\n")
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new model merges", func() bool {
		_, body := r.call("admin", "GET", "/v1/models/two", "")
		return strings.Contains(body, "up to 8 rows: batching.max_batch_size says so")
	})
	answers("two", "1")
}

// TestSluiceBehindSluice has one serve what another serves, over gRPC and over REST.
func TestSluiceBehindSluice(t *testing.T) {
	server := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{
		puppet.Raw("alone", tensor.FP32, 0), puppet.Raw("merging", tensor.FP32, 8), puppet.Raw("halves", tensor.BF16, 8),
	}})
	inner := start(t, tritonPool(server))
	for _, protocol := range []string{"grpc", "rest", "v1"} {
		t.Run(protocol, func(t *testing.T) {
			outer := start(t, fmt.Sprintf("pools: [{name: inner, kind: kserve, protocol: %s, discover: true, health: {interval: 30ms}, endpoints: [{address: %q}]}]\n",
				protocol, inner.g.Addresses()["http"]))
			for _, model := range []string{"alone", "merging", "halves"} {
				behindSluice(t, outer, model)
			}
			code, body := outer.call("http", "POST", "/v1/models/alone:predict", `{"instances":[[0.1,-2],[3,4e5]]}`)
			if want := `{"predictions":[[0.1,-2.0],[3.0,400000.0]]}`; code != 200 || body != want {
				t.Errorf("predict: %d %s, want %s", code, body, want)
			}
		})
	}
}

// behindSluice asks a gateway for a model of the gateway behind it.
func behindSluice(t *testing.T, outer *running, model string) {
	t.Helper()
	client, _ := outer.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	q := echo(model, 3, 2)
	if q.Id = "seven"; model == "halves" {
		q.Inputs[0].Datatype, q.RawInputContents[0] = "BF16", q.RawInputContents[0][:8]
	}
	var a *pb.ModelInferResponse
	waitFor(t, "the model serves", func() (ok bool) {
		var err error
		a, err = client.ModelInfer(ctx, q)
		return err == nil
	})
	if a.GetModelName() != model || a.GetModelVersion() != "1" || a.GetId() != "seven" ||
		string(a.GetRawOutputContents()[0]) != string(q.RawInputContents[0]) {
		t.Errorf("%s: answered %v", model, a)
	}
	q.Inputs[0].Shape[0] = 5
	if _, err := client.ModelInfer(ctx, q); status.Code(err) != codes.InvalidArgument {
		t.Errorf("%s: a request that does not fit: %v", model, err)
	}
	if model == "halves" {
		return
	}
	if code, version := outer.infer(model); code != 200 || version != "1" {
		t.Errorf("%s over REST: %d %s", model, code, version)
	}
}
