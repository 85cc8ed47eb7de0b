package h1

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// TLSOptions names the files of a TLS listener.
type TLSOptions struct {
	Cert, Key string
	// ClientCA, if set, has clients asked for a certificate that these authorities signed.
	ClientCA string
	// HTTP2 has clients told that HTTP/2 is spoken as well.
	HTTP2 bool
}

// TLS holds the certificates of a listener. They can be replaced while it serves.
type TLS struct {
	opts    TLSOptions
	base    *tls.Config
	current atomic.Pointer[tls.Config]
}

// NewTLS reads the files of opts.
func NewTLS(opts TLSOptions) (*TLS, error) {
	t := &TLS{opts: opts}
	t.base = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return t.current.Load(), nil
		},
	}
	return t, t.Reload()
}

// Reload reads the files again. New connections get what they say; if it fails, what was before stands.
func (t *TLS) Reload() error {
	cert, err := tls.LoadX509KeyPair(t.opts.Cert, t.opts.Key)
	if err != nil {
		return fmt.Errorf("tls certificate: %w", err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"},
		Certificates: []tls.Certificate{cert},
	}
	if t.opts.HTTP2 {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	if t.opts.ClientCA != "" {
		pem, err := os.ReadFile(t.opts.ClientCA)
		if err != nil {
			return fmt.Errorf("tls client_ca: %w", err)
		}
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("tls client_ca: %w", errors.New("the file has no certificate"))
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	t.current.Store(config)
	return nil
}

// Listener returns ln with TLS on its connections, for servers that are not ours.
func (t *TLS) Listener(ln net.Listener) net.Listener { return tls.NewListener(ln, t.base) }

func (t *TLS) server(sock net.Conn) net.Conn { return tls.Server(sock, t.base) }
