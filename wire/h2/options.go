package h2

import (
	"fmt"
	"time"

	"github.com/sluice-serving/sluice/wire/h2/frame"
)

// Options configures a Server.
type Options struct {
	// MaxStreams bounds the streams of a connection that are open or still being worked on. Default 256.
	// More lets one client hold more.
	MaxStreams int

	// MaxHeaderBytes bounds the header fields of a request, counted as HTTP/2 does. Default 16 KiB. Four
	// times as much ends the connection.
	MaxHeaderBytes int

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
	setDefault(&o.MaxStreams, 256)
	setDefault(&o.MaxHeaderBytes, 16<<10)
	setDefault(&o.MaxMessage, 64<<20)
	setDefault(&o.MaxFrame, frame.DefaultSize)
	setDefault(&o.HeaderTimeout, 10*time.Second)
	setDefault(&o.IdleTimeout, 75*time.Second)
	setDefault(&o.BodyRate, 1<<10)
	setDefault(&o.BodyGrace, 5*time.Second)
	setDefault(&o.WriteIdle, 30*time.Second)
	setDefault(&o.RoomWait, time.Second)
	setDefault(&o.MaxConnections, 10000)
	setDefault(&o.MinCompress, 1<<10)
	setDefault(&o.MaxRatio, 100)
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Validate tells what is out of range. It expects the defaults to be filled in.
func (o *Options) Validate() error {
	for _, d := range []struct {
		name string
		v    time.Duration
	}{
		{"HeaderTimeout", o.HeaderTimeout},
		{"IdleTimeout", o.IdleTimeout},
		{"BodyGrace", o.BodyGrace},
		{"WriteIdle", o.WriteIdle},
		{"RoomWait", o.RoomWait},
	} {
		if d.v <= 0 {
			return fmt.Errorf("h2: %s is %v, must be above 0", d.name, d.v)
		}
	}
	for _, n := range []struct {
		name        string
		v, min, max int64
	}{
		{"MaxStreams", int64(o.MaxStreams), 1, 1 << 20},
		{"MaxHeaderBytes", int64(o.MaxHeaderBytes), 256, 1 << 20},
		{"MaxMessage", o.MaxMessage, 1, 1<<31 - 1},
		{"MaxFrame", int64(o.MaxFrame), frame.DefaultSize, frame.LargestSize},
		{"BodyRate", int64(o.BodyRate), 1, 1 << 30},
		{"MaxConnections", int64(o.MaxConnections), 1, 1 << 30},
		{"MinCompress", int64(o.MinCompress), 1, 1 << 30},
		{"MaxRatio", int64(o.MaxRatio), 1, 1 << 30},
	} {
		if n.v < n.min || n.v > n.max {
			return fmt.Errorf("h2: %s is %d, must be from %d to %d", n.name, n.v, n.min, n.max)
		}
	}
	if o.MaxConnectionAge < 0 {
		return fmt.Errorf("h2: MaxConnectionAge is %v, must not be negative", o.MaxConnectionAge)
	}
	return nil
}
