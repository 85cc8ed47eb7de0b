package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true})
	return a
}

// sign completes a certificate and signs it: with its own key, if there is no other yet.
func (a *authority) sign(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.last++
	c.SerialNumber = big.NewInt(a.last)
	if c.NotAfter.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return c, key
}

// files writes a certificate and its key, and returns where they are.
func (a *authority) files(name string, c *x509.Certificate, key *ecdsa.PrivateKey) (cert, private string) {
	a.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, private = filepath.Join(a.t.TempDir(), name+".pem"), filepath.Join(a.t.TempDir(), name+".key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: c.Raw}, private: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return cert, private
}

// TestTLSToServersOfREST has servers of REST that show a certificate of their own authority, for a name that is not their
// address, and take clients of it alone.
func TestTLSToServersOfREST(t *testing.T) {
	a := newAuthority(t)
	ca, _ := a.files("ca", a.cert, a.key)
	ours, oursKey := a.sign(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	cert, key := a.files("client", ours, oursKey)
	theirs, theirKey := a.sign(&x509.Certificate{DNSNames: []string{"models.internal"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	l := &listener{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/models/theirs":
			_, _ = io.WriteString(w, `{"name":"theirs","ready":true}`)
		case "/v1/models/theirs:predict":
			_, _ = io.WriteString(w, `{"predictions":[[3.5,1.0]]}`)
		default:
			l.ServeHTTP(w, r)
		}
	}))
	server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	server.TLS = &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{theirs.Raw}, PrivateKey: theirKey}},
		ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	server.StartTLS()
	defer server.Close()
	defer server.CloseClientConnections()
	const name = "server_name: models.internal"
	right := fmt.Sprintf("{ca: %s, cert: %s, key: %s, %s}", ca, cert, key, name)
	pools, models := "pools:\n", "models:\n"
	for _, p := range []struct{ name, protocol, tls string }{
		{"v2", "rest", right},
		{"v1", "v1", right},
		{"nobody", "rest", fmt.Sprintf("{ca: %s, %s}", ca, name)},
		{"untrusted", "rest", fmt.Sprintf("{cert: %s, key: %s, %s}", cert, key, name)},
		{"misnamed", "rest", fmt.Sprintf("{ca: %s, cert: %s, key: %s}", ca, cert, key)},
	} {
		pools += fmt.Sprintf(`  - {name: %s, kind: kserve, protocol: %s, health: {interval: 30ms}, endpoints: [{address: %q}], tls: %s,
     signatures: [{model: theirs, inputs: [{name: x, datatype: FP32, shape: [-1, 2]}], outputs: [{name: y, datatype: FP32, shape: [-1, 2]}]}]}
`, p.name, p.protocol, server.Listener.Addr().String(), p.tls)
		version := map[string]string{"v1": "1"}[p.protocol]
		if version == "" {
			version = "3"
		}
		models += fmt.Sprintf("  - {name: %s, targets: [{version: %q, pool: %s, upstream: {model: theirs}}]}\n", p.name, version, p.name)
	}
	r := start(t, pools+models)
	const question = `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[3.5,1]}]}`
	for _, model := range []string{"v2", "v1"} {
		var body string
		waitFor(t, model+" serves", func() bool {
			var code int
			code, body = r.call("http", "POST", "/v2/models/"+model+"/infer", question)
			return code == http.StatusOK
		})
		if !strings.Contains(body, `"name":"y"`) {
			t.Errorf("%s answered %s", model, body)
		}
	}
	for _, model := range []string{"nobody", "untrusted", "misnamed"} {
		if code, body := r.call("http", "POST", "/v2/models/"+model+"/infer", question); code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", model, code, body)
		}
	}
	for _, why := range []string{"certificate signed by unknown authority", "cannot validate certificate for 127.0.0.1"} {
		waitFor(t, "the log says "+why, func() bool { return strings.Contains(r.logged(), why) })
	}
}
