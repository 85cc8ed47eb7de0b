package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
)

// TestLateServersServe has all servers of a pool be late to answer their looks.
func TestLateServersServe(t *testing.T) {
	models := []puppet.TritonModel{puppet.Raw("m", tensor.FP32, 0)}
	one, two := upstream(t, puppet.TritonOptions{Models: models}), upstream(t, puppet.TritonOptions{Models: models})
	d := &drained{start(t, strings.Replace(tritonPool(one, two), "interval: 30ms", "interval: 30ms, timeout: 50ms", 1)), "servers"}
	waitFor(t, "both are ready", func() bool {
		states := d.states()
		return states[one.Address()] == "ready" && states[two.Address()] == "ready"
	})
	one.Mute()
	two.Mute()
	defer two.Resume()
	defer one.Resume()
	waitFor(t, "both are asked as a last resort", func() bool {
		if status, _ := d.call("http", "GET", "/v2/models/m/ready", ""); status != 200 {
			t.Fatalf("the model is not ready: %d", status)
		}
		states := d.states()
		return states[one.Address()] == "panic" && states[two.Address()] == "panic"
	})
	_, body := d.call("metrics", "GET", "/metrics", "")
	for _, want := range []string{"sluice_endpoint_panic{endpoint=%q,pool=\"servers\"} 1", "sluice_endpoint_healthy{endpoint=%q,pool=\"servers\"} 0"} {
		if want = fmt.Sprintf(want, one.Address()); !strings.Contains(body, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if status, body := d.infer("m"); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}
