package generator

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sluice-serving/sluice/bench/generator/client"
)

// Options says what one generator sends, and for how long.
type Options struct {
	// Target is where to connect: "127.0.0.1:8000", "[::1]:8000" or "unix:/run/sluice.sock". Names are not resolved.
	Target string `json:"target"`
	// Request is sent as it stands, once for every request: head and body of one HTTP/1.1 request (NewRequest makes one).
	Request []byte `json:"request,omitempty"`
	// GRPC has calls made instead.
	GRPC *client.GRPC `json:"grpc,omitempty"`
	// Connections, default 1.
	Connections int `json:"connections"`
	// Streams are the requests in flight on each connection, default 1, which is all that HTTP/1.1 can.
	Streams int `json:"streams"`
	// Rate is the number of requests a second of an open loop, evenly spaced; 0 is a closed loop, in which a request
	// follows as soon as another one is answered.
	Rate float64 `json:"rate"`
	// Warmup is sent and not measured, default 300 ms.
	Warmup time.Duration `json:"warmup"`
	// Duration is measured, default 2 s.
	Duration time.Duration `json:"duration"`
	// Drain is how long an open loop waits, after Duration, for what it has sent or owes, default 2 s. What is still
	// unanswered then is recorded with its age.
	Drain time.Duration `json:"drain"`
	// Eager has the generator of an open loop stay awake from so long before each request is due, and ahead of others
	// where the system allows: a processor that sleeps, or is somebody else's, would make it late. Default 0.
	Eager time.Duration `json:"eager,omitempty"`
	// Settle has a closed loop wait as long for what is still in flight, instead of hanging up on the server.
	Settle bool `json:"settle,omitempty"`
	// Timeout of one request, default 10 s; its connection is then closed and counts as an error.
	Timeout time.Duration `json:"timeout"`
	// Status of HTTP/1.1 that counts as a right answer, default 200.
	Status int `json:"status"`
	// Body, when not nil, is what every answer's body, or message, must equal.
	Body []byte `json:"body,omitempty"`
	// Processes are ids of the measured processes, whose CPU time is read at both ends of the measured time.
	Processes []int `json:"processes,omitempty"`
	// Beside are processes that take part without being measured, such as what a proxy passes on to: their time is
	// nobody's disturbance.
	Beside []int `json:"beside,omitempty"`
	// Progress, when not nil, is called about once a second.
	Progress func(Progress) `json:"-"`
}

// EnsureDefaults fills in what was left out.
func (o *Options) EnsureDefaults() {
	if o.Connections == 0 {
		o.Connections = 1
	}
	if o.Streams == 0 {
		o.Streams = 1
	}
	if o.Warmup == 0 {
		o.Warmup = 300 * time.Millisecond
	}
	if o.Duration == 0 {
		o.Duration = 2 * time.Second
	}
	if o.Drain == 0 {
		o.Drain = 2 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Status == 0 {
		o.Status = 200
	}
}

// Validate names the first option that cannot be used.
func (o *Options) Validate() error {
	switch {
	case o.Connections < 1 || o.Connections > 50_000:
		return fmt.Errorf("connections: %d is not between 1 and 50000", o.Connections)
	case o.Rate < 0 || o.Rate > 10e6:
		return fmt.Errorf("rate: %g is not between 0 and 10 million a second", o.Rate)
	case o.Duration < time.Millisecond || o.Warmup < 0 || o.Drain < 0 || o.Timeout < time.Millisecond:
		return fmt.Errorf("duration %s, warmup %s, drain %s, timeout %s: too short", o.Duration, o.Warmup, o.Drain, o.Timeout)
	case o.Streams < 1 || o.Streams > 1000:
		return fmt.Errorf("streams: %d is not between 1 and 1000", o.Streams)
	case o.Streams > 1 && o.GRPC == nil:
		return fmt.Errorf("streams: %d, but a connection of HTTP/1.1 carries one request", o.Streams)
	case o.GRPC != nil && !strings.HasPrefix(o.GRPC.Path, "/"):
		return fmt.Errorf("path: %.128q is not /SERVICE/METHOD", o.GRPC.Path)
	case o.GRPC == nil && !bytes.Contains(o.Request, []byte("\r\n\r\n")):
		return fmt.Errorf("request: %d bytes without the end of a head", len(o.Request))
	case o.Status < 200 || o.Status > 599:
		return fmt.Errorf("status: %d is not between 200 and 599", o.Status)
	}
	if path, ok := strings.CutPrefix(o.Target, "unix:"); ok {
		if path == "" {
			return fmt.Errorf("target: %q names no socket", o.Target)
		}
		return nil
	}
	if _, err := netip.ParseAddrPort(o.Target); err != nil {
		return fmt.Errorf("target: %q is neither ADDRESS:PORT nor unix:PATH: %w", o.Target, err)
	}
	return nil
}

// client is what each connection needs to know.
func (o *Options) client() *client.Options {
	return &client.Options{Target: o.Target, Request: o.Request, Status: o.Status, GRPC: o.GRPC, Streams: o.Streams, Body: o.Body}
}

// Run sends until Duration is over or ctx ends and reports what it measured. It occupies one OS thread, allocates
// nothing per request, and needs Linux. Errors of single requests are counted in the report; Run itself fails when the
// target cannot be reached.
func Run(ctx context.Context, opts Options) (Report, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return Report{}, err
	}
	return run(ctx, opts)
}
