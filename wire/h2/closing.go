package h2

import (
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// Why a server's connections end, beside what any ends for. The variables are never written.
var (
	faultRest     = link.Fault{} // is none: the reader rests
	faultEOF      = link.Fault{Code: frame.NoError, Reason: link.ClosedByClient, Text: "the client closed the connection", Quiet: true}
	faultAged     = link.Fault{Code: frame.NoError, Reason: link.ClosedAge, Text: "older than its age", Quiet: true}
	faultIdle     = link.Fault{Code: frame.NoError, Reason: link.ClosedIdle, Text: "idle"}
	faultSlowHead = link.Fault{Code: frame.ProtocolError, Reason: link.ClosedHeaderTime, Text: "a frame took too long"}
	faultNoAck    = link.Fault{Code: frame.SettingsTimeout, Reason: link.ClosedProtocol, Text: "the settings were not acknowledged"}
	faultSlowRead = link.Fault{Code: frame.EnhanceYourCalm, Reason: link.ClosedSlowRead, Text: "answers are not taken"}
	faultPreface  = link.Fault{Code: frame.ProtocolError, Reason: link.ClosedProtocol, Text: "the preface is wrong"}
	faultStreamID = link.Fault{Code: frame.ProtocolError, Reason: link.ClosedProtocol, Text: "a stream id is even or too low"}
	faultClosed   = link.Fault{Code: frame.StreamClosed, Reason: link.ClosedProtocol, Text: "a header block is for a closed stream"}
	faultPush     = link.Fault{Code: frame.ProtocolError, Reason: link.ClosedProtocol, Text: "clients do not push"}
)
