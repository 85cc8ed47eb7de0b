package telemetry

import "encoding/binary"

// TraceParent is a W3C trace context: which trace a request belongs to and which span called us.
// The zero value means none.
type TraceParent struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte
}

const (
	traceparentLen = 55
	// flagSampled and flagRandom are the flags that version 00 defines; others are not passed on.
	flagSampled = 1
	flagRandom  = 2
)

// ParseTraceParent reads a traceparent header strictly as W3C wrote it: lower-case digits, version 00 exactly 55
// bytes, later versions longer only behind a dash, no zero ids, never version ff. A caller that gets false restarts
// the trace.
func ParseTraceParent(v []byte) (TraceParent, bool) {
	var t TraceParent
	if len(v) < traceparentLen || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return TraceParent{}, false
	}
	var version, flags [1]byte
	if !parseHex(version[:], v[0:2]) || version[0] == 0xff {
		return TraceParent{}, false
	}
	if len(v) > traceparentLen && (version[0] == 0 || v[traceparentLen] != '-') {
		return TraceParent{}, false
	}
	if !parseHex(t.TraceID[:], v[3:35]) || !parseHex(t.SpanID[:], v[36:52]) || !parseHex(flags[:], v[53:55]) {
		return TraceParent{}, false
	}
	if t.TraceID == [16]byte{} || t.SpanID == [8]byte{} {
		return TraceParent{}, false
	}
	t.Flags = flags[0] & (flagSampled | flagRandom)
	return t, true
}

// Sampled says whether the caller records this trace.
func (t TraceParent) Sampled() bool { return t.Flags&flagSampled != 0 }

// IsZero says whether there is no trace.
func (t TraceParent) IsZero() bool { return t.TraceID == [16]byte{} }

// Append appends the header's value, in version 00.
func (t TraceParent) Append(dst []byte) []byte {
	dst = append(dst, "00-"...)
	dst = appendHex(dst, t.TraceID[:])
	dst = append(dst, '-')
	dst = appendHex(dst, t.SpanID[:])
	return append(dst, '-', '0', hexDigits[t.Flags&0xf])
}

// NewTrace starts a trace that nobody samples.
func (g *IDs) NewTrace() TraceParent {
	var t TraceParent
	binary.BigEndian.PutUint64(t.TraceID[:8], g.high)
	binary.BigEndian.PutUint64(t.TraceID[8:], g.unique())
	binary.BigEndian.PutUint64(t.SpanID[:], g.unique())
	return t
}

// Child is the context that we send on under t: the same trace, a span of our own.
func (g *IDs) Child(t TraceParent) TraceParent {
	binary.BigEndian.PutUint64(t.SpanID[:], g.unique())
	return t
}

func parseHex(dst, src []byte) bool {
	for i := range dst {
		hi, lo := hexValue(src[2*i]), hexValue(src[2*i+1])
		if hi|lo > 0xf {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

// hexValue is 0xff for what is not a lower-case hexadecimal digit.
func hexValue(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}
