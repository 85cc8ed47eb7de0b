package upstream

import (
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/wire"
)

// The header fields, and the metadata, of a request's trail.
const (
	headerRequestID   = "x-request-id"
	headerTraceparent = "traceparent"
	headerTracestate  = "tracestate"
)

// trail is the [infer.Trail] of a run as fields to be sent, in memory of its own: the request may be gone before its
// call is.
type trail struct {
	fields [3]wire.Header
	text   []byte
}

// of returns the fields of a run of members. What merged has none: no id of one member is that of the whole.
func (t *trail) of(members []infer.Member) []wire.Header {
	if len(members) != 1 {
		return nil
	}
	return t.ofCall(members[0].Call)
}

// ofCall returns the fields of a call.
func (t *trail) ofCall(c *infer.Call) []wire.Header {
	from := &c.Request.Trail
	t.text = t.text[:0]
	fields := t.fields[:0]
	for _, f := range [...]wire.Header{
		{Name: headerRequestID, Value: from.RequestID},
		{Name: headerTraceparent, Value: from.Traceparent},
		{Name: headerTracestate, Value: from.Tracestate},
	} {
		if len(f.Value) == 0 {
			continue
		}
		at := len(t.text)
		t.text = append(t.text, f.Value...) // what was copied before stays where it is, if this moves
		f.Value = t.text[at:]
		fields = append(fields, f)
	}
	return fields
}
