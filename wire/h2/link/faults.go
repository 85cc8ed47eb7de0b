package link

import (
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
)

// Fault ends a connection.
type Fault struct {
	Code   frame.Code
	Reason Reason
	Text   string // for the log and, unless quiet, the peer
	Quiet  bool   // nothing is said to the peer
}

// Why connections end, whoever reads. The variables are never written.
var (
	FaultBroken     = Fault{frame.NoError, ClosedReset, "the connection broke", true}
	FaultWrite      = Fault{frame.NoError, ClosedReset, "writing failed", true}
	FaultForced     = Fault{frame.NoError, ClosedForced, "in use when the grace ended", true}
	FaultDrained    = Fault{frame.NoError, ClosedDrain, "drained", true}
	FaultPanic      = Fault{frame.InternalError, ClosedFault, "internal error", false}
	FaultNoPreface  = Fault{frame.NoError, ClosedHeaderTime, "no preface", true}
	faultFirst      = Fault{frame.ProtocolError, ClosedProtocol, "the first frame must be SETTINGS", false}
	FaultSize       = Fault{frame.FrameSizeError, ClosedProtocol, "a frame has a wrong size", false}
	faultStreamZero = Fault{frame.ProtocolError, ClosedProtocol, "a frame needs a stream", false}
	faultHasStream  = Fault{frame.ProtocolError, ClosedProtocol, "a frame is about the connection only", false}
	FaultIdleStream = Fault{frame.ProtocolError, ClosedProtocol, "a frame is for a stream that was not opened", false}
	faultBlock      = Fault{frame.ProtocolError, ClosedProtocol, "a header block is interleaved or has no start", false}
	faultPadding    = Fault{frame.ProtocolError, ClosedProtocol, "a padding is longer than its frame", false}
	faultSetting    = Fault{frame.ProtocolError, ClosedProtocol, "a setting is out of range", false}
	FaultWindowSet  = Fault{frame.FlowControlError, ClosedProtocol, "a window is out of range", false}
	faultIncrement  = Fault{frame.ProtocolError, ClosedProtocol, "a window increment is 0", false}
	faultHPACK      = Fault{frame.CompressionError, ClosedProtocol, "a header block is corrupt", false}
	faultBomb       = Fault{frame.EnhanceYourCalm, ClosedHeaders, "the header fields are much too large", false}
	faultManyParts  = Fault{frame.EnhanceYourCalm, ClosedHeaders, "a header block is too large, or has no end", false}
	faultNoRoom     = Fault{frame.EnhanceYourCalm, ClosedHeaders, "a header block came in parts, and the bytes in flight are at their limit", false}
	faultFlood      = Fault{frame.EnhanceYourCalm, ClosedFlood, "too many control frames", false}
	faultEmpty      = Fault{frame.EnhanceYourCalm, ClosedFlood, "too many empty frames", false}
	faultResets     = Fault{frame.EnhanceYourCalm, ClosedResetFlood, "too many resets", false}
)

// HeaderFault returns the fault of a header block that cannot be decoded.
func HeaderFault(err error) *Fault {
	if hpack.IsTooLong(err) {
		return &faultBomb
	}
	return &faultHPACK
}
