package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Unreached says why a server cannot be connected to, for operators: the same words for the same fault, with neither our
// port nor the time in them. err is what connecting returned, or reading the first bytes of a connection.
func Unreached(err error) string {
	var unknown *net.DNSError
	switch {
	case errors.As(err, &unknown) && unknown.IsNotFound:
		return "the name " + unknown.Name + " does not resolve: there is no such host"
	case errors.As(err, &unknown):
		return "the name " + unknown.Name + " does not resolve: " + unknown.Err
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refuses connections: nothing listens there"
	case errors.Is(err, os.ErrNotExist):
		return "its socket does not exist"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "connecting to it takes too long"
	}
	if why := untrusted(err); why != "" {
		return why
	}
	return cause(err)
}

// untrusted says why there is no TLS with a server, if that is what err is about.
func untrusted(err error) string {
	var (
		record    tls.RecordHeaderError
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		told      *net.OpError
	)
	switch {
	case errors.As(err, &record):
		if first := Unlike(record.RecordHeader[:]); first != "" {
			return "it does not speak TLS: " + first
		}
		return "it does not speak TLS"
	case errors.As(err, &authority):
		return "its certificate is not trusted: certificate signed by unknown authority"
	case errors.As(err, &name):
		return "its certificate is for another name: " + strings.TrimPrefix(name.Error(), "x509: ")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		return fmt.Sprintf("its certificate, or one that signed it, is not valid now, but from %s to %s",
			invalid.Cert.NotBefore.UTC().Format(time.DateTime), invalid.Cert.NotAfter.UTC().Format(time.DateTime))
	case errors.As(err, &told) && told.Op == "remote error":
		return "it ended TLS: " + strings.TrimPrefix(told.Err.Error(), "tls: ")
	}
	return ""
}

// cause returns the text of the fault at the bottom of a connection's error, which names the connection's ends.
func cause(err error) string {
	var op *net.OpError
	var system *os.SyscallError
	switch {
	case errors.As(err, &system):
		return system.Err.Error()
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

// Unlike says what a server speaks by its first bytes, where they are not what was expected; nothing where they do not
// tell.
func Unlike(first []byte) string {
	const settings, alert = 4, 0x15
	switch {
	case strings.HasPrefix(string(first), "HTTP/"):
		return "it answers in plain HTTP/1.1"
	case len(first) > 4 && first[0] == 0 && first[3] == settings:
		return "it answers in plain HTTP/2"
	case len(first) > 1 && first[0] == alert && first[1] == 3:
		return "it speaks TLS"
	}
	return ""
}
