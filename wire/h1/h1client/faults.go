package h1client

// FaultKind is what kind of thing went wrong with a call.
type FaultKind uint8

// The kinds.
const (
	FaultCancelled FaultKind = iota + 1 // Cancel was called
	FaultUnreached                      // there was no connection to send the call on
	FaultLost                           // the connection ended before the answer did
	FaultMalformed                      // the answer breaks HTTP, or is coded in a way that was not asked for
	FaultTooLarge                       // the answer exceeds a limit
	FaultMemory                         // the bytes in flight are at their limit
	FaultInternal                       // a fault of ours
)

// Fault is why a call has no answer. Faults are values made once.
type Fault struct {
	Kind FaultKind
	Text string
}

// Error implements error.
func (f *Fault) Error() string { return "h1: " + f.Text }

// How calls end that are not answered. The variables are never written.
var (
	faultCancelled = Fault{FaultCancelled, "the call was cancelled"}
	faultClosed    = Fault{FaultUnreached, "the client was closed"}
	faultDown      = Fault{FaultUnreached, "the server could not be reached"}
	faultForced    = Fault{FaultLost, "the client was closed while the call was in flight"}
	faultWrite     = Fault{FaultLost, "the connection to the server was lost before the request was sent"}
	faultSilent    = Fault{FaultLost, "the connection to the server was lost before an answer came"}
	faultCutHead   = Fault{FaultLost, "the connection to the server was lost within the answer's head"}
	faultCutBody   = Fault{FaultLost, "the connection to the server was lost within the answer's body"}
	faultPanic     = Fault{FaultInternal, "reading the answer failed"}

	faultLineEnd     = Fault{FaultMalformed, "a line of the answer's head does not end in CRLF"}
	faultStatusLine  = Fault{FaultMalformed, "the answer does not begin with a status line of HTTP"}
	faultVersion     = Fault{FaultMalformed, "the answer's version is neither HTTP/1.1 nor HTTP/1.0"}
	faultFold        = Fault{FaultMalformed, "a header field of the answer is folded over several lines"}
	faultName        = Fault{FaultMalformed, "the name of a header field of the answer is malformed"}
	faultValue       = Fault{FaultMalformed, "the value of a header field of the answer has control characters"}
	faultLength      = Fault{FaultMalformed, "the answer's Content-Length is not a number"}
	faultLengthTwice = Fault{FaultMalformed, "the answer has more than one Content-Length"}
	faultBothFraming = Fault{FaultMalformed, "the answer has both Content-Length and Transfer-Encoding"}
	faultTransfer    = Fault{FaultMalformed, "the answer's Transfer-Encoding is not chunked alone, or its version is HTTP/1.0"}
	faultBodyless    = Fault{FaultMalformed, "the answer announces a body that its status cannot have"}
	faultUpgrade     = Fault{FaultMalformed, "the server switches to another protocol, which was not asked for"}
	faultInterim     = Fault{FaultMalformed, "too many informational answers came before the answer"}
	faultChunk       = Fault{FaultMalformed, "a chunk of the answer is malformed"}
	faultChunks      = Fault{FaultMalformed, "the answer has too many chunks"}
	faultChunkExt    = Fault{FaultMalformed, "the answer's chunk extensions are too long"}
	faultTrailer     = Fault{FaultMalformed, "the answer's trailers are malformed, too long, or of fields that may not trail"}
	faultExtra       = Fault{FaultMalformed, "the server sent more than one answer"}
	faultCoding      = Fault{FaultMalformed, "the answer is compressed in a way that was not asked for"}
	faultCorrupt     = Fault{FaultMalformed, "the compressed answer is corrupt"}

	faultHeadSize  = Fault{FaultTooLarge, "the answer's head is larger than the limit"}
	faultHeadCount = Fault{FaultTooLarge, "the answer has more header fields than the limit"}
	faultTooLarge  = Fault{FaultTooLarge, "the answer is larger than the limit"}
	faultRatio     = Fault{FaultTooLarge, "the compressed answer expands too much"}
	faultMemory    = Fault{FaultMemory, "the bytes in flight are at their limit"}
)
