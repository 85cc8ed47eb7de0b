package server_test

import (
	"encoding/json"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/server"
	"github.com/sluice-serving/sluice/wire"
)

func itoa(n int) string { return strconv.Itoa(n) }

const echoJSON = `{"id":"7","inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1.5,-2]}]}`

func TestInferInJSON(t *testing.T) {
	e := newEdge(t, puppet.Options{}, server.Options{})
	x := e.do(&exchange{
		method: "POST", path: "/v2/models/echo/infer", body: []byte(echoJSON),
		headers: []wire.Header{{Name: "X-Request-Id", Value: []byte("mine")}},
	})
	defer x.answer.Release()
	want := `{"id":"7","model_name":"echo","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[1.5,-2.0]}]}`
	if x.status != 200 || x.text() != want || x.contentType != "application/json" {
		t.Errorf("%d %s %s, want %s", x.status, x.contentType, x.text(), want)
	}
	if x.header("X-Request-Id") != "mine" || x.header("Sluice-Version") != "1" || !strings.HasPrefix(x.header("Server-Timing"), "queue;dur=") {
		t.Errorf("headers %v", x.answerHeaders)
	}
	if x.header("Inference-Header-Content-Length") != "" {
		t.Error("a JSON answer has the header of the binary form")
	}
}

func TestInferInBinary(t *testing.T) {
	e := newEdge(t, puppet.Options{}, server.Options{})
	x := e.do(binaryInfer(3, 5))
	defer x.answer.Release()
	n, err := strconv.Atoi(x.header("Inference-Header-Content-Length"))
	if x.status != 200 || err != nil || x.contentType != "application/octet-stream" {
		t.Fatalf("%d %s %v: %s", x.status, x.contentType, err, x.text())
	}
	if got, want := x.text()[n:], string(binaryInfer(3, 5).body[len(binaryInfer(3, 5).body)-60:]); got != want {
		t.Errorf("answered %x, want %x", got, want)
	}
}

func TestRefusals(t *testing.T) {
	e := newEdge(t, puppet.Options{}, server.Options{Prefix: "/ml"})
	infer := "/ml/v2/models/echo/infer"
	for _, tc := range []struct {
		name, method, path, body string
		headers                  []wire.Header
		status                   int
		code, says               string
	}{
		{"unknown model", "POST", "/ml/v2/models/nope/infer", "{}", nil, 404, "UNKNOWN_MODEL", `there is \"echo\"`},
		{"unknown version", "POST", "/ml/v2/models/echo/versions/9/infer", "{}", nil, 404, "UNKNOWN_VERSION", `it has \"1\"`},
		{"no such path", "POST", "/ml/v3", "", nil, 404, "NO_SUCH_PATH", ""},
		{"gRPC over HTTP/1.1", "POST", "/ml/inference.GRPCInferenceService/ServerLive", "\x00\x00\x00\x00\x00", []wire.Header{{Name: "Content-Type", Value: []byte("application/grpc+proto")}}, 415, "UNSUPPORTED_MEDIA_TYPE", "HTTP/2"},
		{"gRPC-Web", "POST", "/inference.GRPCInferenceService/ServerLive", "\x00\x00\x00\x00\x00", []wire.Header{{Name: "Content-Type", Value: []byte("application/grpc-web-text")}}, 415, "UNSUPPORTED_MEDIA_TYPE", "gRPC-Web"},
		{"outside the prefix", "GET", "/v2", "", nil, 404, "NO_SUCH_PATH", ""},
		{"wrong method", "GET", infer, "", nil, 405, "METHOD_NOT_ALLOWED", "POST"},
		{"wrong method on a question", "POST", "/ml/v2", "", nil, 405, "METHOD_NOT_ALLOWED", "GET, HEAD"},
		{"bad JSON", "POST", infer, `{"inputs":[`, nil, 400, "INVALID", ""},
		{"no inputs", "POST", infer, `{"inputs":[]}`, nil, 400, "INVALID", "x"},
		{"bad escape", "POST", "/ml/v2/models/a%2/infer", "", nil, 400, "INVALID", "percent"},
		{"escape once", "POST", "/ml/v2/models/%2565cho/infer", "", nil, 404, "UNKNOWN_MODEL", "%65cho"},
		{"bad timeout", "POST", infer, echoJSON, []wire.Header{{Name: "X-Request-Timeout-Ms", Value: []byte("1s")}}, 400, "INVALID", "X-Request-Timeout-Ms"},
		{"zero timeout", "POST", infer, echoJSON, []wire.Header{{Name: "X-Request-Timeout-Ms", Value: []byte("0")}}, 400, "INVALID", "positive"},
		{"bad header length", "POST", infer, echoJSON, []wire.Header{{Name: "Inference-Header-Content-Length", Value: []byte("-1")}}, 400, "INVALID", "negative"},
		{"a region", "GET", "/ml/v2/systemsharedmemory/region/x/status", "", nil, 404, "UNKNOWN_REGION", "'x'"},
		{"registering a region", "POST", "/ml/v2/cudasharedmemory/region/x/register", "{}", nil, 501, "UNSUPPORTED", "shares no memory"},
		{"wrong method on regions", "GET", "/ml/v2/cudasharedmemory/unregister", "", nil, 405, "METHOD_NOT_ALLOWED", "POST"},
		{"wrong method on a list of regions", "POST", "/ml/v2/systemsharedmemory/status", "", nil, 405, "METHOD_NOT_ALLOWED", "GET, HEAD"},
		{"no path of regions", "GET", "/ml/v2/systemsharedmemory/region//status", "", nil, 404, "NO_SUCH_PATH", ""},
		{"trace settings", "GET", "/ml/v2/trace/setting", "", nil, 501, "UNSUPPORTED", "tracing"},
		{"load", "POST", "/ml/v2/repository/models/echo/load", "", nil, 403, "FORBIDDEN", "load"},
		{"too large", "POST", infer, strings.Repeat(" ", 1<<20+1), nil, 413, "TOO_LARGE", "1048576 bytes"},
		{"unknown model's metadata", "GET", "/ml/v2/models/nope", "", nil, 404, "UNKNOWN_MODEL", ""},
		{"bad index", "POST", "/ml/v2/repository/index", "{", nil, 400, "INVALID", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := e.do(&exchange{method: tc.method, path: tc.path, body: []byte(tc.body), headers: tc.headers})
			defer x.answer.Release()
			var body struct {
				Error, Code string
				RequestID   string `json:"request_id"`
			}
			if err := json.Unmarshal([]byte(x.text()), &body); err != nil {
				t.Fatalf("%s: %v", x.text(), err)
			}
			if x.status != tc.status || body.Code != tc.code || !strings.Contains(x.text(), tc.says) || body.Error == "" {
				t.Errorf("%d %s, want %d %s saying %q", x.status, x.text(), tc.status, tc.code, tc.says)
			}
			if body.RequestID == "" || body.RequestID != x.header("X-Request-Id") || x.replies != 1 {
				t.Errorf("request id %q, header %q, %d replies", body.RequestID, x.header("X-Request-Id"), x.replies)
			}
			if tc.status == 405 && x.header("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
}

func TestQuestions(t *testing.T) {
	e := newEdge(t, puppet.Options{}, server.Options{Version: "1.2.3"})
	x := e.do(&exchange{method: "POST", path: "/v2/models/echo/infer", body: []byte(echoJSON)})
	x.answer.Release()
	for path, want := range map[string]string{
		"/v2/health/live":               `200 {"live":true}`,
		"/v2/health/ready":              `200 {"ready":true}`,
		"/v2":                           `200 {"name":"sluice","version":"1.2.3"`,
		"/v2/models/echo":               `200 {"name":"echo","versions":["1"]`,
		"/v2/models/echo/versions/1":    `200 {"name":"echo","versions":["1"]`,
		"/v2/models/echo/ready":         `200 {"name":"echo","ready":true}`,
		"/v2/models/nope/ready":         `400 {"name":"nope","ready":false}`,
		"/v2/models/%65cho/ready":       `200 {"name":"echo","ready":true}`,
		"/v2/models/echo/config":        `200 {"name":"echo"`,
		"/v2/models/echo/stats":         `200 {"model_stats":[{"name":"echo","version":"1"`,
		"/v2/models/stats":              `"inference_count":1`,
		"/v2/models/echo/versions":      `404 `,
		"/v2/models/":                   `404 `,
		"/v2/health":                    `404 `,
		"/v2/health/live/":              `404 `,
		"/v2/models/echo/ready/further": `404 `,
		"":                              `404 `,
	} {
		x := e.do(&exchange{method: "GET", path: path})
		if got := strconv.Itoa(x.status) + " " + x.text(); !strings.HasPrefix(got, want) && !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
		x.answer.Release()
	}
	x = e.do(&exchange{method: "POST", path: "/v2/repository/index"})
	if want := `[{"name":"echo","version":"1","state":"READY","reason":""}]`; x.text() != want {
		t.Errorf("index %s, want %s", x.text(), want)
	}
	x.answer.Release()
}

func TestTransportRefusalsKeepTheirStatus(t *testing.T) {
	e := newEdge(t, puppet.Options{}, server.Options{})
	x := e.do(&exchange{
		method: "POST", path: "/v2/models/echo/infer",
		readErr: &wire.Error{Status: 429, Code: "OVERLOADED", Text: "full"},
	})
	defer x.answer.Release()
	if x.status != 429 || x.header("Retry-After") != "1" || !strings.Contains(x.text(), `"code":"OVERLOADED"`) {
		t.Errorf("%d %s %v", x.status, x.text(), x.answerHeaders)
	}
	index := e.do(&exchange{method: "POST", path: "/v2/repository/index", readErr: x.readErr})
	defer index.answer.Release()
	if index.status != 429 {
		t.Errorf("the index: %d %s", index.status, index.text())
	}
}

func TestDeadlines(t *testing.T) {
	e := newEdge(t, puppet.Options{Fixed: time.Hour}, server.Options{})
	for name, x := range map[string]*exchange{
		"header":    {body: []byte(echoJSON), headers: []wire.Header{{Name: "X-Request-Timeout-Ms", Value: []byte("20")}}},
		"parameter": {body: []byte(strings.Replace(echoJSON, `"id":"7"`, `"parameters":{"timeout":20000}`, 1))},
	} {
		x.method, x.path = "POST", "/v2/models/echo/infer"
		e.do(x)
		if x.status != 504 || !strings.Contains(x.text(), `"code":"DEADLINE"`) {
			t.Errorf("%s: %d %s", name, x.status, x.text())
		}
		x.answer.Release()
	}
}

func TestHangUps(t *testing.T) {
	for _, tc := range []struct {
		name   string
		how    wire.HangUp
		keep   bool
		status int
	}{
		{"reset while it runs", wire.Reset, false, 499},
		{"half-closed while it runs", wire.Finished, false, 200},
		{"half-closed and kept", wire.Finished, true, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := newEdge(t, puppet.Options{Fixed: 5 * time.Millisecond}, server.Options{KeepHalfClosed: tc.keep})
			x := e.do(&exchange{method: "POST", path: "/v2/models/echo/infer", body: []byte(echoJSON), hangUp: tc.how})
			defer x.answer.Release()
			if x.status != tc.status {
				t.Errorf("%d %s, want %d", x.status, x.text(), tc.status)
			}
		})
	}
}

func TestHangUpInTheQueue(t *testing.T) {
	for _, keep := range []bool{false, true} {
		e := newEdge(t, puppet.Options{Hold: true, Slots: 1}, server.Options{KeepHalfClosed: keep})
		var wg sync.WaitGroup
		first := &exchange{method: "POST", path: "/v2/models/echo/infer", body: []byte(echoJSON)}
		wg.Go(func() { e.do(first) })
		for e.puppet.Held() == 0 {
			runtime.Gosched()
		}
		second := &exchange{method: "POST", path: "/v2/models/echo/infer", body: []byte(echoJSON), hangUp: wire.Finished}
		done := make(chan struct{})
		wg.Go(func() {
			e.do(second)
			close(done)
		})
		if keep {
			e.puppet.Step()
			for e.puppet.Held() == 0 {
				runtime.Gosched()
			}
		} else {
			<-done // it left the queue, although the slot is still taken
		}
		e.puppet.Step()
		wg.Wait()
		if want := map[bool]int{false: 499, true: 200}[keep]; second.status != want || first.status != 200 {
			t.Errorf("keep %v: %d and %d", keep, second.status, first.status)
		}
		first.answer.Release()
		second.answer.Release()
	}
}

func TestConservation(t *testing.T) {
	e := newEdge(t, puppet.Options{Fixed: 100 * time.Microsecond, Slots: 2}, server.Options{})
	var wg sync.WaitGroup
	const clients, each = 8, 50
	for range clients {
		wg.Go(func() {
			for i := range each {
				x := binaryInfer(1+i%3, 4)
				switch i % 5 {
				case 1:
					x.body = x.body[:len(x.body)-1]
				case 2:
					x.hangUp = wire.Reset
				case 3:
					x.headers = append(x.headers, wire.Header{Name: "X-Request-Timeout-Ms", Value: []byte("1")})
				}
				e.do(x).answer.Release()
			}
		})
	}
	wg.Wait()
	total := int64(0)
	for _, n := range e.metric.Outcomes("echo", "1") {
		total += n
	}
	if got := e.metric.InFlight("echo", "1"); total != clients*each || got != 0 {
		t.Errorf("%d requests ended and %d are in flight, want %d", total, got, clients*each)
	}
	if n := e.metric.Outcomes("echo", "1")[infer.ClientError]; n != clients*each/5 {
		t.Errorf("%d client errors, want %d", n, clients*each/5)
	}
}
