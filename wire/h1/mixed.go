package h1

import (
	"crypto/tls"
	"errors"
	"time"

	"go.uber.org/zap"
)

const plainText = "plain HTTP was sent to a port that speaks TLS"

const tlsText = "TLS was spoken to a port without it"

// plainOnTLS answers a client whose first bytes are HTTP where TLS is spoken. Its answer is in clear, which is what it
// can read; any other bytes get none. It is one of HTTP/1.1 even to HTTP/2: clients of gRPC know one by its first bytes,
// say so and wait before they try again, where settings and a GOAWAY have them come back at once, for ever. err is what the
// handshake returned. It tells whether that was so.
func (c *conn) plainOnTLS(err error) bool {
	var first tls.RecordHeaderError
	if c.Conn == c.sock || c.served || !errors.As(err, &first) || first.Conn == nil {
		return false
	}
	method := plainMethod(string(first.RecordHeader[:]))
	if method == "" {
		return false
	}
	c.log(plainText)
	c.srv.metrics.refused(&refusePlain)
	answer := c.refusalOf(&refusePlain, method == "HEAD")
	// Both fail only where the connection is broken, which ends either way.
	_ = c.sock.SetWriteDeadline(time.Now().Add(c.srv.opts.WriteIdle))
	_, _ = c.sock.Write(answer)
	c.lingerBelow(lingerTime)
	return true
}

// plainMethod returns the method with which a request of HTTP begins, or what stands for one in the preface of HTTP/2,
// of which so many bytes are known as a record of TLS has in its head. Empty: it is none.
func plainMethod(first string) string {
	for _, method := range [...]string{
		"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PRI",
	} {
		line := method + " "
		if n := min(len(line), len(first)); line[:n] == first[:n] {
			return method
		}
	}
	return ""
}

// speaksTLS tells whether the first bytes of the connection are those of a handshake of TLS, where none is spoken.
func (c *conn) speaksTLS() bool {
	const handshake, major = 0x16, 3
	first := c.req.buf[:c.req.w]
	if c.Conn != c.sock || len(first) < 2 || first[0] != handshake || first[1] != major {
		return false
	}
	c.log(tlsText)
	return true
}

// log says what happened to the connection. The log itself bounds how often it says the same.
func (c *conn) log(what string) {
	if ce := c.srv.log.Check(zap.WarnLevel, what); ce != nil {
		ce.Write(zap.Stringer("client", c.sock.RemoteAddr()), zap.Stringer("listener", c.sock.LocalAddr()))
	}
}
