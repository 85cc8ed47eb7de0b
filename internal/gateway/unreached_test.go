package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/admin"
)

// TestWhyServersAreNotReached holds that operators, and no clients, are told what keeps a pool from its servers.
func TestWhyServersAreNotReached(t *testing.T) {
	a := newAuthority(t)
	ca, _ := a.files("ca", a.cert, a.key)
	others, _ := a.files("others", newAuthority(t).cert, a.key)
	servers := x509.ExtKeyUsageServerAuth
	serve := func(secure bool, c *x509.Certificate, change func(*tls.Config)) string {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
		s.EnableHTTP2 = true
		if !secure {
			s.Start()
		} else {
			cert, key := a.sign(c)
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
			if change != nil {
				change(s.TLS)
			}
			s.StartTLS()
		}
		t.Cleanup(s.Close)
		t.Cleanup(s.CloseClientConnections)
		return s.Listener.Addr().String()
	}
	usable := func() *x509.Certificate {
		return &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{servers}}
	}
	plain, secure := serve(false, nil, nil), serve(true, usable(), nil)
	wary := serve(true, usable(), func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	misnamed := serve(true, &x509.Certificate{DNSNames: []string{"models.internal"}, ExtKeyUsage: []x509.ExtKeyUsage{servers}}, nil)
	expired := usable()
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	old := serve(true, expired, nil)
	nobody := httptest.NewServer(nil)
	nobody.Close()
	trusting := fmt.Sprintf("{ca: %s}", ca)
	cases := []struct{ name, protocol, address, tls, want string }{
		{"refused", "grpc", nobody.Listener.Addr().String(), "", "it refuses connections: nothing listens there"},
		{"refused-rest", "rest", nobody.Listener.Addr().String(), "", "it refuses connections: nothing listens there"},
		{"no-socket", "grpc", "unix:" + filepath.Join(t.TempDir(), "none"), "", "its socket does not exist"},
		{"unknown", "grpc", secure, fmt.Sprintf("{ca: %s}", others), "its certificate is not trusted: certificate signed by unknown authority"},
		{"unknown-rest", "rest", secure, fmt.Sprintf("{ca: %s}", others), "its certificate is not trusted: certificate signed by unknown authority"},
		{"misnamed", "grpc", misnamed, trusting, "its certificate is for another name: cannot validate certificate for 127.0.0.1"},
		{"named", "grpc", misnamed, fmt.Sprintf("{ca: %s, server_name: other}", ca), "its certificate is for another name: certificate is valid for models.internal, not other"},
		{"expired", "grpc", old, trusting, "its certificate, or one that signed it, is not valid now, but from "},
		{"wary", "grpc", wary, trusting, "it ended TLS: certificate required"},
		{"wary-rest", "rest", wary, trusting, "it ended TLS: certificate required"},
		{"plain-server", "grpc", plain, trusting, "it does not speak TLS: it answers in plain HTTP/1.1"},
		{"plain-server-rest", "rest", plain, trusting, "it does not speak TLS: it answers in plain HTTP/1.1"},
		{"tls-server", "grpc", secure, "", "it may speak TLS, or no HTTP/2"},
		{"tls-server-rest", "rest", secure, "", "a server that speaks TLS may answer so"},
		{"http1", "grpc", plain, "", "it answers in plain HTTP/1.1, where HTTP/2 was expected: it has none, or wants TLS"},
	}
	pools, models := "pools:\n", "models:\n"
	for _, c := range cases {
		pools += fmt.Sprintf("  - {name: %s, kind: kserve, protocol: %s, health: {interval: 30ms}, endpoints: [{address: %q}]", c.name, c.protocol, c.address)
		if c.tls != "" {
			pools += ", tls: " + c.tls
		}
		pools += "}\n"
		models += fmt.Sprintf("  - {name: %s, targets: [{version: \"1\", pool: %[1]s, upstream: {model: theirs}}]}\n", c.name)
	}
	r := start(t, pools+models)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var reason string
			defer func() { t.Log(reason) }()
			waitFor(t, fmt.Sprintf("the reason is %q", c.want), func() bool {
				var p admin.Pool
				_, body := r.call("admin", "GET", "/v1/pools/"+c.name, "")
				if err := json.Unmarshal([]byte(body), &p); err != nil {
					t.Fatalf("%v: %s", err, body)
				}
				if len(p.Endpoints) == 1 {
					reason = p.Endpoints[0].Reason
				}
				return strings.Contains(reason, c.want)
			})
			code, body := r.call("http", "POST", "/v2/models/"+c.name+"/infer", `{"inputs":[]}`)
			if code != http.StatusServiceUnavailable || strings.Contains(body, "certificate") || strings.Contains(body, "127.0.0.1") {
				t.Errorf("a client is told %d %s", code, body)
			}
		})
	}
}
