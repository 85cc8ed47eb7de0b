package gateway_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
)

// listener is a server of the v2 protocol over REST with one model, which keeps what it was asked last.
type listener struct {
	mu   sync.Mutex
	path string
	head http.Header
	body []byte
}

// ServeHTTP implements [http.Handler].
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const answer = `{"model_name":"theirs","model_version":"3","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}`
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it hung up
	}
	switch r.URL.Path {
	case "/v2":
		_, _ = io.WriteString(w, `{"extensions":["binary_tensor_data"]}`)
	case "/v2/repository/index":
		_, _ = io.WriteString(w, `[{"name":"theirs","version":"3","state":"READY"}]`)
	case "/v2/models/theirs/versions/3":
		_, _ = io.WriteString(w, `{"name":"theirs","inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1,2]}]}`)
	case "/v2/health/live", "/v2/models/theirs/versions/3/ready":
	case "/v2/models/theirs/versions/3/infer":
		l.mu.Lock()
		l.path, l.head, l.body = r.URL.Path, r.Header.Clone(), body
		l.mu.Unlock()
		w.Header().Set("Inference-Header-Content-Length", strconv.Itoa(len(answer)))
		_, _ = io.WriteString(w, answer+string(body[len(body)-8:]))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestRESTGoesAsItCame has a client of REST before a server of REST: every byte of the request arrives, with what nobody
// here knows, and of the answer what the client is to see differently.
func TestRESTGoesAsItCame(t *testing.T) {
	l := &listener{}
	server := httptest.NewServer(l)
	defer server.Close()
	defer server.CloseClientConnections()
	r := start(t, fmt.Sprintf(`pools: [{name: servers, kind: kserve, protocol: rest, health: {interval: 30ms}, endpoints: [{address: %q}]}]
models: [{name: ours, targets: [{version: "1", pool: servers, upstream: {model: theirs, version: "3"}}]}]
`, server.Listener.Addr().String()))
	head := ` {"id":"7", "future":{"a":[1]},"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8,"content_type":"np"}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`
	sent := binary.LittleEndian.AppendUint64([]byte(head), 0x4048f5c33fc00000)
	ask := func() *http.Response {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.g.Addresses()["http"]+"/v2/models/ours/infer", bytes.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Inference-Header-Content-Length", strconv.Itoa(len(head)))
		q.Header.Set("X-Request-Id", "r-1")
		q.Header.Set("X-Request-Timeout-Ms", "30000")
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	var answer []byte
	waitFor(t, "the model serves", func() bool {
		a := ask()
		defer func() { _ = a.Body.Close() }()
		answer, _ = io.ReadAll(a.Body)
		return a.StatusCode == http.StatusOK
	})
	want := `{"id":"7","model_name":"ours","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}]}` + string(sent[len(head):])
	if string(answer) != want {
		t.Errorf("answered %q, want %q", answer, want)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !bytes.Equal(l.body, sent) {
		t.Errorf("the server got %q, want what was sent, %q", l.body, sent)
	}
	for name, want := range map[string]string{
		"Inference-Header-Content-Length": strconv.Itoa(len(head)), "Content-Type": "application/octet-stream", "X-Request-Id": "r-1",
	} {
		if got := l.head.Get(name); got != want {
			t.Errorf("%s was %q, want %q", name, got, want)
		}
	}
	if ms, err := strconv.Atoi(l.head.Get("X-Request-Timeout-Ms")); err != nil || ms < 1 || ms > 30000 {
		t.Errorf("the time left was %d ms, %v", ms, err)
	}
}
