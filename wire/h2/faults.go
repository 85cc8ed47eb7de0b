package h2

import (
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
)

// fault ends a connection.
type fault struct {
	code   frame.Code
	reason Reason
	text   string // for the log and, unless quiet, the peer
	quiet  bool   // nothing is said to the peer
}

// Why connections end, whoever reads. The variables are never written.
var (
	faultBroken     = fault{frame.NoError, ClosedReset, "the connection broke", true}
	faultWrite      = fault{frame.NoError, ClosedReset, "writing failed", true}
	faultForced     = fault{frame.NoError, ClosedForced, "in use when the grace ended", true}
	faultDrained    = fault{frame.NoError, ClosedDrain, "drained", true}
	faultPanic      = fault{frame.InternalError, ClosedFault, "internal error", false}
	faultNoPreface  = fault{frame.NoError, ClosedHeaderTime, "no preface", true}
	faultFirst      = fault{frame.ProtocolError, ClosedProtocol, "the first frame must be SETTINGS", false}
	faultSize       = fault{frame.FrameSizeError, ClosedProtocol, "a frame has a wrong size", false}
	faultStreamZero = fault{frame.ProtocolError, ClosedProtocol, "a frame needs a stream", false}
	faultHasStream  = fault{frame.ProtocolError, ClosedProtocol, "a frame is about the connection only", false}
	faultIdleStream = fault{frame.ProtocolError, ClosedProtocol, "a frame is for a stream that was not opened", false}
	faultBlock      = fault{frame.ProtocolError, ClosedProtocol, "a header block is interleaved or has no start", false}
	faultPadding    = fault{frame.ProtocolError, ClosedProtocol, "a padding is longer than its frame", false}
	faultSetting    = fault{frame.ProtocolError, ClosedProtocol, "a setting is out of range", false}
	faultWindowSet  = fault{frame.FlowControlError, ClosedProtocol, "a window is out of range", false}
	faultIncrement  = fault{frame.ProtocolError, ClosedProtocol, "a window increment is 0", false}
	faultHPACK      = fault{frame.CompressionError, ClosedProtocol, "a header block is corrupt", false}
	faultBomb       = fault{frame.EnhanceYourCalm, ClosedHeaders, "the header fields are much too large", false}
	faultManyParts  = fault{frame.EnhanceYourCalm, ClosedHeaders, "a header block is too large, or has no end", false}
	faultNoRoom     = fault{frame.EnhanceYourCalm, ClosedHeaders, "a header block came in parts, and the bytes in flight are at their limit", false}
	faultFlood      = fault{frame.EnhanceYourCalm, ClosedFlood, "too many control frames", false}
	faultEmpty      = fault{frame.EnhanceYourCalm, ClosedFlood, "too many empty frames", false}
	faultResets     = fault{frame.EnhanceYourCalm, ClosedResetFlood, "too many resets", false}
)

// hpackFault returns the fault of a header block that cannot be decoded.
func hpackFault(err error) *fault {
	if hpack.IsTooLong(err) {
		return &faultBomb
	}
	return &faultHPACK
}
