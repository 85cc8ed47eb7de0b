package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// twoPools serve a model each, unlisted.
const twoPools = `pools:
  - {name: one, kind: puppet, script: "model:echo", discover: true}
  - {name: two, kind: puppet, script: "model:other", discover: true}
`

// control sends a request to load or unload over the data port, with an authorization header unless it is empty.
func (r *running) control(model, verb, authorization string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequest("POST", "http://"+r.g.Addresses()["http"]+"/v2/repository/models/"+model+"/"+verb, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text := make([]byte, 1<<10)
	n, _ := resp.Body.Read(text)
	return resp.StatusCode, string(text[:n])
}

func TestControlWithoutAToken(t *testing.T) {
	r := start(t, twoPools)
	for _, verb := range []string{"load", "unload"} {
		if status, text := r.control("echo", verb, "Bearer anything"); status != 403 || !strings.Contains(text, "listen.admin.token is not set") {
			t.Errorf("%s: %d %s", verb, status, text)
		}
	}
	if status, _ := r.infer("echo"); status != 200 {
		t.Errorf("after that the model answers %d", status)
	}
}

func TestControl(t *testing.T) {
	r := start(t, twoPools)
	token := filepath.Join(filepath.Dir(r.file), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.rewrite(strings.Replace(listen, `admin: {address: "127.0.0.1:0"}`, `admin: {address: "127.0.0.1:0", token: token}`, 1) + twoPools)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	for _, authorization := range []string{"", "Bearer wrong", "secret", "Basic secret"} {
		if status, text := r.control("echo", "unload", authorization); status != 401 || !strings.Contains(text, "UNAUTHENTICATED") {
			t.Errorf("with %q: %d %s", authorization, status, text)
		}
	}
	const bearer = "Bearer secret"
	for _, c := range []struct {
		model, verb string
		status      int
		answers     int // of the model, afterwards
	}{
		{"echo", "unload", 200, 503},
		{"echo", "unload", 200, 503},
		{"echo", "load", 200, 200},
		{"other", "unload", 200, 503}, // of the second pool
		{"other", "load", 200, 200},
		{"nobody", "load", 404, 404},
		{"nobody", "unload", 404, 404},
	} {
		if status, text := r.control(c.model, c.verb, bearer); status != c.status {
			t.Errorf("%s %s: %d %s", c.verb, c.model, status, text)
		}
		if status, text := r.infer(c.model); status != c.answers {
			t.Errorf("after %s of %s it answers %d %s, want %d", c.verb, c.model, status, text, c.answers)
		}
		if status, _ := r.call("http", "GET", "/v2/health/ready", ""); status != 200 {
			t.Errorf("after %s of %s the server is not ready", c.verb, c.model)
		}
	}
}

func TestControlOfAListedModel(t *testing.T) {
	r := start(t, `pools:
  - {name: one, kind: puppet, script: "model:echo"}
models:
  - {name: mine, targets: [{version: "1", pool: one, upstream: {model: echo, version: "2"}}]}
`)
	for _, c := range []struct {
		do      func(string) error
		answers int
	}{
		{func(m string) error { return r.g.Unload(t.Context(), m) }, 503},
		{func(m string) error { return r.g.Load(t.Context(), m) }, 200},
	} {
		if err := c.do("mine"); err != nil {
			t.Fatal(err)
		}
		if status, text := r.infer("mine"); status != c.answers {
			t.Errorf("it answers %d %s, want %d", status, text, c.answers)
		}
		if err := c.do("echo"); err == nil {
			t.Error("a model was changed by the name of its pool")
		}
	}
}
