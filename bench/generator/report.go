package generator

import (
	"fmt"
	"io"
	"time"

	"github.com/sluice-serving/sluice/bench/generator/client"
	"github.com/sluice-serving/sluice/bench/machine"
)

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

// WriteText says it in words, as one line.
func (p Progress) WriteText(w io.Writer) {
	phase := ""
	if !p.Measuring {
		phase = "  not measured"
	}
	fmt.Fprintf(w, "%3.0fs  %d answered (%.0f/s)  %d errors  p50 %s  p99 %s%s\n",
		p.Elapsed.Seconds(), p.Completed, p.PerSecond, p.Errors, short(p.P50), short(p.P99), phase)
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

	CPU machine.Usage `json:"cpu"`
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

// counter is where a verdict is counted.
func (e *ErrorCounts) counter(v client.Verdict) *uint64 {
	switch v {
	case client.WrongStatus:
		return &e.Status
	case client.WrongBody:
		return &e.Body
	case client.Right, client.WrongProtocol:
	}
	return &e.Protocol
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

// Load is the one that was measured.
func (r *Report) Load() Load { return Load{r.Options.Connections, r.Options.Streams, r.Options.Rate} }

// WriteText says it in words.
func (r *Report) WriteText(w io.Writer) {
	fmt.Fprintf(w, "%s, %.1fs\n", r.Load(), r.Elapsed.Seconds())
	fmt.Fprintf(w, "answered      %d (%.0f/s), %d wrong or lost, %d unfinished\n", r.Completed, r.PerSecond(), r.Errors.Total(), r.Unfinished)
	line := func(name string, h *Histogram) {
		fmt.Fprintf(w, "%-13s mean %s  p50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n", name, short(h.Mean()),
			short(h.Quantile(0.5)), short(h.Quantile(0.9)), short(h.Quantile(0.99)), short(h.Quantile(0.999)), short(h.Max()))
	}
	line("latency", &r.Latency)
	if r.Options.Rate > 0 {
		line("from sending", &r.Service)
		line("generator lag", &r.Lag)
	}
	if late := r.Late(); late != nil {
		fmt.Fprintf(w, "doubtful      %v\n", late)
	}
	if r.CPU.Target > 0 {
		fmt.Fprintf(w, "CPU           %s a request, other work used %.1f%% of the machine\n", short(r.CPUPerRequest()), 100*r.CPU.Foreign())
	}
}

// short rounds to three digits.
func short(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
