package h2

import "github.com/sluice-serving/sluice/wire/h2/link"

// Reason names why something was refused or closed. It is one of a fixed set: those of link, and those below.
type Reason = link.Reason

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
