package h2

import (
	"github.com/sluice-serving/sluice/wire"
)

// refusal is why a plain request was not served. Refusals are values made once.
type refusal struct {
	status int
	code   string // for the client, as in the table of answers
	reason Reason // for metrics
	text   string
}

// What is refused. The variables are never written.
var (
	refuseTarget     = refusal{414, "TARGET_TOO_LONG", "target_limit", "the request target is too long"}
	refuseHeaderSize = refusal{431, "HEADERS_TOO_LARGE", "header_limit", "the header fields are too large"}
	refuseUnderscore = refusal{400, "BAD_REQUEST", "underscore", wire.TwinText}
	refuseMethod     = refusal{405, "METHOD_NOT_ALLOWED", "method", "the method is not supported"}
	refuseExpect     = refusal{417, "BAD_EXPECTATION", "expect", "only 100-continue can be expected"}
	refuseShort      = refusal{400, "INCOMPLETE_BODY", "short_body", "the body ended before its length"}
	refuseBroken     = refusal{400, "BAD_FRAMING", "h2_body", "the body breaks its framing"}
	refuseSlowBody   = refusal{408, "REQUEST_TIMEOUT", "min_rate", "the body came too slowly"}
	refuseTooLarge   = refusal{413, "TOO_LARGE", "too_large", "the body is larger than the limit"}
	refuseRatio      = refusal{413, "TOO_LARGE", "inflate", "the body expands too much"}
	refuseCorrupt    = refusal{400, "BAD_ENCODING", "inflate", "the compressed body is corrupt"}
	refuseEncoding   = refusal{415, "UNSUPPORTED_ENCODING", "encoding", "the content encoding must be gzip or deflate, once"}
	refuseMemory     = refusal{429, "OVERLOADED", "memory", "the bytes in flight are at their limit"}
	refuseInternal   = refusal{500, "INTERNAL", "panic", "the request could not be served"}
)

// err returns the refusal as a handler sees it.
func (r *refusal) err() *wire.Error {
	return &wire.Error{Status: r.status, Code: r.code, Text: r.text}
}

// asks tells whether a request was refused for what it asks, not for how.
func (r *refusal) asks() bool {
	switch r.reason {
	case "too_large", "inflate", "encoding", "memory", "panic":
		return true
	}
	return false
}

// refused counts a refusal where it belongs.
func (m *Metrics) refused(r *refusal) {
	if r.asks() {
		m.rejected(r.reason)
	} else {
		m.parseError(r.reason)
	}
}
