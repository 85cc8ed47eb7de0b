package h2

// Reason names why something was refused or closed, for metrics. It is one of a fixed set.
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

// Why streams are refused.
const (
	RefusedStreams Reason = "h2_streams" // more than MaxStreams
	RefusedHeaders Reason = "h2_headers" // malformed or too large
	RefusedBody    Reason = "h2_body"    // a body that breaks its framing
)

// Metrics is told what happens. Every field may be nil. The functions are called on the serving
// goroutines and must not block.
type Metrics struct {
	ConnOpened func()
	ConnClosed func(Reason)
	ParseError func(Reason) // a stream's head, or a body's or message's framing, was refused
	Rejected   func(Reason) // refused for what it asks: too_large, inflate, encoding, memory, h2_streams
	Panicked   func()       // a handler panicked
}

func (m *Metrics) opened() {
	if m.ConnOpened != nil {
		m.ConnOpened()
	}
}

func (m *Metrics) closed(why Reason) {
	if m.ConnClosed != nil {
		m.ConnClosed(why)
	}
}

func (m *Metrics) parseError(why Reason) {
	if m.ParseError != nil {
		m.ParseError(why)
	}
}

func (m *Metrics) rejected(why Reason) {
	if m.Rejected != nil {
		m.Rejected(why)
	}
}

func (m *Metrics) panicked() {
	if m.Panicked != nil {
		m.Panicked()
	}
}
