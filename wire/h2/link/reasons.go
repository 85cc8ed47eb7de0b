package link

// Reason names why a connection was closed, or something on it refused, for metrics. It is one of a fixed set.
type Reason string

// Why connections close.
const (
	ClosedByClient   Reason = "client"         // the client closed it between requests
	ClosedReset      Reason = "reset"          // it broke, or the client left within a request
	ClosedIdle       Reason = "idle"           // no stream within IdleTimeout
	ClosedHeaderTime Reason = "header_timeout" // a frame or header block that did not end in time
	ClosedSlowRead   Reason = "slow_read"      // an answer that was not taken within WriteIdle
	ClosedDrain      Reason = "drain"          // the server drains
	ClosedAge        Reason = "age"            // older than MaxConnectionAge
	ClosedForced     Reason = "forced"         // in use when the grace ended
	ClosedFull       Reason = "conns"          // too many connections
	ClosedFault      Reason = "fault"          // serving it panicked
	ClosedProtocol   Reason = "h2_proto"       // it broke the protocol
	ClosedHeaders    Reason = "h2_headers"     // header blocks without end or beyond measure
	ClosedFlood      Reason = "h2_flood"       // control frames beyond measure
	ClosedResetFlood Reason = "h2_reset_flood" // resets beyond measure, its own or those it provoked
)
