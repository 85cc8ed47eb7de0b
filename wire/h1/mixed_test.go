package h1

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-serving/sluice/wire"
)

// newTLSHarness is a server that speaks TLS.
func newTLSHarness(t *testing.T, h wire.Handler) *harness {
	t.Helper()
	dir := t.TempDir()
	certificate(t, dir, "server")
	certs, err := NewTLS(TLSOptions{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newHarnessOn(t, ln, certs, Options{}, h)
}

func TestPlainHTTPOnAPortOfTLS(t *testing.T) {
	k := newTLSHarness(t, handlerFunc(echo))
	body := strings.Repeat("x", 100_000)
	for _, test := range []struct{ name, send, method string }{
		{"GET", get(""), "GET"},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD"},
		{"POST, and a body that nobody reads", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + body, "POST"},
		{"HTTP/2", http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "POST"},
		{"DELETE", "DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			k.refused.Store(nil)
			c := k.dial()
			send(t, c, test.send)
			br := bufio.NewReader(c)
			a, err := readAnswer(br, test.method)
			if err != nil || a.StatusCode != 400 || !a.Close {
				t.Fatalf("answer %v, %v; want 400", a, err)
			}
			want := `{"error":"plain HTTP was sent to a port that speaks TLS","code":"BAD_REQUEST","request_id":"`
			if test.method != "HEAD" && !strings.HasPrefix(string(a.body), want) {
				t.Errorf("body %s, want %s", a.body, want)
			}
			if _, err := br.ReadByte(); err != io.EOF {
				t.Errorf("then %v, want the end", err)
			}
			_ = c.Close()
			if why := <-k.closed; why != ClosedRefused {
				t.Errorf("closed as %s", why)
			}
			if r := k.refused.Load(); deref(r) != "plain_http" {
				t.Errorf("counted as %s", deref(r))
			}
		})
	}
}

func TestNoAnswerInClearToWhatIsNotHTTP(t *testing.T) {
	k := newTLSHarness(t, handlerFunc(echo))
	for _, first := range []string{"SSH-2.0-OpenSSH_9.6\r\n", "GETTING /\r\n", "get / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x00\x00\x00", "PRIVMSG x\r\n"} {
		c := k.dial()
		send(t, c, first)
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("%q got %q", first, b)
		}
		_ = c.Close()
		if why := <-k.closed; why != ClosedTLS {
			t.Errorf("%q: closed as %s, want %s", first, why, ClosedTLS)
		}
	}
	if r := k.refused.Load(); r != nil {
		t.Errorf("counted as %s", *r)
	}
}

func TestTLSOnAPortWithout(t *testing.T) {
	k := newHarness(t, Options{}, handlerFunc(echo))
	for range 16 { // random bytes of a hello may hold ends of lines
		k.refused.Store(nil)
		c := k.dial()
		err := tls.Client(c, &tls.Config{ServerName: "localhost"}).Handshake()
		var record tls.RecordHeaderError
		if !errors.As(err, &record) || string(record.RecordHeader[:]) != "HTTP/" {
			t.Fatalf("the handshake ended with %v, want one that shows an answer of HTTP", err)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("then %v, want the end", err)
		}
		_ = c.Close()
		if why := <-k.closed; why != ClosedRefused || deref(k.refused.Load()) != "tls_hello" {
			t.Fatalf("closed as %s, counted as %s", why, deref(k.refused.Load()))
		}
	}
}
