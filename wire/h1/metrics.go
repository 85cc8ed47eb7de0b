package h1

// Reason names why something was refused or closed, for metrics. It is one of a fixed set.
type Reason string

// Why connections close.
const (
	ClosedByClient   Reason = "client"         // the client closed it between requests
	ClosedReset      Reason = "reset"          // it broke, or the client left within a request
	ClosedIdle       Reason = "idle"           // no request within IdleTimeout
	ClosedHeaderTime Reason = "header_timeout" // no whole head within HeaderTimeout
	ClosedSlowBody   Reason = "min_rate"       // a body slower than BodyRate
	ClosedSlowRead   Reason = "slow_read"      // an answer that was not taken within WriteIdle
	ClosedRefused    Reason = "refused"        // after a request that was refused
	ClosedAnswered   Reason = "answered"       // after an answer that said so
	ClosedDrain      Reason = "drain"          // the server drains
	ClosedAge        Reason = "age"            // older than MaxConnectionAge
	ClosedShed       Reason = "shed"           // idle, when descriptors were short
	ClosedForced     Reason = "forced"         // in use when the grace ended
	ClosedTLS        Reason = "tls"            // the handshake failed
	ClosedHandedOn   Reason = "http2"          // its client speaks HTTP/2: somebody else goes on with it
	ClosedFault      Reason = "fault"          // serving it panicked
)

// Metrics is told what happens. Every field may be nil. The functions are called on the serving
// goroutines and must not block.
type Metrics struct {
	ConnOpened  func()
	ConnClosed  func(Reason)
	ParseError  func(Reason)      // a head, a body's framing or a PROXY header was refused
	Rejected    func(Reason)      // refused for what it asks: too_large, inflate, encoding, memory, conns
	AcceptError func(errno error) // accepting failed and is tried again
	Panicked    func()            // a handler panicked
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

// refused counts a refusal where it belongs.
func (m *Metrics) refused(r *refusal) {
	count := m.ParseError
	switch r.reason {
	case "too_large", "inflate", "encoding", "memory", "conns":
		count = m.Rejected
	}
	if count != nil {
		count(r.reason)
	}
}

// unintroduced counts a connection that ended before it said whose it is.
func (m *Metrics) unintroduced(err error) {
	why := Reason("bad_proxy")
	if isTimeout(err) {
		why = "proxy_timeout"
	}
	if m.ParseError != nil {
		m.ParseError(why)
	}
}

func (m *Metrics) acceptError(err error) {
	if m.AcceptError != nil {
		m.AcceptError(err)
	}
}

func (m *Metrics) panicked() {
	if m.Panicked != nil {
		m.Panicked()
	}
}
