package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/config"
	"github.com/sluice-serving/sluice/infer"
)

func TestProbes(t *testing.T) {
	g := start(t)
	if resp, _ := g.call(t, "GET", "/livez", ""); resp.StatusCode != 200 {
		t.Errorf("live: %d", resp.StatusCode)
	}
	if got := ask[Readiness](t, g, 200, "GET", "/readyz", ""); !got.Ready || got.Models[0].Reason != "no such file" {
		t.Errorf("ready: %+v", got)
	}
	g.notYet.Store(true)
	if got := ask[Readiness](t, g, 503, "GET", "/readyz", ""); got.Ready || got.Reason != "starting" || len(got.Models) != 1 {
		t.Errorf("not ready: %+v", got)
	}
	g.token.Store(NewToken("secret"))
	if got := ask[Readiness](t, g, 503, "GET", "/readyz", ""); got.Ready || got.Reason != "" || got.Models != nil {
		t.Errorf("a stranger learns %+v", got)
	}
	if got := ask[Readiness](t, g, 503, "GET", "/readyz", "", "Authorization", "Bearer secret"); got.Reason != "starting" {
		t.Errorf("an operator learns only %+v", got)
	}
}

func TestViews(t *testing.T) {
	g := start(t)
	if got := ask[Status](t, g, 200, "GET", "/v1/status", ""); got.Generation.ID != 7 || got.Listeners["admin"] != g.url {
		t.Errorf("status %+v", got)
	}
	if got := ask[struct{ Models []Model }](t, g, 200, "GET", "/v1/models", ""); len(got.Models) != 3 {
		t.Errorf("models %+v", got)
	}
	if got := ask[Model](t, g, 200, "GET", "/v1/models/digits", ""); got.Name != "digits" || got.Versions[1].Weight.Share != 0.05 {
		t.Errorf("model %+v", got)
	}
	if got := ask[Model](t, g, 200, "GET", "/v1/models/team%2Focr", ""); got.Name != "team/ocr" {
		t.Errorf("model with a slash %+v", got)
	}
	if got := ask[struct{ Pools []Pool }](t, g, 200, "GET", "/v1/pools", ""); len(got.Pools) != 2 {
		t.Errorf("pools %+v", got)
	}
	if got := ask[Pool](t, g, 200, "GET", "/v1/pools/local", ""); got.Endpoints[0].Name != "cpu" {
		t.Errorf("pool %+v", got)
	}
	got := ask[EffectiveConfig](t, g, 200, "GET", "/v1/config", "")
	if got.Hash != g.config.Load().Hash() || got.File != g.file || got.Overrides == nil {
		t.Errorf("config %+v", got)
	}
	if !slices.ContainsFunc(got.Settings, func(e config.Entry) bool {
		return e.Path == "listen.http.address" && e.Value == "127.0.0.1:0" && e.Origin == g.file+":3:19"
	}) {
		t.Errorf("config lacks the address with its position: %+v", got.Settings)
	}
	resp, out := g.call(t, "GET", "/v1/config?format=yaml", "")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/yaml" || !strings.Contains(string(out), `127.0.0.1:0`) {
		t.Errorf("config as YAML: %d\n%s", resp.StatusCode, out)
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/pprof/goroutine", "/debug/pprof/cmdline", "/debug/pprof/symbol"} {
		if resp, out := g.call(t, "GET", path, ""); resp.StatusCode != 200 || len(out) == 0 {
			t.Errorf("%s answered %d with %d bytes", path, resp.StatusCode, len(out))
		}
	}
}

func TestRefusals(t *testing.T) {
	g := start(t)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code, text         string
	}{
		"no path":          {"GET", "/v2", "", 404, "NOT_FOUND", "no such path"},
		"root":             {"GET", "/", "", 404, "NOT_FOUND", "no such path"},
		"no model":         {"GET", "/v1/models/nope", "", 404, "UNKNOWN_MODEL", `no model "nope"; models are "digits", "panics", "team/ocr"`},
		"no pool":          {"GET", "/v1/pools/nope", "", 404, "NOT_FOUND", `no pool "nope"; pools are "local", "team/gpus"`},
		"drain, no pool":   {"POST", "/v1/pools/nope/endpoints/cpu:drain", "", 404, "NOT_FOUND", `no pool "nope"; pools are "local", "team/gpus"`},
		"drain, unknown":   {"POST", "/v1/pools/local/endpoints/gpu:drain", "", 404, "NOT_FOUND", `pool "local" has no endpoint "gpu"; endpoints are "cpu"`},
		"drain, no verb":   {"POST", "/v1/pools/local/endpoints/cpu", "", 404, "NOT_FOUND", "ENDPOINT:undrain"},
		"drain, no such":   {"POST", "/v1/pools/local/endpoints/cpu:remove", "", 404, "NOT_FOUND", "ENDPOINT:undrain"},
		"get drain":        {"GET", "/v1/pools/local/endpoints/cpu:drain", "", 405, "METHOD_NOT_ALLOWED", "POST"},
		"long name":        {"GET", "/v1/models/" + strings.Repeat("x", 500), "", 404, "UNKNOWN_MODEL", strings.Repeat("x", 128) + `..."`},
		"control bytes":    {"GET", "/v1/models/%0A%1b%FF", "", 404, "UNKNOWN_MODEL", `"\n\x1b\xff"`},
		"bad format":       {"GET", "/v1/config?format=xml", "", 400, "INVALID", `"xml"`},
		"no version":       {"POST", "/v1/models/digits/versions/3:disable", "", 404, "UNKNOWN_VERSION", `versions are "1", "2"`},
		"no action":        {"POST", "/v1/models/digits/versions/2:delete", "", 404, "NOT_FOUND", "VERSION:enable"},
		"no verb":          {"POST", "/v1/models/digits/versions/2", "", 404, "NOT_FOUND", "VERSION:enable"},
		"load, no model":   {"POST", "/v1/models/nope:load", "", 404, "UNKNOWN_MODEL", `there is no model "nope"`},
		"load, broken":     {"POST", "/v1/models/team%2Focr:load", "", 400, "INVALID", "version 1: no such file"},
		"no such verb":     {"POST", "/v1/models/digits:reload", "", 404, "NOT_FOUND", "MODEL:unload"},
		"model, no verb":   {"POST", "/v1/models/digits", "", 404, "NOT_FOUND", "MODEL:unload"},
		"get load":         {"GET", "/v1/models/digits:load", "", 404, "UNKNOWN_MODEL", `no model "digits:load"`},
		"split, no model":  {"PUT", "/v1/models/nope/split", `{"1":1}`, 404, "UNKNOWN_MODEL", "nope"},
		"split, version":   {"PUT", "/v1/models/digits/split", `{"3":1}`, 404, "UNKNOWN_VERSION", `no version "3"`},
		"split, empty":     {"PUT", "/v1/models/digits/split", ``, 400, "INVALID", `{"1": 90, "2": 10}`},
		"split, list":      {"PUT", "/v1/models/digits/split", `[1]`, 400, "INVALID", "want an object"},
		"split, twice":     {"PUT", "/v1/models/digits/split", `{"1":1,"1":2}`, 400, "INVALID", `version "1" is named twice`},
		"split, negative":  {"PUT", "/v1/models/digits/split", `{"1":-1}`, 400, "INVALID", "not negative"},
		"split, string":    {"PUT", "/v1/models/digits/split", `{"1":"90"}`, 400, "INVALID", "want a number"},
		"split, null":      {"PUT", "/v1/models/digits/split", `{"1":null}`, 400, "INVALID", "want a number"},
		"split, huge":      {"PUT", "/v1/models/digits/split", `{"1":1e999}`, 400, "INVALID", "want a number"},
		"split, sum":       {"PUT", "/v1/models/digits/split", `{"1":1e308,"2":1e308}`, 400, "INVALID", "add up"},
		"split, zero":      {"PUT", "/v1/models/digits/split", `{"1":0,"2":0}`, 400, "INVALID", "all weights are zero"},
		"split, cut":       {"PUT", "/v1/models/digits/split", `{"1":1`, 400, "INVALID", "not JSON"},
		"split, bad key":   {"PUT", "/v1/models/digits/split", `{"1":1,2:3}`, 400, "INVALID", "not JSON"},
		"split, goes on":   {"PUT", "/v1/models/digits/split", `{"1":1} {}`, 400, "INVALID", "goes on"},
		"split, too large": {"PUT", "/v1/models/digits/split", strings.Repeat(" ", maxBody+1), 413, "TOO_LARGE", "1048576"},
		"check, too large": {"POST", "/v1/config/check", strings.Repeat("#", maxBody+1), 413, "TOO_LARGE", "1048576"},
		"get reload":       {"GET", "/v1/config/reload", "", 405, "METHOD_NOT_ALLOWED", "POST"},
		"post models":      {"POST", "/v1/models", "", 405, "METHOD_NOT_ALLOWED", "GET, HEAD"},
		"post split":       {"POST", "/v1/models/digits/split", "", 405, "METHOD_NOT_ALLOWED", "DELETE, PUT"},
		"panic":            {"POST", "/v1/models/panics/versions/2:disable", "", 500, "INTERNAL", "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask[failure](t, g, c.status, c.method, c.path, c.body, "X-Request-Id", "id-1")
			if got.Code != c.code || !strings.Contains(got.Error, c.text) || got.RequestID != "id-1" {
				t.Errorf("answered %+v, want code %s and an error with %q", got, c.code, c.text)
			}
		})
	}
	resp, _ := g.call(t, "DELETE", "/v1/config/reload", "")
	if resp.Header.Get("Allow") != "POST" {
		t.Errorf("Allow: %q", resp.Header.Get("Allow"))
	}
	if got := g.models()[0]; got.Overridden || got.Versions[0].Disabled || got.Versions[1].Disabled {
		t.Errorf("refused changes took effect: %+v", got)
	}
}

func TestChanges(t *testing.T) {
	g := start(t)
	got := ask[Model](t, g, 200, "PUT", "/v1/models/digits/split", `{"1": 60, "2": 40}`)
	if !got.Overridden || got.Versions[1].Weight != (Weight{Configured: 5, Effective: 40, Share: 0.4}) {
		t.Errorf("split: %+v", got)
	}
	got = ask[Model](t, g, 200, "DELETE", "/v1/models/digits/split", "")
	if got.Overridden || got.Versions[1].Weight.Effective != 5 {
		t.Errorf("own split again: %+v", got)
	}
	if got = ask[Model](t, g, 200, "POST", "/v1/models/digits/versions/2:disable", ""); !got.Versions[1].Disabled || got.Versions[0].Disabled {
		t.Errorf("disable: %+v", got)
	}
	if got = ask[Model](t, g, 200, "POST", "/v1/models/digits/versions/2:enable", ""); got.Versions[1].Disabled {
		t.Errorf("enable: %+v", got)
	}
	if got = ask[Model](t, g, 200, "POST", "/v1/models/digits:unload", ""); !got.Versions[0].Disabled || !got.Versions[1].Disabled {
		t.Errorf("unload: %+v", got)
	}
	if got = ask[Model](t, g, 200, "POST", "/v1/models/digits:load", ""); got.Versions[0].Disabled || got.Versions[1].Disabled {
		t.Errorf("load: %+v", got)
	}
	if p := ask[Pool](t, g, 200, "POST", "/v1/pools/local/endpoints/cpu:drain", ""); p.Endpoints[0].State != "drained" || g.last() != "local cpu" {
		t.Errorf("drain: %+v of %q", p, g.last())
	}
	if p := ask[Pool](t, g, 200, "POST", "/v1/pools/team%2Fgpus/endpoints/%5B::1%5D:8001:undrain", ""); p.Endpoints[1].State != "ready" || g.last() != "team/gpus [::1]:8001" {
		t.Errorf("undrain: %+v of %q", p, g.last())
	}
	if p := ask[Pool](t, g, 200, "POST", "/v1/pools/team%2Fgpus/endpoints/unix:%2Frun%2Ft.sock:drain", ""); p.Name != "team/gpus" || g.last() != "team/gpus unix:/run/t.sock" {
		t.Errorf("drain: %+v of %q", p, g.last())
	}
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{&infer.Error{Code: infer.Draining, Text: "shutting down"}, 503, "DRAINING"},
		{fmt.Errorf("split: %w", infer.Errorf(infer.Invalid, "no")), 400, "INVALID"},
		{config.Errors{{Path: "models[digits]", Message: "no"}}, 400, "INVALID"},
		{errors.New("disk full"), 500, "INTERNAL"},
	} {
		g.broken.Store(&c.err)
		if got := ask[failure](t, g, c.status, "PUT", "/v1/models/digits/split", `{"1":1}`); got.Code != c.code {
			t.Errorf("%v answered %+v", c.err, got)
		}
	}
	var seen []string
	for _, e := range g.logs.FilterMessage("admin request").All() {
		m := e.ContextMap()
		seen = append(seen, fmt.Sprint(m["method"], " ", m["path"], " ", m["status"]))
	}
	want := []string{
		"PUT /v1/models/digits/split 200", "DELETE /v1/models/digits/split 200",
		"POST /v1/models/digits/versions/2:disable 200", "POST /v1/models/digits/versions/2:enable 200",
		"POST /v1/models/digits:unload 200", "POST /v1/models/digits:load 200",
		"POST /v1/pools/local/endpoints/cpu:drain 200", "POST /v1/pools/team/gpus/endpoints/[::1]:8001:undrain 200",
		"POST /v1/pools/team/gpus/endpoints/unix:/run/t.sock:drain 200",
		"PUT /v1/models/digits/split 503", "PUT /v1/models/digits/split 400", "PUT /v1/models/digits/split 400", "PUT /v1/models/digits/split 500",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("logged %q, want %q", seen, want)
	}
}

func TestReloadAndCheck(t *testing.T) {
	g := start(t)
	before := g.config.Load().Hash()
	next := strings.Replace(file, "127.0.0.1:0", "127.0.0.1:8123", 1)

	got := ask[Check](t, g, 200, "POST", "/v1/config/check", next)
	if !got.Valid || len(got.Problems) != 0 || len(got.Changes) != 1 || !strings.Contains(got.Changes[0], "8123") {
		t.Errorf("check of a good file: %+v", got)
	}
	got = ask[Check](t, g, 200, "POST", "/v1/config/check", "version: 1\nlistn: {}\nlimits: {body: x}\n")
	if got.Valid || len(got.Problems) != 2 || got.Problems[0].Position != g.file+":2:1" || got.Problems[1].Path != "limits.body" {
		t.Errorf("check of a bad file: %+v", got)
	}
	if g.config.Load().Hash() != before {
		t.Error("a check changed the configuration")
	}

	if err := os.WriteFile(g.file, []byte("version: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := ask[failure](t, g, 400, "POST", "/v1/config/reload", "")
	if bad.Code != "INVALID" || len(bad.Problems) != 1 || !strings.HasPrefix(bad.Problems[0].Position, g.file+":1:") {
		t.Errorf("reload of a bad file: %+v", bad)
	}
	if err := os.WriteFile(g.file, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	done := ask[Reload](t, g, 200, "POST", "/v1/config/reload", "")
	if done.Generation.ID != 1 || done.Generation.Hash == before || len(done.Changes) != 1 {
		t.Errorf("reload: %+v", done)
	}
	if done = ask[Reload](t, g, 200, "POST", "/v1/config/reload", ""); done.Changes == nil || len(done.Changes) != 0 {
		t.Errorf("reload of nothing new: %+v", done)
	}
}

func TestToken(t *testing.T) {
	g := start(t)
	g.token.Store(NewToken("one"))
	for name, c := range map[string]struct {
		authorization string
		want          int
	}{
		"none":        {"", 401},
		"good":        {"Bearer one", 200},
		"lower case":  {"bearer one", 200},
		"wrong":       {"Bearer two", 401},
		"prefix":      {"Bearer on", 401},
		"longer":      {"Bearer onee", 401},
		"basic":       {"Basic one", 401},
		"bare":        {"one", 401},
		"scheme only": {"Bearer", 401},
		"empty":       {"Bearer ", 401},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/v1/status", "/debug/pprof/cmdline", "/nowhere"} {
				resp, _ := g.call(t, "GET", path, "", "Authorization", c.authorization)
				want := c.want
				if path == "/nowhere" && want == 200 {
					want = 404
				}
				if resp.StatusCode != want || (want == 401) != (resp.Header.Get("WWW-Authenticate") != "") {
					t.Errorf("%s answered %d, want %d", path, resp.StatusCode, want)
				}
			}
		})
	}
	g.token.Store(NewToken("two")) // as a reload does
	if resp, _ := g.call(t, "GET", "/v1/status", "", "Authorization", "Bearer one"); resp.StatusCode != 401 {
		t.Errorf("the old token answered %d", resp.StatusCode)
	}
	for _, e := range g.logs.All() {
		if line := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(line, "one") || strings.Contains(line, "two") {
			t.Errorf("a token is in the log: %s", line)
		}
	}
}

func TestReadToken(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		content string
		ok      bool
	}{
		"plain":   {"s3cret", true},
		"newline": {"s3cret\n", true},
		"padded":  {" \ts3cret\r\n", true},
		"empty":   {"", false},
		"blank":   {" \n", false},
		"spaces":  {"s3 cret", false},
		"two":     {"s3cret\ns3cret", false},
		"utf-8":   {"s3crét", false},
		"huge":    {strings.Repeat("x", 4097), false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			token, err := ReadToken(path)
			if (err == nil) != c.ok || c.ok && !token.Admits("Bearer s3cret") {
				t.Errorf("ReadToken of %q: %v", c.content, err)
			}
			if err != nil && (strings.Contains(err.Error(), "s3c") || !strings.Contains(err.Error(), path)) {
				t.Errorf("error %q: want the path and not the content", err)
			}
		})
	}
	if _, err := ReadToken(filepath.Join(dir, "missing")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing file: %v", err)
	}
}

func TestWebPagesOfOtherOriginsAreRefused(t *testing.T) {
	g := start(t)
	for name, c := range map[string]struct {
		method, path string
		headers      []string
		want         int
	}{
		"page of another site":     {"POST", "/v1/config/reload", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		"page of another origin":   {"POST", "/v1/config/reload", []string{"Origin", "https://example.com"}, 403},
		"page of our own":          {"POST", "/v1/config/reload", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"name that points here":    {"GET", "/v1/config", []string{"Host", "example.com:9901"}, 403},
		"name, probe":              {"GET", "/readyz", []string{"Host", "example.com"}, 200},
		"localhost":                {"GET", "/v1/config", []string{"Host", "localhost:9901"}, 200},
		"localhost without a port": {"GET", "/v1/config", []string{"Host", "localhost"}, 200},
		"IPv6":                     {"GET", "/v1/config", []string{"Host", "[::1]:9901"}, 200},
		"IPv6 without a port":      {"GET", "/v1/config", []string{"Host", "[::1]"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			if resp, out := g.call(t, c.method, c.path, "", c.headers...); resp.StatusCode != c.want {
				t.Errorf("answered %d, want %d: %s", resp.StatusCode, c.want, out)
			}
		})
	}
	g.token.Store(NewToken("one"))
	if resp, _ := g.call(t, "GET", "/v1/config", "", "Host", "gateway.example.com", "Authorization", "Bearer one"); resp.StatusCode != 200 {
		t.Errorf("with a token any host will do, but it answered %d", resp.StatusCode)
	}
}

func TestUnixSocketTakesAnyHost(t *testing.T) {
	g := &gateway{}
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(New(g.deps(zap.NewNop())), zap.NewNop())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	defer func() {
		_ = server.Close()
		<-ended
	}()
	conn, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v1/pools HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("answered %s", answer)
	}
}

func TestRequestID(t *testing.T) {
	g := start(t)
	for name, c := range map[string]struct {
		sent string
		kept bool
	}{
		"taken over": {"abc-123", true},
		"none":       {"", false},
		"too long":   {strings.Repeat("x", 129), false},
		"with space": {"a b", false},
	} {
		t.Run(name, func(t *testing.T) {
			resp, _ := g.call(t, "GET", "/livez", "", "X-Request-Id", c.sent)
			got := resp.Header.Get("X-Request-Id")
			if (got == c.sent) != c.kept || got == "" {
				t.Errorf("sent %q, got %q", c.sent, got)
			}
		})
	}
}

// TestProfileIsNotBoundByTheServersTimeouts would be cut short by a read or write timeout that the server has for all requests.
func TestProfileIsNotBoundByTheServersTimeouts(t *testing.T) {
	g := start(t)
	server := NewServer(nil, zap.NewNop())
	if server.ReadTimeout != 0 || server.ReadHeaderTimeout <= 0 || server.IdleTimeout <= 0 || server.WriteTimeout <= 0 {
		t.Errorf("timeouts %v %v %v %v", server.ReadTimeout, server.ReadHeaderTimeout, server.IdleTimeout, server.WriteTimeout)
	}
	if server.Protocols.HTTP2() || server.Protocols.UnencryptedHTTP2() || !server.Protocols.HTTP1() {
		t.Error("the admin listener speaks more than HTTP/1.1")
	}
	begin := time.Now()
	resp, out := g.call(t, "GET", "/debug/pprof/trace?seconds=1", "")
	if resp.StatusCode != 200 || len(out) == 0 || time.Since(begin) < time.Second {
		t.Errorf("a trace of a second answered %d with %d bytes after %v", resp.StatusCode, len(out), time.Since(begin))
	}
}

func TestBodyThatDoesNotComeWhole(t *testing.T) {
	g := start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/config/check HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nversion: 1\n")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") || !strings.Contains(string(answer), "did not arrive whole") {
		t.Errorf("answered %s", answer)
	}
}

func TestNewRefusesMissingDeps(t *testing.T) {
	g := &gateway{}
	for name, forget := range map[string]func(*Deps){
		"Token": func(d *Deps) { d.Token = nil },
		"Split": func(d *Deps) { d.Split = nil },
		"Log":   func(d *Deps) { d.Log = nil },
	} {
		t.Run(name, func(t *testing.T) {
			deps := g.deps(zap.NewNop())
			forget(&deps)
			defer func() {
				if got := fmt.Sprint(recover()); got != "BUG: admin needs "+name {
					t.Errorf("recovered %q", got)
				}
			}()
			New(deps)
		})
	}
}

func FuzzDecodeSplit(f *testing.F) {
	for _, seed := range []string{`{"1":90,"2":10}`, `{}`, `{"1":1e400}`, `{"1":{"a":1}}`, `{"a":1,"a":2}`, `[`, `{"1":1}x`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decodeSplit(body)
		if err != nil {
			return
		}
		var want map[string]float64
		if err := json.Unmarshal(body, &want); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q is %v to us and %v (%v) to encoding/json", body, got, want, err)
		}
	})
}
