package h2

import "github.com/sluice-serving/sluice/wire/h2/frame"

// Why a server's connections end, beside what any ends for. The variables are never written.
var (
	faultRest     = fault{} // is none: the reader rests
	faultEOF      = fault{code: frame.NoError, reason: ClosedByClient, text: "the client closed the connection", quiet: true}
	faultAged     = fault{code: frame.NoError, reason: ClosedAge, text: "older than its age", quiet: true}
	faultIdle     = fault{code: frame.NoError, reason: ClosedIdle, text: "idle"}
	faultSlowHead = fault{code: frame.ProtocolError, reason: ClosedHeaderTime, text: "a frame took too long"}
	faultNoAck    = fault{code: frame.SettingsTimeout, reason: ClosedProtocol, text: "the settings were not acknowledged"}
	faultSlowRead = fault{code: frame.EnhanceYourCalm, reason: ClosedSlowRead, text: "answers are not taken"}
	faultPreface  = fault{code: frame.ProtocolError, reason: ClosedProtocol, text: "the preface is wrong"}
	faultStreamID = fault{code: frame.ProtocolError, reason: ClosedProtocol, text: "a stream id is even or too low"}
	faultClosed   = fault{code: frame.StreamClosed, reason: ClosedProtocol, text: "a header block is for a closed stream"}
	faultPush     = fault{code: frame.ProtocolError, reason: ClosedProtocol, text: "clients do not push"}
)
