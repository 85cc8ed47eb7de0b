package gateway_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

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
		if status, got := r.infer(model); status != 200 || got != version {
			t.Errorf("%s over REST: %d %s", model, status, got)
		}
	}
	answers("mine", "7")
	r.write(pool + mine + ", {name: two, targets: [{version: \"1\", pool: servers}]}]\n")
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new model serves", func() bool { status, _ := r.infer("two"); return status == 200 })
	answers("two", "1")
}

// TestSluiceBehindSluice has one serve what another serves.
func TestSluiceBehindSluice(t *testing.T) {
	server := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{
		puppet.Raw("alone", tensor.FP32, 0), puppet.Raw("merging", tensor.FP32, 8),
	}})
	inner := start(t, tritonPool(server))
	outer := start(t, fmt.Sprintf(
		"pools: [{name: inner, kind: kserve, protocol: grpc, discover: true, health: {interval: 30ms}, endpoints: [{address: %q}]}]\n", inner.g.Addresses()["http"]))
	for _, model := range []string{"alone", "merging"} {
		waitFor(t, "the model serves", func() bool { status, _ := outer.infer(model); return status == 200 })
		client, _ := outer.dial("http")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		q := echo(model, 3, 2)
		q.Id = "seven"
		a, err := client.ModelInfer(ctx, q)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if a.GetModelName() != model || a.GetModelVersion() != "1" || a.GetId() != "seven" ||
			string(a.GetRawOutputContents()[0]) != string(q.RawInputContents[0]) {
			t.Errorf("%s: answered %v", model, a)
		}
	}
}
