package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sluice-serving/sluice/admin"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
)

// get asks a port for JSON.
func get[T any](r *running, port, path string) (v T) {
	r.t.Helper()
	status, body := r.call(port, "GET", path, "")
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != http.StatusOK {
		r.t.Fatalf("GET %s: %d %v: %s", path, status, err, body)
	}
	return v
}

// drained is a gateway in front of servers that may be drained.
type drained struct {
	*running
	pool string
}

// change drains an endpoint, or ends that, and returns the state of each endpoint then.
func (d *drained) change(endpoint, verb string) map[string]string {
	d.t.Helper()
	path := "/v1/pools/" + d.pool + "/endpoints/" + url.PathEscape(endpoint) + ":" + verb
	if status, body := d.call("admin", "POST", path, ""); status != http.StatusOK {
		d.t.Fatalf("%s of %s: %d %s", verb, endpoint, status, body)
	}
	return d.states()
}

func (d *drained) states() map[string]string {
	d.t.Helper()
	states := map[string]string{}
	for _, e := range get[admin.Pool](d.running, "admin", "/v1/pools/"+d.pool).Endpoints {
		states[e.Name] = e.State
	}
	return states
}

// TestDrainsAnEndpoint drains one of two servers, then the other too, for requests that merge and those that do not.
func TestDrainsAnEndpoint(t *testing.T) {
	models := []puppet.TritonModel{puppet.Raw("alone", tensor.FP32, 0), puppet.Raw("merging", tensor.FP32, 8)}
	script := func(_ int64, q *puppet.TritonRequest) puppet.TritonVerdict {
		return puppet.TritonVerdict{Hold: string(q.ID) == "held"}
	}
	one := upstream(t, puppet.TritonOptions{Models: models, Script: script})
	two := upstream(t, puppet.TritonOptions{Models: models, Script: script})
	config := tritonPool(one, two)
	d := &drained{start(t, config), "servers"}
	client, _ := d.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	waitFor(t, "both have been found", func() bool { return d.states()[one.Address()] == "ready" && d.states()[two.Address()] == "ready" })

	// One call runs at the server that is drained, and ends there.
	held := make(chan error, 1)
	q := echo("alone", 1, 1)
	q.Id = "held"
	go func() {
		_, err := client.ModelInfer(ctx, q)
		held <- err
	}()
	waitFor(t, "a server has the call", func() bool { return one.Stats().Running+two.Stats().Running == 1 })
	leaving, staying := one, two
	if two.Stats().Running == 1 {
		leaving, staying = two, one
	}
	if states := d.change(leaving.Address(), "drain"); states[leaving.Address()] != "draining" || states[staying.Address()] != "ready" {
		t.Errorf("states %v while a call runs at the drained server", states)
	}
	before := leaving.Stats().Calls
	for i := range 40 {
		for _, model := range []string{"alone", "merging"} {
			if _, err := client.ModelInfer(ctx, echo(model, float32(i), 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := leaving.Stats().Calls - before; n != 0 {
		t.Errorf("%d calls went to a drained server", n)
	}
	leaving.Step()
	if err := <-held; err != nil {
		t.Errorf("the call that ran: %v", err)
	}
	waitFor(t, "it is idle", func() bool { return d.states()[leaving.Address()] == "drained" })
	if _, body := d.call("metrics", "GET", "/metrics", ""); !strings.Contains(body,
		fmt.Sprintf(`sluice_endpoint_drained{endpoint=%q,pool="servers"} 1`, leaving.Address())) {
		t.Error("the metrics do not tell of the drain")
	}

	// A reload that opens the pool anew leaves it so.
	d.write(strings.Replace(config, "    discover: true\n", "    discover: true\n    slots: 3\n", 1))
	if err := d.reload(); err != nil {
		t.Fatal(err)
	}
	if states := d.states(); states[leaving.Address()] != "drained" {
		t.Errorf("states %v after a reload", states)
	}
	waitFor(t, "it serves", func() bool { status, _ := d.infer("alone"); return status == 200 })
	before = leaving.Stats().Calls
	for range 20 {
		if status, body := d.infer("alone"); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	if n := leaving.Stats().Calls - before; n != 0 {
		t.Errorf("%d calls went to a drained server after a reload", n)
	}

	d.change(staying.Address(), "drain")
	for _, model := range []string{"alone", "merging"} {
		status, body := d.call("http", "POST", "/v2/models/"+model+"/infer", ask)
		if status != 503 || !strings.Contains(body, `"NO_ENDPOINT"`) || !strings.Contains(body, "an operator has drained every endpoint that has it") {
			t.Errorf("%s where all are drained: %d %s", model, status, body)
		}
		if status, _ = d.call("http", "GET", "/v2/models/"+model+"/ready", ""); status != 400 {
			t.Errorf("%s is ready where all are drained: %d", model, status)
		}
	}
	if _, err := client.ModelInfer(ctx, echo("alone", 1, 1)); status.Code(err) != codes.Unavailable {
		t.Errorf("over gRPC: %v", err)
	}
	if got := get[admin.Model](d.running, "admin", "/v1/models/alone").Versions[0]; got.State != "drained" {
		t.Errorf("the version is %s: %s", got.State, got.Reason)
	}
	if states := d.change(leaving.Address(), "undrain"); states[leaving.Address()] != "ready" {
		t.Errorf("states %v after the drain", states)
	}
	for _, model := range []string{"alone", "merging"} {
		if status, body := d.infer(model); status != 200 {
			t.Errorf("%s after the drain: %d %s", model, status, body)
		}
	}
}

// TestADrainRefusesWhoWaits has a request wait for a slot at the only server, which is drained then.
func TestADrainRefusesWhoWaits(t *testing.T) {
	server := upstream(t, puppet.TritonOptions{Models: []puppet.TritonModel{puppet.Raw("m", tensor.FP32, 8)}, Hold: true})
	d := &drained{start(t, strings.Replace(tritonPool(server), "    discover: true\n", "    discover: true\n    slots: 1\n", 1)), "servers"}
	client, _ := d.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ends := make(chan error, 2)
	for i := range 2 {
		go func() {
			_, err := client.ModelInfer(ctx, echo("m", float32(i), 1))
			ends <- err
		}()
		waitFor(t, "a call runs", func() bool { return server.Stats().Running == 1 })
	}
	waitFor(t, "the other one waits", func() bool {
		return get[admin.Model](d.running, "admin", "/v1/models/m").Versions[0].Traffic.QueuedRows == 1
	})
	d.change(server.Address(), "drain")
	if err := <-ends; status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "drained every endpoint") {
		t.Errorf("the one that waited ended with %v", err)
	}
	server.Step()
	if err := <-ends; err != nil {
		t.Errorf("the one that ran ended with %v", err)
	}
}

// TestDrainsWhatThereIs asks for drains of what is not there.
func TestDrainsWhatThereIs(t *testing.T) {
	server := upstream(t, puppet.TritonOptions{})
	r := start(t, tritonPool(server)+"  - {name: puppets, kind: puppet, discover: true, script: \"fixed:0s\"}\n")
	for path, want := range map[string]string{
		"/v1/pools/servers/endpoints/10.0.0.1:1:drain": "has no endpoint",
		"/v1/pools/nobody/endpoints/x:drain":           "no pool",
	} {
		if status, body := r.call("admin", "POST", path, ""); status != 404 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if err := r.g.Drain(t.Context(), "puppets", "x", true); err == nil || !strings.Contains(err.Error(), "could be drained") {
		t.Errorf("a kind without endpoints: %v", err)
	}
}
