package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
	"github.com/sluice-serving/sluice/wire/grpc"
)

// upstream starts a server that ends with the test.
func upstream(t *testing.T, opts puppet.TritonOptions) *puppet.Triton {
	t.Helper()
	p, err := puppet.StartTriton(opts)
	if err != nil {
		t.Fatal(err)
	}
	endWith(t, p)
	return p
}

// endWith ends a server with the test, and checks that all of its memory is back.
func endWith(t *testing.T, server interface {
	Close()
	Check() error
},
) {
	t.Cleanup(func() {
		server.Close()
		if err := server.Check(); err != nil {
			t.Error(err)
		}
	})
}

// tritonPool is a configuration of one pool of servers.
func tritonPool(servers ...*puppet.Triton) string {
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, fmt.Sprintf("{address: %q}", s.Address()))
	}
	return fmt.Sprintf(`pools:
  - name: servers
    kind: triton
    discover: true
    health: {interval: 30ms}
    endpoints: [%s]
`, strings.Join(addresses, ", "))
}

func TestPassesThroughToTriton(t *testing.T) {
	server := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{
		puppet.Raw("alone", tensor.FP32, 0), puppet.Raw("merging", tensor.FP32, 8),
	}})
	r := start(t, tritonPool(server))
	client, _ := r.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, model := range []string{"alone", "merging"} {
		for tag, version := range []string{"", "1"} {
			q := echo(model, float32(tag), 3)
			q.Id, q.ModelVersion = "seven", version
			a, err := client.ModelInfer(ctx, q)
			if err != nil {
				t.Fatalf("%s: %v", model, err)
			}
			if a.GetModelName() != model || a.GetModelVersion() != "1" || a.GetId() != "seven" ||
				string(a.GetRawOutputContents()[0]) != string(q.RawInputContents[0]) {
				t.Errorf("%s: answered %v", model, a)
			}
		}
		if status, version := r.infer(model); status != 200 || version != "1" {
			t.Errorf("%s over REST: %d %s", model, status, version)
		}
	}
	if _, err := client.ModelInfer(ctx, echo("merging", 1, 9)); status.Code(err) != codes.InvalidArgument {
		t.Errorf("more rows than the model takes: %v", err)
	}
	_, body := r.call("metrics", "GET", "/metrics", "")
	for _, want := range []string{
		fmt.Sprintf(`sluice_upstream_requests_total{code="OK",endpoint=%q,model="alone",pool="servers"} 3`, server.Address()),
		fmt.Sprintf(`sluice_endpoint_healthy{endpoint=%q,pool="servers"} 1`, server.Address()),
		fmt.Sprintf(`sluice_endpoint_in_flight{endpoint=%q,pool="servers"} 0`, server.Address()),
		`sluice_batches_total{cause="direct",model="alone",version="1"} 3`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	_, body = r.call("admin", "GET", "/v1/pools", "")
	for _, want := range []string{`"state": "ready"`, fmt.Sprintf(`"name": %q`, server.Address())} {
		if !strings.Contains(body, want) {
			t.Errorf("the pools lack %s:\n%s", want, body)
		}
	}
}

// TestRenamesForTriton has the names that clients use differ from the server's.
func TestRenamesForTriton(t *testing.T) {
	m := puppet.Raw("theirs", tensor.FP32, 0)
	m.Version = "7"
	saw := make(chan string, 1)
	server := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{m}, Script: func(_ int64, q *puppet.TritonRequest) puppet.TritonVerdict {
		saw <- string(q.Model) + " " + string(q.Version)
		return puppet.TritonVerdict{}
	}})
	r := start(t, strings.Replace(tritonPool(server), "    discover: true\n", "", 1)+`models:
  - name: ours
    targets: [{version: "2", pool: servers, upstream: {model: theirs, version: "7"}}]
`)
	client, _ := r.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, err := client.ModelInfer(ctx, echo("ours", 1, 1))
	if err != nil || a.GetModelName() != "ours" || a.GetModelVersion() != "2" {
		t.Errorf("answered %v, %v", a, err)
	}
	if got := <-saw; got != "theirs 7" {
		t.Errorf("the server was asked for %q", got)
	}
}

// TestTritonComesAndGoes starts without its server, which comes, goes, and comes back.
func TestTritonComesAndGoes(t *testing.T) {
	models := []puppet.TritonModel{puppet.Raw("m", tensor.FP32, 8)}
	server := upstream(t, puppet.TritonOptions{Models: models})
	address := server.Address()
	config := tritonPool(server)
	server.Close()
	r := start(t, config)
	if status, body := r.infer("m"); status != 503 {
		t.Errorf("without its server: %d %s", status, body)
	}
	for round := range 2 {
		server = upstream(t, puppet.TritonOptions{Address: address, Models: models})
		waitFor(t, "the model serves", func() bool { status, _ := r.infer("m"); return status == 200 })
		server.Close()
		waitFor(t, "the model is not ready", func() bool {
			status, _ := r.call("http", "GET", "/v2/models/m/ready", "")
			return status == 400
		})
		if status, body := r.infer("m"); status != 503 || !strings.Contains(body, "no server has it ready") || strings.Contains(body, address) {
			t.Errorf("after its server: %d %s", status, body)
		}
		_, body := r.call("metrics", "GET", "/metrics", "")
		for _, want := range []string{
			fmt.Sprintf(`sluice_requests_total{code="OK",model="m",protocol="http",version="1"} %d`, round+1),
			fmt.Sprintf(`sluice_batches_total{cause="direct",model="m",version="1"} %d`, round+1),
		} {
			if !strings.Contains(body, want) {
				t.Errorf("the metrics lack %s", want)
			}
		}
	}
}

// TestTritonFailuresReachTheClient checks that a server's own words and code arrive.
// TestTellsWhereVersionsDiffer has versions of one model that take other inputs, and servers that disagree.
func TestTellsWhereVersionsDiffer(t *testing.T) {
	second := puppet.Raw("m", tensor.Int64, 0)
	second.Version = "2"
	one := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{puppet.Raw("m", tensor.FP32, 0), second}})
	two := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{puppet.Raw("m", tensor.FP32, 0)}})
	three := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{second}})
	three.Unload("m", true)
	r := start(t, tritonPool(one, two, three))
	_, body := r.call("admin", "GET", "/v1/models/m", "")
	if want := `"differs": "from version 1: input \"x\" is INT64 [-1,-1] instead of FP32 [-1,-1]"`; strings.Count(body, `"differs"`) != 1 || !strings.Contains(body, want) {
		t.Errorf("the model is %s\nwant %s once", body, want)
	}
	var view struct {
		Endpoints []struct {
			Models []struct{ Name, Version, State, Reason string } `json:"models"`
		} `json:"endpoints"`
	}
	_, body = r.call("admin", "GET", "/v1/pools/servers", "")
	if err := json.Unmarshal([]byte(body), &view); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, e := range view.Endpoints {
		for _, m := range e.Models {
			got = append(got, fmt.Sprintf("%d: %s %s %s %s", i, m.Name, m.Version, m.State, m.Reason))
		}
	}
	want := "0: m 1 ready , 0: m 2 ready , 1: m 1 ready , 2: m 2 unavailable unloaded"
	if strings.Join(got, ", ") != want {
		t.Errorf("the endpoints have %s\nwant %s", strings.Join(got, ", "), want)
	}
}

func TestTritonFailuresReachTheClient(t *testing.T) {
	server := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{puppet.Raw("m", tensor.FP32, 0)}, Script: func(run int64, _ *puppet.TritonRequest) puppet.TritonVerdict {
		return puppet.TritonVerdict{Status: grpc.InvalidArgument, Text: "this is not what the model takes"}
	}})
	r := start(t, tritonPool(server))
	client, _ := r.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := client.ModelInfer(ctx, echo("m", 1, 1))
	if st := status.Convert(err); st.Code() != codes.InvalidArgument || st.Message() != "this is not what the model takes" {
		t.Errorf("got %v", err)
	}
	if status, body := r.infer("m"); status != 400 || body != "this is not what the model takes" {
		t.Errorf("over REST: %d %s, want %s", status, body, infer.Invalid)
	}
}

// TestStreamsThroughTriton sends requests to a decoupled model and to an ordinary one over one stream.
func TestStreamsThroughTriton(t *testing.T) {
	many := puppet.Raw("many", tensor.FP32, 0)
	many.Decoupled = true
	server := upstream(t, puppet.TritonOptions{
		Models: []puppet.TritonModel{many, puppet.Raw("one", tensor.FP32, 8)},
		Script: func(_ int64, q *puppet.TritonRequest) puppet.TritonVerdict {
			return puppet.TritonVerdict{Responses: 50}
		},
	})
	r := start(t, tritonPool(server))
	client, _ := r.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := client.ModelStreamInfer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, model := range []string{"many", "one"} {
		q := echo(model, 1, 1)
		q.Id = model
		if err := stream.Send(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for {
		a, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || a.GetErrorMessage() != "" {
			t.Fatalf("%v, %v", a, err)
		}
		if raw := a.GetInferResponse().GetRawOutputContents(); len(raw) == 1 && len(raw[0]) == 8 {
			got[a.GetInferResponse().GetId()]++
		}
	}
	if got["many"] != 50 || got["one"] != 1 {
		t.Errorf("responses %v, want 50 and 1", got)
	}
	_, err = client.ModelInfer(ctx, echo("many", 1, 1))
	if status.Code(err) != codes.Unimplemented && err != nil {
		t.Errorf("a decoupled model, asked for one answer: %v", err)
	}
}
