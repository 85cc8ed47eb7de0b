package h1client

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h1/syntax"
)

// Options configures a Client.
type Options struct {
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
func (o *Options) EnsureDefaults() {
	if o.Host == "" {
		if o.Host = o.Address; strings.HasPrefix(o.Address, wire.UnixPrefix) {
			o.Host = "localhost"
		}
	}
	o.UserAgent = cmp.Or(o.UserAgent, "sluice")
	o.MaxBody = cmp.Or(o.MaxBody, 64<<20)
	o.MaxConnections = cmp.Or(o.MaxConnections, 64)
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 1024)
	o.MaxHeaderBytes = cmp.Or(o.MaxHeaderBytes, 16<<10)
	o.MaxHeaders = cmp.Or(o.MaxHeaders, syntax.MostFields)
	o.MaxRatio = cmp.Or(o.MaxRatio, 100)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 5*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 4*time.Second)
	o.MinBackoff = cmp.Or(o.MinBackoff, 100*time.Millisecond)
	o.MaxBackoff = cmp.Or(o.MaxBackoff, 5*time.Second)
}

// Validate tells what is out of range. It expects the defaults to be filled in.
func (o *Options) Validate() error {
	switch {
	case o.Address == "" || o.Address == wire.UnixPrefix:
		return fmt.Errorf("h1: Address is %q, must be host:port or unix:PATH", o.Address)
	case !syntax.PlainHost([]byte(o.Host)):
		return fmt.Errorf("h1: Host is %q, must be a name or an address, with a port or without", o.Host)
	case !syntax.PlainValue([]byte(o.UserAgent)):
		return fmt.Errorf("h1: UserAgent is %q, must be printable", o.UserAgent)
	}
	return cmp.Or(
		wire.Positive("h1: ConnectTimeout", o.ConnectTimeout),
		wire.Positive("h1: IdleTimeout", o.IdleTimeout),
		wire.Positive("h1: MinBackoff", o.MinBackoff),
		wire.Positive("h1: MaxBackoff", o.MaxBackoff),
		wire.Within("h1: MaxConnections", o.MaxConnections, 1, 1<<16),
		wire.Within("h1: MaxWaiting", o.MaxWaiting, 1, 1<<30),
		wire.Within("h1: MaxHeaderBytes", o.MaxHeaderBytes, 256, syntax.MostBytes),
		wire.Within("h1: MaxHeaders", o.MaxHeaders, 1, syntax.MostFields),
		wire.Within("h1: MaxBody", o.MaxBody, 1, 1<<31-1),
		wire.Within("h1: MaxRatio", o.MaxRatio, 1, 1<<30),
		wire.Ordered("h1: MinBackoff", o.MinBackoff, "MaxBackoff", o.MaxBackoff),
	)
}
