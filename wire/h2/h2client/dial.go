package h2client

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// errNotH2 is a server that speaks TLS and no HTTP/2.
var errNotH2 = errors.New("it does not speak HTTP/2 over TLS")

// dial connects, and then is the connection's reader.
func (cl *Client) dial() {
	sock, err := cl.open()
	if err != nil {
		cl.dialFailed(err)
		cl.leave()
		return
	}
	c := newConn(cl, sock)
	cl.mu.Lock()
	cl.mu.all[c] = struct{}{}
	cl.mu.Unlock()
	c.serve()
}

func (cl *Client) dialFailed(err error) {
	if !cl.closed.Load() {
		cl.note(wire.Unreached(err))
		cl.log.Info("connecting to an endpoint failed", zap.String("endpoint", cl.opts.Address), zap.Error(err))
	}
	cl.mu.Lock()
	cl.mu.dialing = false
	cl.backOff()
	left := cl.left()
	cl.mu.Unlock()
	failAll(left, &verdictDown)
}

// open connects as far as TLS.
func (cl *Client) open() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(cl.ctx, cl.opts.ConnectTimeout)
	defer cancel()
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4},
		Control:         controlSocket,
	}
	network, address := "tcp", cl.opts.Address
	if path, ok := strings.CutPrefix(address, wire.UnixPrefix); ok {
		network, address = "unix", path
	}
	sock, err := d.DialContext(ctx, network, address)
	if err != nil || cl.opts.TLS == nil {
		return sock, err
	}
	config := cl.opts.TLS.Clone()
	config.NextProtos = []string{"h2"}
	if config.ServerName == "" {
		if host, _, err := net.SplitHostPort(cl.opts.Authority); err == nil {
			config.ServerName = host
		} else {
			config.ServerName = cl.opts.Authority
		}
	}
	secure := tls.Client(sock, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = sock.Close()
		return nil, err
	}
	if secure.ConnectionState().NegotiatedProtocol != "h2" {
		_ = sock.Close()
		return nil, errNotH2
	}
	return secure, nil
}

// unsettled says why a connection ended on which the server had not said yet that it speaks HTTP/2.
func (c *Conn) unsettled(why *link.Fault) string {
	first := c.in.Bytes()
	switch said := wire.Unlike(first); {
	case strings.HasPrefix(string(first), "HTTP/") && c.client.opts.TLS == nil: // as ports of TLS answer what is in clear
		return said + ", where HTTP/2 was expected: it has none, or wants TLS"
	case said != "":
		return said + ", where HTTP/2 was expected"
	case len(first) > 0:
		return "it does not answer in HTTP/2"
	case c.broke != nil:
		return wire.Unreached(c.broke)
	case why == &faultEOFServer:
		return "it ends connections before it says anything: it may speak TLS, or no HTTP/2"
	case why == &link.FaultNoPreface:
		return "it takes connections and says nothing"
	}
	return why.Text
}
