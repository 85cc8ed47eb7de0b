package client

import (
	"errors"
	"fmt"
)

// Options says what a connection asks, over and over, and what a right answer is.
type Options struct {
	// Target is whom a request of HTTP/2 says that it is for, as in Authority.
	Target string
	// Request is one of HTTP/1.1, as it is sent.
	Request []byte
	// Status of HTTP/1.1 that a right answer has.
	Status int
	// GRPC says what calls are made.
	GRPC *GRPC
	// Streams are the calls in flight.
	Streams int
	// Body, when not nil, is what every answer's body, or message, must equal.
	Body []byte
}

// Talker is one connection's end of a protocol, without its socket: what it sends and how it reads. A lane is room for
// one request in flight; HTTP/1.1 has one lane a connection.
type Talker interface {
	// Reset begins anew, on a connection that was just opened.
	Reset()
	// Ask begins the request of a lane that has none.
	Ask(lane int)
	// Pending is what is to be written next, empty when there is nothing.
	Pending() []byte
	Wrote(n int)
	// Read takes bytes up to and with the end of an answer, and returns those behind it. After an error the connection
	// is of no more use.
	Read(p []byte) (rest []byte, e Event, err error)
}

// Event is what the bytes that a talker has read amount to.
type Event struct {
	Lane    int     // whose request has ended; -1: nobody's
	Wrong   Verdict // what was wrong with its answer
	Cause   error   // in words, if something was
	Leaving bool    // no more requests may be sent on this connection
}

// Verdict is what is wrong with an answer.
type Verdict uint8

const (
	Right Verdict = iota
	WrongStatus
	WrongBody
	WrongProtocol
)

// Plain talks HTTP/1.1, one request at a time.
type Plain struct {
	request []byte
	status  int
	busy    bool
	out     []byte // not yet written
	answer  response
}

// NewPlain returns an end of a connection.
func NewPlain(opts *Options) *Plain {
	return &Plain{request: opts.Request, status: opts.Status, answer: response{want: opts.Body}}
}

// Reset implements [Talker].
func (t *Plain) Reset() {
	t.busy, t.out = false, nil
	t.answer.reset()
}

// Ask implements [Talker].
func (t *Plain) Ask(int) {
	t.busy, t.out = true, t.request
	t.answer.reset()
}

// Pending implements [Talker].
func (t *Plain) Pending() []byte { return t.out }

// Wrote implements [Talker].
func (t *Plain) Wrote(n int) { t.out = t.out[n:] }

// Read implements [Talker].
func (t *Plain) Read(p []byte) ([]byte, Event, error) {
	e := Event{Lane: -1}
	if !t.busy {
		return nil, e, errUnsolicited
	}
	done, err := t.answer.feed(p)
	switch {
	case err != nil && !done:
		return nil, e, err
	case !done:
		return nil, e, nil
	case len(t.out) > 0:
		return nil, e, fmt.Errorf("status %d before the request was sent", t.answer.status)
	case t.answer.status != t.status:
		e.Wrong, e.Cause = WrongStatus, fmt.Errorf("status %d", t.answer.status)
	case errors.Is(err, errBody):
		e.Wrong, e.Cause = WrongBody, err
	}
	e.Lane, e.Leaving = 0, t.answer.close
	t.busy = false
	return nil, e, nil
}
