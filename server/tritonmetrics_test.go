package server_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/server"
)

// TestTritonMetrics reads what was counted as tools do that know a Triton's metrics.
func TestTritonMetrics(t *testing.T) {
	e := newEdge(t, puppet.Options{Models: []*infer.Model{puppet.Echo("echo", 8), puppet.Echo(`odd"name`, 0)}}, server.Options{})
	e.metric.Batches = func(model, _ string) int64 { return int64(len(model)) }
	e.metric.Queued = func(model, _ string) int64 { return int64(len(model)) - 1 }
	e.do(binaryInfer(3, 2)).answer.Release()
	e.do(&exchange{method: "POST", path: "/v2/models/echo/infer", body: []byte("{")}).answer.Release()
	page := string(e.metric.AppendTriton(nil))
	for _, want := range []string{
		`nv_inference_request_success{model="echo",version="1"} 1`,
		`nv_inference_request_failure{model="echo",reason="BACKEND",version="1"} 0`,
		`nv_inference_request_failure{model="echo",reason="CANCELED",version="1"} 0`,
		`nv_inference_request_failure{model="echo",reason="OTHER",version="1"} 1`,
		`nv_inference_request_failure{model="echo",reason="REJECTED",version="1"} 0`,
		`nv_inference_count{model="echo",version="1"} 3`,
		`nv_inference_exec_count{model="echo",version="1"} 4`,
		`nv_inference_pending_request_count{model="echo",version="1"} 3`,
		`nv_inference_request_success{model="odd\"name",version="1"} 0`,
	} {
		if !strings.Contains(page, "\n"+want+"\n") {
			t.Errorf("there is no line %s in\n%s", want, page)
		}
	}
	plain := regexp.MustCompile(`^(# (HELP|TYPE) )?nv_inference_\w+`)
	sample := regexp.MustCompile(`^nv_inference_\w+\{model="(?:[^"\\]|\\.)+",(?:reason="[A-Z]+",)?version="\d+"\} \d+$`)
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		if !plain.MatchString(line) || line[0] != '#' && !sample.MatchString(line) {
			t.Errorf("line %q is of another form", line)
		}
	}
	for _, name := range []string{"request", "queue", "compute_input", "compute_infer", "compute_output"} {
		if !strings.Contains(page, "# TYPE nv_inference_"+name+"_duration_us counter\n") {
			t.Errorf("there is no family of the %s duration", name)
		}
	}
}
