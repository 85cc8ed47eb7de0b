package server_test

import (
	"strings"
	"testing"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/internal/puppet"
	"github.com/sluice-serving/sluice/server"
)

func TestGenerate(t *testing.T) {
	e := newEdge(t, puppet.Options{Models: []*infer.Model{puppet.Echo("echo", 8)}}, server.Options{})
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		kind, want               string
	}{
		{
			"one value", "POST", "/v2/models/echo/generate", `{"x":1.5,"id":"me"}`, 200, "application/json",
			`{"model_name":"echo","model_version":"1","id":"me","y":1.5}`,
		},
		{
			"a list", "POST", "/v2/models/echo/versions/1/generate", `{"x":[1,2],"extra":true}`, 200, "application/json",
			`{"model_name":"echo","model_version":"1","y":[1.0,2.0]}`,
		},
		{
			"events", "POST", "/v2/models/echo/generate_stream", `{"x":[1,2]}`, 200, "text/event-stream; charset=utf-8",
			"data: {\"model_name\":\"echo\",\"model_version\":\"1\",\"y\":[1.0,2.0]}\n\n",
		},
		{"no such model", "POST", "/v2/models/nobody/generate", `{}`, 404, "application/json", "UNKNOWN_MODEL"},
		{"no input", "POST", "/v2/models/echo/generate", `{}`, 400, "application/json", `'x'`},
		{"another type", "POST", "/v2/models/echo/generate", `{"x":"y"}`, 400, "application/json", `'x'`},
		{"no JSON", "POST", "/v2/models/echo/generate_stream", `{`, 400, "application/json", "INVALID"},
		{"no body", "POST", "/v2/models/echo/generate", ``, 400, "application/json", "INVALID"},
		{"another method", "GET", "/v2/models/echo/generate", ``, 405, "application/json", "METHOD_NOT_ALLOWED"},
		{"more behind", "POST", "/v2/models/echo/generate/x", `{}`, 404, "application/json", "NO_SUCH_PATH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := e.do(&exchange{method: c.method, path: c.path, body: []byte(c.body)})
			defer x.answer.Release()
			if x.status != c.status || x.contentType != c.kind || !strings.Contains(x.text(), c.want) {
				t.Errorf("got %d %s %s, want %d %s %s", x.status, x.contentType, x.text(), c.status, c.kind, c.want)
			}
		})
	}
}
