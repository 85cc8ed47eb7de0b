package gateway_test

import (
	"net/http"
	"testing"
)

// TestHeadWhereverGet asks for the head of everything that can be asked for, over both versions of HTTP.
func TestHeadWhereverGet(t *testing.T) {
	r := start(t, `pools: [{name: p, kind: puppet, discover: true, script: "fixed:0s"}]
`)
	for version, protocols := range map[string]func(*http.Protocols){
		"HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2.0": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
	} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		protocols(transport.Protocols)
		client := &http.Client{Transport: transport}
		for _, path := range []string{
			"/", "/v2", "/v2/models", "/v2/models/stats", "/v2/health/live", "/v2/health/ready", "/v2/models/echo", "/v2/models/echo/ready",
			"/v2/models/echo/config", "/v2/models/echo/stats", "/v2/systemsharedmemory/status", "/v2/cudasharedmemory/status",
			"/v2/systemsharedmemory/region/x/status", "/v2/logging", "/v2/trace/setting", "/v2/models/echo/trace/setting",
			"/v1/models", "/v1/models/echo", "/v1/models/echo/metadata",
		} {
			var length [2]int64
			var status [2]int
			for i, method := range []string{"GET", "HEAD"} {
				q, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.g.Addresses()["http"]+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				q.Header.Set("X-Request-Id", "the-same")
				a, err := client.Do(q)
				if err != nil {
					t.Fatalf("%s %s over %s: %v", method, path, version, err)
				}
				if err := a.Body.Close(); err != nil {
					t.Error(err)
				}
				if status[i], length[i] = a.StatusCode, a.ContentLength; a.Proto != version {
					t.Fatalf("spoke %s", a.Proto)
				}
			}
			if status[0] != status[1] || length[0] != length[1] {
				t.Errorf("%s over %s: GET %d with %d bytes, HEAD %d with %d", path, version, status[0], length[0], status[1], length[1])
			}
		}
		transport.CloseIdleConnections()
	}
}
