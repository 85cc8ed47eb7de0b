package h1

import (
	"crypto/tls"
	"fmt"
	"strings"
	"time"
)

// ClientOptions configures a Client.
type ClientOptions struct {
	// Address is host:port, or unix: and a path.
	Address string

	// TLS has the client speak TLS. Default nil: plain text.
	TLS *tls.Config

	// Host is what calls send as Host, and what the server's certificate must be for unless TLS says a name.
	// Default the address, localhost for a unix socket.
	Host string

	// UserAgent is sent with every call. Default sluice.
	UserAgent string

	// MaxConnections bounds the connections, and with them the calls in flight: a connection has one at a time.
	// Default 64. More lets more calls reach the server at once.
	MaxConnections int

	// MaxWaiting bounds the calls that wait for a connection. Default 1024. More hides for longer that the server
	// does not keep up.
	MaxWaiting int

	// MaxHeaderBytes bounds the head of an answer. Default 16 KiB, at most 48 KiB.
	MaxHeaderBytes int

	// MaxHeaders bounds the number of its header fields. Default 100, which is also the most.
	MaxHeaders int

	// MaxBody bounds the body of an answer, after decompression too. Default 64 MiB.
	MaxBody int64

	// MaxRatio bounds how much larger than sent a compressed body may become, once it is over 1 MiB. Default 100.
	MaxRatio int

	// ConnectTimeout is how long connecting may take, TLS included. Default 5 s.
	ConnectTimeout time.Duration

	// IdleTimeout is how long a connection is kept without a call. Default 4 s: uvicorn, on which most Python
	// servers stand, closes after 5, and a call that meets a connection as it is closed is lost. Longer saves
	// reconnects where the server is known to wait longer.
	IdleTimeout time.Duration

	// MinBackoff and MaxBackoff bound how long no connection is tried after one failed, doubled each time and
	// spread by a tenth either way. Calls are refused meanwhile if there is no other connection. Default
	// 100 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
}

// EnsureDefaults fills in what is not set.
func (o *ClientOptions) EnsureDefaults() {
	if o.Host == "" {
		if o.Host = o.Address; strings.HasPrefix(o.Address, unixPrefix) {
			o.Host = "localhost"
		}
	}
	if o.UserAgent == "" {
		o.UserAgent = "sluice"
	}
	if o.MaxBody == 0 {
		o.MaxBody = 64 << 20
	}
	setInt(&o.MaxConnections, 64)
	setInt(&o.MaxWaiting, 1024)
	setInt(&o.MaxHeaderBytes, 16<<10)
	setInt(&o.MaxHeaders, mostHeaders)
	setInt(&o.MaxRatio, 100)
	setDuration(&o.ConnectTimeout, 5*time.Second)
	setDuration(&o.IdleTimeout, 4*time.Second)
	setDuration(&o.MinBackoff, 100*time.Millisecond)
	setDuration(&o.MaxBackoff, 5*time.Second)
}

// Validate tells what is out of range. It expects the defaults to be filled in.
func (o *ClientOptions) Validate() error {
	switch {
	case o.Address == "" || o.Address == unixPrefix:
		return fmt.Errorf("h1: Address is %q, must be host:port or unix:PATH", o.Address)
	case !plainHost([]byte(o.Host)):
		return fmt.Errorf("h1: Host is %q, must be a name or an address, with a port or without", o.Host)
	case !plainValue([]byte(o.UserAgent)):
		return fmt.Errorf("h1: UserAgent is %q, must be printable", o.UserAgent)
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{
		{"ConnectTimeout", o.ConnectTimeout},
		{"IdleTimeout", o.IdleTimeout},
		{"MinBackoff", o.MinBackoff},
		{"MaxBackoff", o.MaxBackoff},
	} {
		if d.v <= 0 {
			return fmt.Errorf("h1: %s is %v, must be above 0", d.name, d.v)
		}
	}
	for _, n := range []struct {
		name        string
		v, min, max int64
	}{
		{"MaxConnections", int64(o.MaxConnections), 1, 1 << 16},
		{"MaxWaiting", int64(o.MaxWaiting), 1, 1 << 30},
		{"MaxHeaderBytes", int64(o.MaxHeaderBytes), 256, mostHeaderBytes},
		{"MaxHeaders", int64(o.MaxHeaders), 1, mostHeaders},
		{"MaxBody", o.MaxBody, 1, 1<<31 - 1},
		{"MaxRatio", int64(o.MaxRatio), 1, 1 << 30},
	} {
		if n.v < n.min || n.v > n.max {
			return fmt.Errorf("h1: %s is %d, must be from %d to %d", n.name, n.v, n.min, n.max)
		}
	}
	if o.MaxBackoff < o.MinBackoff {
		return fmt.Errorf("h1: MaxBackoff is %v, must not be below MinBackoff, %v", o.MaxBackoff, o.MinBackoff)
	}
	return nil
}
