package h1

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sluice-serving/sluice/wire"
)

// certificate writes a self-signed pair called name to dir, and returns the certificate.
func certificate(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	first := certificate(t, dir, "first")
	certs, err := NewTLS(TLSOptions{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	waiters := make(chan *waiter, 1)
	k := newHarnessOn(t, ln, certs, Options{}, handlerFunc(func(x wire.Exchange) {
		if string(x.Path()) == "/wait" {
			waiting(waiters).Serve(x)
			return
		}
		echo(x)
	}))
	dial := func(root *x509.Certificate, protos ...string) (*tls.Conn, error) {
		pool := x509.NewCertPool()
		pool.AddCert(root)
		return tls.Dial("tcp", k.addr, &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: protos})
	}
	c, err := dial(first, "h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	if p := c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("protocol %q, want http/1.1", p)
	}
	br := bufio.NewReader(c)
	for _, size := range []int{10, 100_000, bodyLimit} {
		body := strings.Repeat("x", size)
		send(t, c, string(clientRequest(size)))
		if a := wantAnswer(t, br, 200); string(a.body) != body {
			t.Fatalf("%d bytes came back, want %d", len(a.body), size)
		}
	}
	send(t, c, get("X Y: a\r\n"))
	wantAnswer(t, br, 400)
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("then %v, want the end", err)
	}
	_ = c.Close()

	if c, err := dial(first, "h2"); err == nil {
		_ = c.Close()
		t.Error("a client that speaks HTTP/2 only was let in")
	}

	second := certificate(t, dir, "second")
	if err := certs.Reload(); err != nil {
		t.Fatal(err)
	}
	if c, err := dial(first); err == nil {
		_ = c.Close()
		t.Error("the old certificate is still served")
	}
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := certs.Reload(); err == nil {
		t.Error("a broken certificate was loaded")
	}
	if c, err = dial(second); err != nil {
		t.Fatalf("after a reload that failed: %v", err)
	}
	if runtime.GOOS == "linux" { // where hang-ups are watched
		send(t, c, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
		w := <-waiters
		reset(t, c.NetConn())
		if how := <-w.told; how != wire.Reset {
			t.Errorf("told %d, want Reset", how)
		}
	}
}

func TestTLSAsksForClientCertificates(t *testing.T) {
	dir := t.TempDir()
	cert := certificate(t, dir, "both")
	opts := TLSOptions{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "cert.pem")}
	certs, err := NewTLS(opts)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := newHarnessOn(t, ln, certs, Options{}, handlerFunc(echo))
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	pair, err := tls.LoadX509KeyPair(opts.Cert, opts.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, with := range []bool{true, false} {
		config := &tls.Config{RootCAs: pool, ServerName: "localhost"}
		if with {
			config.Certificates = []tls.Certificate{pair}
		}
		c, err := tls.Dial("tcp", k.addr, config)
		if err == nil {
			_, _ = io.WriteString(c, get(""))
			_, err = readAnswer(bufio.NewReader(c), "GET")
			_ = c.Close()
		}
		if (err == nil) != with {
			t.Errorf("with a certificate %v: %v", with, err)
		}
	}
	for name, opts := range map[string]TLSOptions{
		"no key":           {Cert: opts.Cert, Key: filepath.Join(dir, "none")},
		"no authority":     {Cert: opts.Cert, Key: opts.Key, ClientCA: filepath.Join(dir, "none")},
		"key as authority": {Cert: opts.Cert, Key: opts.Key, ClientCA: opts.Key},
	} {
		if _, err := NewTLS(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	// What a killed process leaves: a socket that nobody listens on.
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = stale.Close()
	ln, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	newHarnessOn(t, ln, nil, Options{MaxConnectionsPerIP: 1}, handlerFunc(echo))
	for range 2 { // a unix socket's peers are nobody's address
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		br := bufio.NewReader(c)
		for range 2 {
			send(t, c, post("Content-Length: 4\r\n", "body"))
			wantAnswer(t, br, 200)
		}
	}
	if _, err := Listen("unix:" + path); err == nil {
		t.Error("a socket in use was replaced")
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:" + file); err == nil {
		t.Error("a file was replaced by a socket")
	}
}
