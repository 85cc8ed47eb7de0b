package cli

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestServersOfOtherKinds asks servers that do not speak the protocol.
func TestServersOfOtherKinds(t *testing.T) {
	tests := []struct {
		name   string
		answer func(http.ResponseWriter)
		code   int
		words  string
	}{
		{"a page", func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, exitFailed, "does not speak the protocol"},
		{"an error page", func(w http.ResponseWriter) { http.Error(w, "<html>", http.StatusBadGateway) }, exitFailed, "answers 502 Bad Gateway"},
		{"an error of Triton's form", func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"no"}`)
		}, exitFailed, "sluice: no (status 400)"},
		{"an input of an unknown type", func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"name":"m","inputs":[{"name":"x","datatype":"FP31","shape":[1]}]}`)
		}, exitFailed, "no type of the protocol"},
		{"a connection that ends", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, exitUnreachable, "cannot reach"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { test.answer(w) }))
			defer s.Close()
			code, _, stderr := sluice(t, "predict", "m", "--random", "--url", s.URL)
			if code != test.code || !strings.Contains(stderr, test.words) {
				t.Errorf("%d %s, want %d %s", code, stderr, test.code, test.words)
			}
		})
	}
}

func TestServerThatNeverAnswers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	code, _, stderr := sluice(t, "predict", "m", "--random", "--timeout", "1ms", "--url", ln.Addr().String())
	if code != exitUnreachable || !strings.Contains(stderr, "does not answer in time") {
		t.Errorf("%d %s", code, stderr)
	}
}

func TestAdminToken(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	wrong := filepath.Join(dir, "wrong")
	for path, text := range map[string]string{token: "secret\n", wrong: "guess\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "sluice.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nlisten: {admin: {token: token}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveHere(t, "-c", file, "--backend", "toy=0s")
	if code, stdout, stderr := sluice(t, "models", "list", "--admin", s.admin, "--token-file", token); code != exitOK {
		t.Errorf("with the token: %d\n%s%s", code, stdout, stderr)
	}
	for _, c := range []struct {
		name string
		args []string
		hint string
	}{
		{"no token", nil, "--token-file names the file"},
		{"wrong token", []string{"--token-file", wrong}, wrong + " holds is not the token"},
	} {
		code, _, stderr := sluice(t, append([]string{"models", "list", "--admin", s.admin}, c.args...)...)
		if code != exitFailed || !strings.Contains(stderr, "UNAUTHENTICATED") || !strings.Contains(stderr, c.hint) {
			t.Errorf("%s: %d %s", c.name, code, stderr)
		}
	}
}

// TestTLS predicts over TLS, and over a unix socket.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, -time.Hour, time.Hour)
	socket := filepath.Join(dir, "admin.sock")
	file := filepath.Join(dir, "sluice.yaml")
	text := fmt.Sprintf("version: 1\nlisten: {http: {tls: {cert: %s, key: %s, client_ca: %s}}, admin: {address: %q}}\n", cert, key, cert, "unix:"+socket)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveHere(t, "-c", file, "--backend", "toy=0s", "--admin", "unix:"+socket)
	if s.admin != "unix:"+socket {
		t.Errorf("the admin API is at %s, want unix:%s", s.admin, socket)
	}
	url := "https://" + s.http
	if code, _, stderr := sluice(t, "predict", "echo", "--random", "--url", url, "--ca", cert, "--cert", cert, "--key", key); code != exitOK {
		t.Errorf("over TLS: %d %s", code, stderr)
	}
	for name, args := range map[string][]string{
		"no authority":   {"--cert", cert, "--key", key},
		"no certificate": {"--ca", cert},
	} {
		if code, _, stderr := sluice(t, append([]string{"predict", "echo", "--random", "--url", url}, args...)...); code != exitUnreachable {
			t.Errorf("%s: %d %s", name, code, stderr)
		}
	}
	if code, stdout, stderr := sluice(t, "models", "list", "--admin", s.admin); code != exitOK || !strings.Contains(stdout, "echo") {
		t.Errorf("over the socket: %d\n%s%s", code, stdout, stderr)
	}
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := sluice(t, "version")
	if code != exitOK || !strings.Contains(stdout, "built with") || !strings.Contains(stdout, "ONNX Runtime") || stderr != "" {
		t.Errorf("%d\n%s%s", code, stdout, stderr)
	}
	code, stdout, _ = sluice(t, "version", "-o", "json")
	var info versionInfo
	if err := json.Unmarshal([]byte(stdout), &info); err != nil || code != exitOK || info.Go == "" || info.Version == "" {
		t.Errorf("%d %v\n%s", code, err, stdout)
	}
}

func TestSchemaAndCompletion(t *testing.T) {
	code, stdout, _ := sluice(t, "config", "schema")
	var schema map[string]any
	if err := json.Unmarshal([]byte(stdout), &schema); err != nil || code != exitOK || schema["properties"] == nil {
		t.Errorf("schema: %d %v\n%.200s", code, err, stdout)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, stdout, _ := sluice(t, "completion", shell); code != exitOK || len(stdout) < 1000 {
			t.Errorf("completion %s: %d, %d bytes", shell, code, len(stdout))
		}
	}
	if _, stdout, _ := sluice(t, "__complete", "models", "list", "--output", ""); !strings.HasPrefix(stdout, "text\njson\n") {
		t.Errorf("completing --output offers %q", stdout)
	}
}
