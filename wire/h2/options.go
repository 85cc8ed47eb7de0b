package h2

import (
	"cmp"
	"time"

	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// Options configures a Server.
type Options struct {
	// MaxStreams bounds the streams of a connection that are open or still being worked on. Default 256.
	// More lets one client hold more.
	MaxStreams int

	// MaxHeaderBytes bounds the header fields of a request, counted as HTTP/2 does. Default 16 KiB. Sixteen
	// times as much ends the connection.
	MaxHeaderBytes int

	// MaxHeaders bounds the number of header fields, beside HTTP/2's own. Default 100, as over HTTP/1.1.
	MaxHeaders int

	// MaxMessage bounds a gRPC message, after decompression too. Default 64 MiB.
	MaxMessage int64

	// MaxFrame is the largest frame that clients are told to send. Default 16 KiB, the protocol's least.
	// Larger saves a little work on large messages and lets one stream of a connection delay its others.
	MaxFrame int

	// HeaderTimeout is how long a client may take for a frame or a header block from its first byte, and
	// for the first bytes of a connection. Default 10 s.
	HeaderTimeout time.Duration

	// IdleTimeout is how long a connection may have no stream. Default 75 s. Longer saves reconnects and
	// holds memory.
	IdleTimeout time.Duration

	// BodyRate is the least rate of a request's body in bytes a second, counted from its start once
	// BodyGrace is over. Default 1 KiB/s.
	BodyRate int

	// BodyGrace is how long a body may be slower than BodyRate. Default 5 s.
	BodyGrace time.Duration

	// WriteIdle is how long a client may take nothing, or next to nothing, of an answer. Default 30 s.
	WriteIdle time.Duration

	// RoomWait is how long a message that is longer than its window may wait for room in the budget of bytes
	// in flight, unless its deadline is sooner. Default 1 s. Longer refuses fewer and has them wait.
	RoomWait time.Duration

	// MaxConnections bounds open connections. Default 10000.
	MaxConnections int

	// MaxConnectionAge has clients of older connections go elsewhere, spread by a tenth either way; what
	// runs is finished. Default 0: never.
	MaxConnectionAge time.Duration

	// MinCompress is the least size of a plain HTTP answer that is compressed for a client that asks.
	// Default 1 KiB.
	MinCompress int

	// MaxRatio bounds how much larger than sent a compressed body or message may become, once it is over
	// 1 MiB. Default 100.
	MaxRatio int

	// ServerName is sent in the header field server of plain HTTP answers. Default empty: none is sent.
	ServerName string

	// Metrics is told what happens.
	Metrics Metrics
}

// EnsureDefaults fills in what is not set.
func (o *Options) EnsureDefaults() {
	o.MaxStreams = cmp.Or(o.MaxStreams, 256)
	o.MaxHeaderBytes = cmp.Or(o.MaxHeaderBytes, 16<<10)
	o.MaxHeaders = cmp.Or(o.MaxHeaders, 100)
	o.MaxMessage = cmp.Or(o.MaxMessage, 64<<20)
	o.MaxFrame = cmp.Or(o.MaxFrame, frame.DefaultSize)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 10*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 75*time.Second)
	o.BodyRate = cmp.Or(o.BodyRate, 1<<10)
	o.BodyGrace = cmp.Or(o.BodyGrace, 5*time.Second)
	o.WriteIdle = cmp.Or(o.WriteIdle, 30*time.Second)
	o.RoomWait = cmp.Or(o.RoomWait, time.Second)
	o.MaxConnections = cmp.Or(o.MaxConnections, 10000)
	o.MinCompress = cmp.Or(o.MinCompress, 1<<10)
	o.MaxRatio = cmp.Or(o.MaxRatio, 100)
}

// Validate tells what is out of range. It expects the defaults to be filled in.
func (o *Options) Validate() error {
	return cmp.Or(
		wire.Positive("h2: HeaderTimeout", o.HeaderTimeout),
		wire.Positive("h2: IdleTimeout", o.IdleTimeout),
		wire.Positive("h2: BodyGrace", o.BodyGrace),
		wire.Positive("h2: WriteIdle", o.WriteIdle),
		wire.Positive("h2: RoomWait", o.RoomWait),
		wire.Within("h2: MaxStreams", o.MaxStreams, 1, 1<<20),
		wire.Within("h2: MaxHeaderBytes", o.MaxHeaderBytes, 256, 1<<20),
		wire.Within("h2: MaxHeaders", o.MaxHeaders, 1, 1<<20),
		wire.Within("h2: MaxMessage", o.MaxMessage, 1, 1<<31-1),
		wire.Within("h2: MaxFrame", o.MaxFrame, frame.DefaultSize, frame.LargestSize),
		wire.Within("h2: BodyRate", o.BodyRate, 1, 1<<30),
		wire.Within("h2: MaxConnections", o.MaxConnections, 1, 1<<30),
		wire.Within("h2: MinCompress", o.MinCompress, 1, 1<<30),
		wire.Within("h2: MaxRatio", o.MaxRatio, 1, 1<<30),
		wire.NotNegative("h2: MaxConnectionAge", o.MaxConnectionAge),
	)
}
