package h1

import (
	"cmp"
	"net"
	"time"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h1/syntax"
)

// Options configures a Server.
type Options struct {
	// HeaderTimeout is how long a client may take for a request's head, from its first byte, and for the
	// first byte of a new connection. Default 10 s. Longer suffers slow clients, and slow attacks, longer.
	HeaderTimeout time.Duration

	// IdleTimeout is how long a connection may wait for its next request. Default 75 s. Longer saves
	// reconnects and holds memory.
	IdleTimeout time.Duration

	// RestAfter is how long a connection waits for its next request before it rests: it gives back most of its memory
	// then, and takes a few microseconds more to serve the next one. It is up to 16 times as long where requests came
	// closer together before. Default 100 ms. Longer holds memory.
	RestAfter time.Duration

	// BodyRate is the least rate of a body in bytes a second, counted from its start once BodyGrace is
	// over. Default 1 KiB/s. Higher frees budget from slow clients sooner.
	BodyRate int

	// BodyGrace is how long a body may be slower than BodyRate. Default 5 s.
	BodyGrace time.Duration

	// WriteIdle is how long a client may take nothing of an answer. Default 30 s.
	WriteIdle time.Duration

	// MaxHeaderBytes bounds the header fields of a request. Default 16 KiB, at most 48 KiB.
	MaxHeaderBytes int

	// MaxHeaders bounds the number of header fields. Default 100, which is also the most.
	MaxHeaders int

	// MaxTarget bounds the request target. Default 8 KiB, at most 12 KiB.
	MaxTarget int

	// MaxConnections bounds open connections, those of HTTP2 among them; one more is answered 503 and closed.
	// Default 10000.
	MaxConnections int

	// MaxConnectionsPerIP bounds open connections of one IPv4 address or IPv6 /64. Default 0: no bound.
	MaxConnectionsPerIP int

	// ProxyProtocol has every connection begin with a header of the PROXY protocol, version 1 or 2, before TLS: the
	// client that it names is whose connection it is. One that does not come within HeaderTimeout, or is malformed,
	// ends its connection. Default false: there is none.
	ProxyProtocol bool

	// MaxConnectionAge closes connections that are older, after an answer, spread by a tenth either way.
	// Default 0: never.
	MaxConnectionAge time.Duration

	// MinCompress is the least size of an answer that is compressed for a client that asks. Default 1 KiB.
	MinCompress int

	// MaxRatio bounds how much larger than sent a compressed body may become, once it is over 1 MiB.
	// Default 100. Higher lets bombs get closer to the limit of the body.
	MaxRatio int

	// ServerName is sent in the header field Server. Default empty: none is sent.
	ServerName string

	// HTTP2 serves connections whose client speaks HTTP/2: it gets the connection, after its handshake if it has
	// TLS, and the bytes that were read of it. It returns at once, and calls done when it has closed the connection.
	// Default nil: HTTP/2 is refused.
	HTTP2 func(sock net.Conn, read []byte, done func())

	// Metrics is told what happens.
	Metrics Metrics
}

const mostTarget = 12 << 10

// EnsureDefaults fills in what is not set.
func (o *Options) EnsureDefaults() {
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 10*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 75*time.Second)
	o.RestAfter = cmp.Or(o.RestAfter, 100*time.Millisecond)
	o.BodyGrace = cmp.Or(o.BodyGrace, 5*time.Second)
	o.WriteIdle = cmp.Or(o.WriteIdle, 30*time.Second)
	o.BodyRate = cmp.Or(o.BodyRate, 1<<10)
	o.MaxHeaderBytes = cmp.Or(o.MaxHeaderBytes, 16<<10)
	o.MaxHeaders = cmp.Or(o.MaxHeaders, syntax.MostFields)
	o.MaxTarget = cmp.Or(o.MaxTarget, 8<<10)
	o.MaxConnections = cmp.Or(o.MaxConnections, 10000)
	o.MinCompress = cmp.Or(o.MinCompress, 1<<10)
	o.MaxRatio = cmp.Or(o.MaxRatio, 100)
}

// Validate tells what is out of range. It expects the defaults to be filled in.
func (o *Options) Validate() error {
	return cmp.Or(
		wire.Positive("h1: HeaderTimeout", o.HeaderTimeout),
		wire.Positive("h1: IdleTimeout", o.IdleTimeout),
		wire.Positive("h1: RestAfter", o.RestAfter),
		wire.Positive("h1: BodyGrace", o.BodyGrace),
		wire.Positive("h1: WriteIdle", o.WriteIdle),
		wire.Within("h1: BodyRate", o.BodyRate, 1, 1<<30),
		wire.Within("h1: MaxHeaderBytes", o.MaxHeaderBytes, 256, syntax.MostBytes),
		wire.Within("h1: MaxHeaders", o.MaxHeaders, 1, syntax.MostFields),
		wire.Within("h1: MaxTarget", o.MaxTarget, 16, mostTarget),
		wire.Within("h1: MaxConnections", o.MaxConnections, 1, 1<<30),
		wire.Within("h1: MaxConnectionsPerIP", o.MaxConnectionsPerIP, 0, 1<<30),
		wire.Within("h1: MinCompress", o.MinCompress, 1, 1<<30),
		wire.Within("h1: MaxRatio", o.MaxRatio, 1, 1<<30),
		wire.NotNegative("h1: MaxConnectionAge", o.MaxConnectionAge),
	)
}
