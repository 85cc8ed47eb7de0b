package telemetry

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Errors says which failed requests the access log holds.
type Errors uint8

// The choices of what to do about failed requests.
const (
	ErrorsAll     Errors = iota // every one
	ErrorsSampled               // like the others: by ratio and slowness
	ErrorsNone                  // none
)

// ParseErrors reads "all", "sampled" or "none".
func ParseErrors(s string) (Errors, error) {
	switch s {
	case "all":
		return ErrorsAll, nil
	case "sampled":
		return ErrorsSampled, nil
	case "none":
		return ErrorsNone, nil
	}
	return 0, fmt.Errorf("access log errors %q: want all, sampled or none", s)
}

// AccessOptions says which requests the access log holds.
type AccessOptions struct {
	// Sample is the ratio of requests that are logged whatever happened to them, 0 to 1.
	Sample float64
	// Slow is the duration from which on a request is always logged; 0: none for being slow.
	Slow time.Duration
	// Errors says which failed requests are logged.
	Errors Errors
}

// Validate names the first setting that makes no sense.
func (o AccessOptions) Validate() error {
	switch {
	case !(o.Sample >= 0 && o.Sample <= 1):
		return fmt.Errorf("access log sample %v: want a ratio from 0 to 1", o.Sample)
	case o.Slow < 0:
		return fmt.Errorf("access log slow %v: want a duration that is not negative", o.Slow)
	case o.Errors > ErrorsNone:
		return fmt.Errorf("access log errors %d: want all, sampled or none", o.Errors)
	}
	return nil
}

// Access is one finished request. It has no room for header values, tensor contents or raw paths, and must not be
// given any.
type Access struct {
	Protocol  string // "http", "grpc"
	Method    string
	Path      string // the template of the route, such as /v2/models/{model}/infer
	Model     string // as configured
	Version   string
	Code      string // the outcome; "" and "OK" mean success
	Status    int    // what the client was told, in terms of its protocol
	BytesIn   int64
	BytesOut  int64
	Rows      int64
	Queue     time.Duration
	Compute   time.Duration
	Total     time.Duration
	RequestID []byte
	TraceID   [16]byte
	Remote    netip.AddrPort
}

// AccessLog writes one line for some of the requests. It is immutable; a generation has its own.
type AccessLog struct {
	opts   AccessOptions
	sample uint64 // a 63-bit random number below it is logged
	logger *zap.Logger
}

// NewAccessLog returns an access log that writes to logger, which should be a Log's AccessLogger.
func NewAccessLog(opts AccessOptions, logger *zap.Logger) *AccessLog {
	return &AccessLog{opts: opts, sample: uint64(opts.Sample * (1 << 63)), logger: logger.Named("access")}
}

// Log writes e if the options say so. It keeps nothing of e.
func (l *AccessLog) Log(e *Access) {
	if why := l.Why(e.Code, e.Total); why != "" {
		l.Write(e, why)
	}
}

// Write writes e for the reason that Why gave: a caller for whom filling in e is work asks first.
func (l *AccessLog) Write(e *Access, why string) {
	ce := l.logger.Check(zapcore.InfoLevel, "request")
	if ce == nil {
		return
	}
	// The copy is what escapes: an Access that is not logged may live on its caller's stack.
	line := accessLine{Access: *e, id: string(e.RequestID), why: why}
	line.RequestID = nil
	ce.Write(zap.Inline(&line))
}

// Why is the reason to log a request that ended with code after total, or "" if there is none.
func (l *AccessLog) Why(code string, total time.Duration) string {
	if code != "" && code != "OK" {
		switch l.opts.Errors {
		case ErrorsAll:
			return "error"
		case ErrorsNone:
			return ""
		}
	}
	if l.opts.Slow > 0 && total >= l.opts.Slow {
		return "slow"
	}
	if l.sample > 0 && rand.Uint64()>>1 < l.sample {
		return "sample"
	}
	return ""
}

type accessLine struct {
	Access
	id  string
	why string
}

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (e *accessLine) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("protocol", e.Protocol)
	enc.AddString("method", e.Method)
	enc.AddString("path", e.Path)
	if e.Model != "" {
		enc.AddString("model", e.Model)
	}
	if e.Version != "" {
		enc.AddString("version", e.Version)
	}
	code := e.Code
	if code == "" {
		code = "OK"
	}
	enc.AddString("code", code)
	enc.AddInt("status", e.Status)
	enc.AddInt64("bytes_in", e.BytesIn)
	enc.AddInt64("bytes_out", e.BytesOut)
	enc.AddInt64("rows", e.Rows)
	enc.AddFloat64("queue_ms", millis(e.Queue))
	enc.AddFloat64("compute_ms", millis(e.Compute))
	enc.AddFloat64("total_ms", millis(e.Total))
	enc.AddString("request_id", e.id)
	if e.TraceID != [16]byte{} {
		enc.AddString("trace_id", string(appendHex(nil, e.TraceID[:])))
	}
	if e.Remote.IsValid() {
		enc.AddString("remote", e.Remote.String())
	}
	enc.AddString("why", e.why)
	return nil
}

// millis is d in milliseconds, to the microsecond.
func millis(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
