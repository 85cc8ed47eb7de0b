package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Options says what one generator sends, and for how long.
type Options struct {
	// Target is where to connect: "127.0.0.1:8000", "[::1]:8000" or "unix:/run/sluice.sock". Names are not resolved.
	Target string `json:"target"`
	// Request is sent as it stands, once for every request: head and body of one HTTP/1.1 request (NewRequest makes one).
	Request []byte `json:"request,omitempty"`
	// GRPC has calls made instead.
	GRPC *GRPC `json:"grpc,omitempty"`
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

// Progress is what a generator says while it runs.
type Progress struct {
	Elapsed   time.Duration `json:"elapsed_ns"`
	Measuring bool          `json:"measuring"`
	Completed uint64        `json:"completed"`
	PerSecond float64       `json:"per_second"` // completed, over the last second
	Errors    uint64        `json:"errors"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
}

// Report is what one run of the generator measured. Counts and CPU times are those of the measured time; the latencies
// of an open loop are those of every request that was due in it.
type Report struct {
	Options    Options       `json:"-"`
	Elapsed    time.Duration `json:"elapsed_ns"`
	Completed  uint64        `json:"completed"`
	Bytes      uint64        `json:"bytes"`
	Reconnects uint64        `json:"reconnects"`
	Unfinished uint64        `json:"unfinished"`
	Errors     ErrorCounts   `json:"errors"`

	// Latency runs from the moment a request was due to its last byte, so that a request which had to wait for a
	// connection is charged its wait (the correction of coordinated omission). In a closed loop a request is due when it
	// is sent.
	Latency Histogram `json:"latency"`
	// Service runs from the moment a request was sent.
	Service Histogram `json:"service"`
	// Lag is how late the generator itself was: from due to sent, of requests for which a connection was idle.
	Lag Histogram `json:"lag"`

	CPU Usage `json:"cpu"`
}

// ErrorCounts counts requests that got no right answer, by what went wrong.
type ErrorCounts struct {
	Status   uint64 `json:"status,omitempty"`
	Body     uint64 `json:"body,omitempty"`
	Protocol uint64 `json:"protocol,omitempty"`
	Closed   uint64 `json:"closed,omitempty"`
	Timeout  uint64 `json:"timeout,omitempty"`
	// First says what the first of them was.
	First string `json:"first,omitempty"`
}

// Total is the number of all errors.
func (e *ErrorCounts) Total() uint64 { return e.Status + e.Body + e.Protocol + e.Closed + e.Timeout }

// maxLag is how late the generator may be at the 99th percentile before its latencies are its own and not the server's.
const maxLag = 100 * time.Microsecond

// Late returns an error if the generator could not keep to the plan of an open loop, although connections were idle.
func (r *Report) Late() error {
	if lag := r.Lag.Quantile(0.99); r.Options.Rate > 0 && lag > maxLag {
		return fmt.Errorf("the generator itself was late: p99 %s, more than %s", short(lag), maxLag)
	}
	return nil
}

// PerSecond is the rate of completed requests.
func (r *Report) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Completed) / r.Elapsed.Seconds()
}

// CPUPerRequest is the measured processes' CPU time over the completed requests, zero when nothing was measured.
func (r *Report) CPUPerRequest() time.Duration {
	if r.Completed == 0 {
		return 0
	}
	return r.CPU.Target / time.Duration(r.Completed)
}

// Load is how many connections send, and how fast.
type Load struct {
	Connections int
	Streams     int     // requests in flight on each; 0 is 1
	Rate        float64 // requests a second of an open loop; 0: closed loop
}

// String says it in words.
func (l Load) String() string {
	conns := fmt.Sprintf("%d connections", l.Connections)
	if l.Connections == 1 {
		conns = "1 connection"
	}
	if l.Streams > 1 {
		conns += fmt.Sprintf(" of %d streams", l.Streams)
	}
	if l.Rate == 0 {
		return conns + ", closed loop"
	}
	return fmt.Sprintf("%s, open loop at %g/s", conns, l.Rate)
}

// parseLoads reads "32,8x8,32@10000": connections, streams behind the x, and a rate behind the @.
func parseLoads(s string) ([]Load, error) {
	var loads []Load
	for part := range strings.SplitSeq(s, ",") {
		l, err := parseLoad(part)
		if err != nil {
			return nil, fmt.Errorf("%.128q is not CONNECTIONS[xSTREAMS][@RATE]", part)
		}
		loads = append(loads, l)
	}
	return loads, nil
}

func parseLoad(s string) (l Load, err error) {
	lanes, rate, open := strings.Cut(s, "@")
	conns, streams, several := strings.Cut(lanes, "x")
	if l.Connections, err = strconv.Atoi(conns); err == nil && several {
		l.Streams, err = strconv.Atoi(streams)
	}
	if err == nil && open {
		l.Rate, err = strconv.ParseFloat(rate, 64)
	}
	if err == nil && (l.Connections < 1 || several && l.Streams < 1 || open && !(l.Rate > 0)) {
		err = errors.New("out of range")
	}
	return l, err
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

// NewRequest builds the bytes of an HTTP/1.1 request. Content-Length is added when there is a body; headers are pairs
// of name and value.
func NewRequest(method, path, host string, body []byte, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host)
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	if body != nil {
		b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}
