package wire

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestUnreached(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 1}, Err: err}
	}
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"no such name", dial(&net.DNSError{Err: "no such host", Name: "models.svc", Server: "10.0.0.2:53", IsNotFound: true}), "the name models.svc does not resolve: there is no such host"},
		{"a resolver that is away", dial(&net.DNSError{Err: "server misbehaving", Name: "models.svc", Server: "10.0.0.2:53"}), "the name models.svc does not resolve: server misbehaving"},
		{"refused", dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "it refuses connections: nothing listens there"},
		{"no way", dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "no route to host"},
		{"reset", &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 41234}, Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "connection reset by peer"},
		{"slow", fmt.Errorf("dial: %w", context.DeadlineExceeded), "connecting to it takes too long"},
		{"slow socket", dial(os.ErrDeadlineExceeded), "connecting to it takes too long"},
		{"authority", fmt.Errorf("tls: %w", x509.UnknownAuthorityError{}), "its certificate is not trusted: certificate signed by unknown authority"},
		{"an alert", &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, "it ended TLS: bad certificate"},
		{"anything", errors.New("odd"), "odd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Unreached(test.err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestUnlike(t *testing.T) {
	for first, want := range map[string]string{
		"HTTP/1.1 400 Bad Request":             "it answers in plain HTTP/1.1",
		"\x00\x00\x12\x04\x00\x00\x00\x00\x00": "it answers in plain HTTP/2",
		"\x15\x03\x01\x00\x02\x02\x46":         "it speaks TLS",
		"SSH-2.0":                              "", "": "", "\x00": "",
	} {
		if got := Unlike([]byte(first)); got != want {
			t.Errorf("%q: got %q, want %q", first, got, want)
		}
	}
}
