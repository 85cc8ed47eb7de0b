package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/tensor"
)

const (
	parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	state  = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
)

// trails is what a server was told of its last request.
type trails struct {
	mu   sync.Mutex
	last [3]string
}

func (t *trails) saw(header func(name string) string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, name := range [...]string{"x-request-id", "traceparent", "tracestate"} {
		t.last[i] = header(name)
	}
}

func (t *trails) told() (id, parent, state string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last[0], t.last[1], t.last[2]
}

// trailCase is what a client says, and what the server is told.
type trailCase struct {
	name  string
	say   map[string]string
	want  [3]string
	anyID bool // the id is made for the request
}

var trailCases = []trailCase{
	{"all", map[string]string{"x-request-id": "mine", "traceparent": parent, "tracestate": state}, [3]string{"mine", parent, state}, false},
	{"an id", map[string]string{"x-request-id": "mine"}, [3]string{"mine"}, false},
	{"nothing", nil, [3]string{}, true},
	{"an id that is none", map[string]string{"x-request-id": "a b"}, [3]string{}, true},
	{"a trace that is none", map[string]string{"traceparent": parent + "x", "tracestate": state}, [3]string{}, true},
	{"a state without a trace", map[string]string{"tracestate": state}, [3]string{}, true},
	{"too much of a state", map[string]string{"traceparent": parent, "tracestate": "a=" + strings.Repeat("x", 600)}, [3]string{"", parent, ""}, true},
}

// TestServersAreToldOfTheTrail has requests of every protocol reach a server over gRPC with what their client said.
func TestServersAreToldOfTheTrail(t *testing.T) {
	saw := &trails{}
	talking := puppet.Raw("talking", tensor.FP32, 0)
	talking.Decoupled = true
	server := upstream(t, puppet.TritonOptions{
		Models: []puppet.TritonModel{puppet.Raw("alone", tensor.FP32, 0), puppet.Raw("merging", tensor.FP32, 8), talking},
		Script: func(_ int64, q *puppet.TritonRequest) puppet.TritonVerdict {
			saw.saw(func(name string) string { return string(q.Header(name)) })
			return puppet.TritonVerdict{}
		},
	})
	r := start(t, tritonPool(server))
	client, _ := r.dial("http")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ways := map[string]func(t *testing.T, say map[string]string) string{
		"alone over REST":   func(t *testing.T, say map[string]string) string { return r.post(t, "alone/infer", ask, say) },
		"merging over REST": func(t *testing.T, say map[string]string) string { return r.post(t, "merging/infer", ask, say) },
		"events": func(t *testing.T, say map[string]string) string {
			return r.post(t, "talking/generate_stream", `{"x":[1,2]}`, say)
		},
		"over gRPC": func(t *testing.T, say map[string]string) string {
			if _, err := client.ModelInfer(metadata.NewOutgoingContext(ctx, metadata.New(say)), echo("alone", 1, 1)); err != nil {
				t.Fatal(err)
			}
			return ""
		},
		"in a stream": func(t *testing.T, say map[string]string) string {
			stream, err := client.ModelStreamInfer(metadata.NewOutgoingContext(ctx, metadata.New(say)))
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Send(echo("talking", 1, 1)); err != nil {
				t.Fatal(err)
			}
			if a, err := stream.Recv(); err != nil || a.GetErrorMessage() != "" {
				t.Fatalf("%v, %v", a, err)
			}
			_ = stream.CloseSend()
			return ""
		},
	}
	for way, f := range ways {
		for _, c := range trailCases {
			t.Run(way+", "+c.name, func(t *testing.T) {
				echoed := f(t, c.say)
				c.check(t, saw, echoed)
			})
		}
	}
}

// check compares what the server was told; echoed is the id in the client's answer, if it is known.
func (c *trailCase) check(t *testing.T, saw *trails, echoed string) {
	t.Helper()
	id, parent, state := saw.told()
	if c.anyID && len(id) != 16 || !c.anyID && id != c.want[0] || echoed != "" && id != echoed {
		t.Errorf("the server was told the id %q, the client %q, want %q", id, echoed, c.want[0])
	}
	if parent != c.want[1] || state != c.want[2] {
		t.Errorf("the server was told of the trace %q, %q; want %q, %q", parent, state, c.want[1], c.want[2])
	}
}

// post asks over REST and returns the id of the answer.
func (r *running) post(t *testing.T, path, body string, say map[string]string) string {
	t.Helper()
	q, err := http.NewRequest("POST", "http://"+r.g.Addresses()["http"]+"/v2/models/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range say {
		q.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	return resp.Header.Get("X-Request-Id")
}

// TestServersAreToldOfTheTrailOverREST has another gateway's REST be the server.
func TestServersAreToldOfTheTrailOverREST(t *testing.T) {
	saw := &trails{}
	behind := start(t, oneModel)
	there := behind.g.Addresses()["http"]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, "/infer") {
			saw.saw(q.Header.Get)
		}
		q.URL.Scheme, q.URL.Host, q.RequestURI = "http", there, ""
		resp, err := http.DefaultTransport.RoundTrip(q)
		if err != nil {
			w.WriteHeader(502)
			return
		}
		defer resp.Body.Close()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(proxy.Close)
	r := start(t, fmt.Sprintf(`pools:
  - {name: servers, kind: kserve, protocol: rest, discover: true, endpoints: [{address: %q}]}
`, strings.TrimPrefix(proxy.URL, "http://")))
	for _, c := range trailCases {
		t.Run(c.name, func(t *testing.T) { c.check(t, saw, r.post(t, "m/infer", ask, c.say)) })
	}
}
