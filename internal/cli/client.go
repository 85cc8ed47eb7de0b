package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// maxAnswer bounds what is read of one answer.
const maxAnswer = 1 << 30

// dialTimeout bounds how long a connection may take to come up.
const dialTimeout = 5 * time.Second

// endpoint is a server that a command talks to.
type endpoint struct {
	what string // as errors call it: "the gateway"
	flag string // the flag that names it
	base string // scheme, host and prefix
	name string // as errors call it: base, or unix:PATH
	http *http.Client
}

// tlsFlags say how a command proves who it and the server are.
type tlsFlags struct{ ca, cert, key string }

func (f *tlsFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.ca, "ca", "", "file of the authorities that sign the server's certificate (default: the system's)")
	fl.StringVar(&f.cert, "cert", "", "file of the client's certificate")
	fl.StringVar(&f.key, "key", "", "file of the client's private key")
}

func (f *tlsFlags) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, usage("--ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("--ca: %s holds no certificate", f.ca)
		}
	}
	if f.cert != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, usage("--cert and --key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// newEndpoint makes a client of the server at address: HOST:PORT, a URL, or unix:PATH.
func newEndpoint(what, flag, address string, security tlsFlags) (*endpoint, error) {
	config, err := security.config()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{TLSClientConfig: config, DialContext: dialer.DialContext, DisableCompression: true}
	e := &endpoint{what: what, flag: flag, http: &http.Client{Transport: transport}}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return nil, usage("--%s %q: want unix:PATH", flag, address)
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
		e.base, e.name = "http://localhost", address
		return e, nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usage("--%s %.128q: want HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:PATH", flag, address)
	}
	e.base = strings.TrimRight(u.Scheme+"://"+u.Host+u.Path, "/")
	e.name = e.base
	return e, nil
}

// close ends the connections.
func (e *endpoint) close() { e.http.CloseIdleConnections() }

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request and reads the whole answer, which may be a refusal.
func (e *endpoint) do(ctx context.Context, method, path string, header http.Header, body []byte) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, e.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, usage("--%s: %w", e.flag, err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return nil, e.lost(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, e.lost(err)
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("%s answers with more than %d bytes", e.what, maxAnswer)
	}
	return &answer{resp.StatusCode, resp.Header, data}, nil
}

// lost says that no answer came.
func (e *endpoint) lost(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &exitError{exitUnreachable, fmt.Errorf("%s at %s does not answer in time", e.what, e.name)}
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &exitError{exitUnreachable, fmt.Errorf("cannot reach %s at %s: %w; is it running? --%s names another", e.what, e.name, err, e.flag)}
}

// refusal is the error of an answer that is not a success, nil for a success.
func (a *answer) refusal(what string) error {
	if a.status < 300 {
		return nil
	}
	var said struct {
		Error string `json:"error"`
		Code  string `json:"code"`
	}
	var text string
	switch {
	case json.Unmarshal(a.body, &said) != nil || said.Error == "":
		text = fmt.Sprintf("%s answers %d %s", what, a.status, http.StatusText(a.status))
	case said.Code != "":
		text = fmt.Sprintf("%s (%s, status %d)", said.Error, said.Code, a.status)
	default:
		text = fmt.Sprintf("%s (status %d)", said.Error, a.status)
	}
	return &refusedError{a.status, text}
}

// refusedError says how a server refused a request.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return e.text }

// get reads a JSON answer into v.
func (e *endpoint) get(ctx context.Context, path string, header http.Header, v any) error {
	return e.ask(ctx, http.MethodGet, path, header, v)
}

// ask sends a request without a body and reads the JSON answer into v.
func (e *endpoint) ask(ctx context.Context, method, path string, header http.Header, v any) error {
	a, err := e.do(ctx, method, path, header, nil)
	if err != nil {
		return err
	}
	if err := a.refusal(e.what); err != nil {
		return err
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("%s does not speak the protocol that is expected: %w", e.what, err)
	}
	return nil
}
