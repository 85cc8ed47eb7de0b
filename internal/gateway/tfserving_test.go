package gateway_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/tensor"
)

// tfServing starts a puppet that ends with the test.
func tfServing(t *testing.T, opts puppet.TFServingOptions) *puppet.TFServing {
	t.Helper()
	p, err := puppet.StartTFServing(opts)
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, p)
	return p
}

// tfPool is a pool of servers, with more keys.
func tfPool(more string, servers ...string) string {
	return fmt.Sprintf("pools: [{name: tf, kind: tfserving, health: {interval: 30ms}, endpoints: [{address: \"%s\"}]%s}]\n",
		strings.Join(servers, `"}, {address: "`), more)
}

// TestTFServingDiscovers serves every version of a model that the pool names, the highest by default.
func TestTFServingDiscovers(t *testing.T) {
	one, two := puppet.TFEcho("m"), puppet.TFEcho("m")
	two.Version, two.State = 2, pb.ModelVersionStatus_LOADING
	server := tfServing(t, puppet.TFServingOptions{Models: []puppet.TFModel{one, puppet.TFEcho("hidden")}})
	r := start(t, tfPool(", discover: true, models: [m]", server.Address()))
	waitFor(t, "version 1 answers", func() bool { status, version := r.infer("m"); return status == 200 && version == "1" })
	if status, text := r.infer("hidden"); status != 404 {
		t.Errorf("a model that nobody names: %d %s", status, text)
	}
	server.Put(two)
	waitFor(t, "version 2 is seen loading", func() bool {
		_, body := r.call("admin", "GET", "/v1/models/m", "")
		return strings.Contains(body, `"loading"`)
	})
	if status, version := r.infer("m"); status != 200 || version != "1" {
		t.Errorf("while version 2 loads: %d %s", status, version)
	}
	two.State = pb.ModelVersionStatus_AVAILABLE
	server.Put(two)
	waitFor(t, "version 2 answers", func() bool { status, version := r.infer("m"); return status == 200 && version == "2" })
	two.State, two.Why = pb.ModelVersionStatus_END, "it was taken"
	server.Put(two)
	waitFor(t, "version 1 answers again", func() bool { status, version := r.infer("m"); return status == 200 && version == "1" })
}

// TestTFServingLabels serves what is discovered by the labels of its servers, which move one after the other.
func TestTFServingLabels(t *testing.T) {
	one, two := puppet.TFEcho("m"), puppet.TFEcho("m")
	two.Version = 2
	var servers []*puppet.TFServing
	for range 2 {
		s := tfServing(t, puppet.TFServingOptions{Models: []puppet.TFModel{one, two}})
		s.Label("m", "stable", 1)
		servers = append(servers, s)
	}
	r := start(t, tfPool(", discover: true, models: [m], labels: [stable]", servers[0].Address(), servers[1].Address()))
	by := func(version string) func() bool {
		return func() bool {
			status, body := r.call("http", "POST", "/v2/models/m/versions/stable/infer", ask)
			return status == 200 && strings.Contains(body, `"model_version":"`+version+`"`)
		}
	}
	waitFor(t, "the label is known", by("1"))
	servers[0].Label("m", "stable", 2)
	waitFor(t, "the label has begun to move", by("2"))
	servers[1].Label("m", "stable", 2)
	waitFor(t, "version 1 has no label any more", func() bool {
		_, body := r.call("admin", "GET", "/v1/models/m", "")
		return strings.Count(body, "stable") == 1
	})
	if !by("2")() {
		t.Error("the label does not lead to version 2")
	}
}

// TestTFServingTargets has targets that call the model and its versions otherwise, one of them by a label, and requests
// that merge because the configuration says so. A reload names another model.
func TestTFServingTargets(t *testing.T) {
	one, two := puppet.TFEcho("m"), puppet.TFEcho("m")
	two.Version = 2
	two.Signatures["other"] = puppet.TFSignature(pb.DataType_DT_FLOAT, []int64{-1, -1}, []string{"x"}, []string{"z"})
	asked := make(chan *pb.PredictRequest, 16)
	server := tfServing(t, puppet.TFServingOptions{
		Models: []puppet.TFModel{one, two, puppet.TFEcho("late")},
		Script: func(_ int64, q *pb.PredictRequest) (v puppet.TFVerdict) {
			asked <- q
			return v
		},
	})
	pool := tfPool("", server.Address())
	mine := `models: [{name: mine, batching: {max_batch_size: 8}, targets: [
  {version: "7", pool: tf, upstream: {model: m, version: "1"}, labels: [stable]},
  {version: "8", pool: tf, upstream: {model: m, version: "2"}, weight: 0, labels: [canary]}]}`
	r := start(t, pool+mine+"]\n")
	waitFor(t, "version 7 answers", func() bool { status, version := r.infer("mine"); return status == 200 && version == "7" })
	for len(asked) > 0 {
		<-asked
	}
	// The two versions differ, so that each is asked for by its name.
	for path, want := range map[string]string{"/versions/7": "m 1 ", "/versions/stable": "m 1 ", "/versions/canary": "m 2 "} {
		status, body := r.call("http", "POST", "/v2/models/mine"+path+"/infer", ask)
		if status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
			continue
		}
		spec := (<-asked).GetModelSpec()
		if got := fmt.Sprintf("%s %d %s", spec.GetName(), spec.GetVersion().GetValue(), spec.GetSignatureName()); got != want {
			t.Errorf("%s was asked for as %q, want %q", path, got, want)
		}
	}
	status, body := r.call("http", "POST", "/v2/models/mine/versions/8/infer", strings.Replace(ask, "{", `{"parameters":{"signature_name":"other"},`, 1))
	if status != 200 || !strings.Contains(body, `"name":"z"`) || strings.Contains(body, `"name":"y"`) {
		t.Errorf("the other signature: %d %s", status, body)
	}
	if status, body = r.call("admin", "GET", "/v1/models/mine", ""); !strings.Contains(body, "up to 8 rows: batching.max_batch_size says so") {
		t.Errorf("how it merges: %d %s", status, body)
	}
	r.write(pool + mine + `, {name: late, targets: [{version: "1", pool: tf}]}]` + "\n")
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new model serves", func() bool { status, _ := r.infer("late"); return status == 200 })
	// It is said of one of two names that its requests merge: so they do not.
	r.write(pool + mine + `, {name: plain, targets: [{version: "1", pool: tf, upstream: {model: m, version: "1"}}]}]` + "\n")
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "nothing merges", func() bool {
		_, body := r.call("admin", "GET", "/v1/models/mine", "")
		return strings.Contains(body, "never: ") && !strings.Contains(body, "up to 8")
	})
}

// TestTFServingAnswersNonsense has a client told by 502 which pool that was.
func TestTFServingAnswersNonsense(t *testing.T) {
	server := tfServing(t, puppet.TFServingOptions{
		Models: []puppet.TFModel{puppet.TFEcho("m")},
		Script: func(int64, *pb.PredictRequest) puppet.TFVerdict {
			return puppet.TFVerdict{Mangle: func(r *pb.PredictResponse) { r.Outputs["y"].FloatVal = nil; r.Outputs["y"].StringVal = [][]byte{{1}} }}
		},
	})
	r := start(t, tfPool(", discover: true, models: [m]", server.Address()))
	waitFor(t, "the answer is refused", func() bool {
		status, text := r.infer("m")
		return status == 502 && strings.Contains(text, `pool "tf"`) && strings.Contains(text, "'y'")
	})
}

// TestBatchingChangesUnderLoad turns merging on and off by reloads. Nobody who asks meanwhile is told anything of it.
func TestBatchingChangesUnderLoad(t *testing.T) {
	server := tfServing(t, puppet.TFServingOptions{Models: []puppet.TFModel{puppet.TFEcho("m")}})
	pool := tfPool("", server.Address())
	model := func(batching string) string {
		return pool + "models: [{name: m, " + batching + "targets: [{version: \"1\", pool: tf}]}]\n"
	}
	r := start(t, model(""))
	stop, failed := make(chan struct{}), make(chan string, 4)
	var asking sync.WaitGroup
	for range cap(failed) {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status, text := r.infer("m"); status != 200 {
					failed <- fmt.Sprintf("%d %s", status, text)
					return
				}
			}
		})
	}
	for i := range 6 {
		batching, merges := "", `"never: `
		if i%2 == 0 {
			batching, merges = "batching: {max_batch_size: 8}, ", `"up to 8 rows`
		}
		r.write(model(batching))
		if err := r.reload(); err != nil {
			t.Error(err)
		}
		waitFor(t, "it is so", func() bool {
			_, body := r.call("admin", "GET", "/v1/models/m", "")
			return strings.Contains(body, merges)
		})
	}
	close(stop)
	asking.Wait()
	close(failed)
	for text := range failed {
		t.Errorf("a request failed: %s", text)
	}
}

// TestTFServingAtTwoServers has a version at one of two servers alone, as while a new one is rolled out.
func TestTFServingAtTwoServers(t *testing.T) {
	one, two := puppet.TFEcho("m"), puppet.TFEcho("m")
	two.Version = 2
	old := tfServing(t, puppet.TFServingOptions{Models: []puppet.TFModel{one}})
	both := tfServing(t, puppet.TFServingOptions{Models: []puppet.TFModel{one, two}})
	r := start(t, tfPool(", discover: true, models: [m]", old.Address(), both.Address()))
	waitFor(t, "version 2 answers", func() bool { status, version := r.infer("m"); return status == 200 && version == "2" })
	const asked = "/v2/models/m/versions/1/infer"
	waitFor(t, "version 1 answers at both", func() bool {
		if status, body := r.call("http", "POST", asked, ask); status != 200 {
			t.Fatalf("version 1: %d %s", status, body)
		}
		return old.Runs() > 0 && both.Runs() > 0
	})
	both.Close()
	waitFor(t, "version 1 is the highest", func() bool { status, version := r.infer("m"); return status == 200 && version == "1" })
	if status, body := r.call("http", "POST", "/v2/models/m/versions/2/infer", ask); status != 503 {
		t.Errorf("version 2: %d %s", status, body)
	}
	for range 20 {
		if status, body := r.call("http", "POST", asked, ask); status != 200 {
			t.Errorf("version 1: %d %s", status, body)
		}
	}
}

// TestServingBehindServing has a Sluice before another one, as if that were TensorFlow Serving.
func TestServingBehindServing(t *testing.T) {
	model := puppet.Raw("m", tensor.FP32, 8)
	inner := start(t, tritonPool(upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{model}})))
	outer := start(t, tfPool(", discover: true, models: [m]", inner.g.Addresses()["http"]))
	waitFor(t, "the model answers", func() bool { status, version := outer.infer("m"); return status == 200 && version == "1" })
	client, _ := outer.dial("http")
	q := echo("m", 3, 2)
	a, err := client.ModelInfer(soon(t), q)
	if err != nil {
		t.Fatal(err)
	}
	if a.GetModelName() != "m" || string(a.GetRawOutputContents()[0]) != string(q.RawInputContents[0]) {
		t.Errorf("answered %v", a)
	}
}
