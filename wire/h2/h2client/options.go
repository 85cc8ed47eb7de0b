package h2client

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/wire"
)

// Options configures a Client.
type Options struct {
	// Address is host:port, or unix: and a path.
	Address string

	// TLS has the client speak TLS, with HTTP/2 asked for by ALPN. Default nil: plain text.
	TLS *tls.Config

	// Authority is what calls name that name none. Default the address, localhost for a unix socket.
	Authority string

	// UserAgent is sent with every call. Default sluice.
	UserAgent string

	// MaxConnections bounds the connections. Default 2. One coalesces best; more spread the work of reading
	// over more cores.
	MaxConnections int

	// SpreadStreams and SpreadBytes are the calls in flight, and the bytes not yet sent, of a connection from
	// which on another one is opened and used. Default 64, and 4 MiB.
	SpreadStreams int
	SpreadBytes   int64

	// MaxStreams bounds the calls in flight on a connection, below what the server allows. Default 1000.
	MaxStreams int

	// MaxWaiting bounds the calls that wait for a connection, or for room on one. Default 1024. More hides
	// for longer that the server does not keep up.
	MaxWaiting int

	// MaxHeaderBytes bounds the header fields, and the trailers, of an answer, counted as HTTP/2 does.
	// Default 16 KiB. Sixteen times as much ends the connection.
	MaxHeaderBytes int

	// MaxMessage bounds the message of an answer, after decompression too. Default 64 MiB.
	MaxMessage int64

	// MaxRatio bounds how much larger than sent a compressed message may become, once it is over 1 MiB.
	// Default 100.
	MaxRatio int

	// ConnectTimeout is how long connecting may take, up to the server's settings. Default 5 s.
	ConnectTimeout time.Duration

	// MinBackoff and MaxBackoff bound how long no connection is tried after one failed, doubled each time and
	// spread by a tenth either way. Calls are refused meanwhile if there is no other connection. Default
	// 100 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration

	// KeepAlive has a connection with calls in flight from which nothing came for so long asked for a sign of
	// life; it is lost when none comes within as long again. Default 0: never. Servers take it ill if it is
	// less than five minutes; a peer that does not acknowledge what is sent is found out without it.
	KeepAlive time.Duration

	// WriteIdle is how long a server may take nothing of what is sent. Default 30 s.
	WriteIdle time.Duration

	// Connect returns what is told that answers from a connection have been handed on. Default nil: nobody.
	Connect func(c *Conn) Drainer
}

// Drainer belongs to one connection. What its reader finishes calls with may be kept there.
type Drainer interface {
	// Drained follows one or more answers, when all that was read has been handed on: now is the time to
	// flush. The reader flushes its own connection after it.
	Drained()
}

// EnsureDefaults fills in what is not set.
func (o *Options) EnsureDefaults() {
	o.Authority = cmp.Or(o.Authority, authority(o.Address))
	o.UserAgent = cmp.Or(o.UserAgent, "sluice")
	o.MaxConnections = cmp.Or(o.MaxConnections, 2)
	o.SpreadStreams = cmp.Or(o.SpreadStreams, 64)
	o.SpreadBytes = cmp.Or(o.SpreadBytes, 4<<20)
	o.MaxStreams = cmp.Or(o.MaxStreams, 1000)
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 1024)
	o.MaxHeaderBytes = cmp.Or(o.MaxHeaderBytes, 16<<10)
	o.MaxMessage = cmp.Or(o.MaxMessage, 64<<20)
	o.MaxRatio = cmp.Or(o.MaxRatio, 100)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 5*time.Second)
	o.MinBackoff = cmp.Or(o.MinBackoff, 100*time.Millisecond)
	o.MaxBackoff = cmp.Or(o.MaxBackoff, 5*time.Second)
	o.WriteIdle = cmp.Or(o.WriteIdle, 30*time.Second)
}

func authority(address string) string {
	if strings.HasPrefix(address, wire.UnixPrefix) {
		return "localhost"
	}
	return address
}

// Validate tells what is out of range. It expects the defaults to be filled in.
func (o *Options) Validate() error {
	if o.Address == "" || o.Address == wire.UnixPrefix {
		return fmt.Errorf("h2: Address is %q, must be host:port or unix:PATH", o.Address)
	}
	return cmp.Or(
		wire.Positive("h2: ConnectTimeout", o.ConnectTimeout),
		wire.Positive("h2: MinBackoff", o.MinBackoff),
		wire.Positive("h2: MaxBackoff", o.MaxBackoff),
		wire.Positive("h2: WriteIdle", o.WriteIdle),
		wire.Within("h2: MaxConnections", o.MaxConnections, 1, 1<<10),
		wire.Within("h2: SpreadStreams", o.SpreadStreams, 1, 1<<20),
		wire.Within("h2: SpreadBytes", o.SpreadBytes, 1, 1<<40),
		wire.Within("h2: MaxStreams", o.MaxStreams, 1, 1<<20),
		wire.Within("h2: MaxWaiting", o.MaxWaiting, 1, 1<<30),
		wire.Within("h2: MaxHeaderBytes", o.MaxHeaderBytes, 256, 1<<20),
		wire.Within("h2: MaxMessage", o.MaxMessage, 1, 1<<31-1),
		wire.Within("h2: MaxRatio", o.MaxRatio, 1, 1<<30),
		wire.Ordered("h2: MinBackoff", o.MinBackoff, "MaxBackoff", o.MaxBackoff),
		wire.NotNegative("h2: KeepAlive", o.KeepAlive),
	)
}
