package h1client

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/wire"
)

// dial connects, and then makes the call that waits longest, if one still waits.
func (cl *Client) dial() {
	m := &cl.mu
	c, err := cl.open()
	if err != nil {
		m.Lock()
		m.dialing--
		closed := m.closed
		if !closed {
			cl.backOff()
		}
		left := cl.left()
		m.Unlock()
		if !closed {
			cl.note(wire.Unreached(err))
			cl.log.Info("connecting to an endpoint failed", zap.String("endpoint", cl.opts.Address), zap.Error(err))
		}
		cl.failAll(left, &faultDown)
		cl.leave()
		return
	}
	cl.trouble.Store(nil)
	m.Lock()
	m.dialing--
	m.all[c] = struct{}{}
	m.Unlock()
	cl.free(c)
	cl.leave()
}

// open connects, as far as TLS.
func (cl *Client) open() (*conn, error) {
	ctx, cancel := context.WithTimeout(cl.ctx, cl.opts.ConnectTimeout)
	defer cancel()
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4},
	}
	network, address := "tcp", cl.opts.Address
	if path, ok := strings.CutPrefix(address, wire.UnixPrefix); ok {
		network, address = "unix", path
	}
	sock, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if cl.opts.TLS == nil {
		return newConn(cl, sock, newPeeker(sock), nil), nil
	}
	config := cl.opts.TLS.Clone()
	config.NextProtos = []string{"http/1.1"}
	if config.ServerName == "" {
		if host, _, err := net.SplitHostPort(cl.opts.Host); err == nil {
			config.ServerName = host
		} else {
			config.ServerName = cl.opts.Host
		}
	}
	peek := newPeeker(sock)
	secure := tls.Client(peek, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = sock.Close()
		return nil, err
	}
	return newConn(cl, sock, peek, secure), nil
}

// strange says why a new connection has no answer to its first call, where what came tells.
func (c *conn) strange(in *incoming) string {
	first := in.buf[:in.w]
	switch said := wire.Unlike(first); {
	case len(first) == 0 && in.err != nil && !errors.Is(in.err, io.EOF) && !errors.Is(in.err, net.ErrClosed): // the last is our own doing
		return wire.Unreached(in.err)
	case said != "" && !c.secure && !bytes.HasPrefix(first, []byte("HTTP/")):
		return said + ", where HTTP/1.1 was expected"
	}
	return ""
}
