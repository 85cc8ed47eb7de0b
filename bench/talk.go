package bench

import (
	"errors"
	"fmt"
)

// talker is one connection's end of a protocol, without its socket: what it sends and how it reads. A lane is room for
// one request in flight; HTTP/1.1 has one lane a connection.
type talker interface {
	// reset begins anew, on a connection that was just opened.
	reset()
	// ask begins the request of a lane that has none.
	ask(lane int)
	// pending is what is to be written next, empty when there is nothing.
	pending() []byte
	wrote(n int)
	// read takes bytes up to and with the end of an answer, and returns those behind it. After an error the connection
	// is of no more use.
	read(p []byte) (rest []byte, e event, err error)
}

// event is what the bytes that a talker has read amount to.
type event struct {
	lane    int     // whose request has ended; -1: nobody's
	wrong   verdict // what was wrong with its answer
	cause   error   // in words, if something was
	leaving bool    // no more requests may be sent on this connection
}

// verdict is what is wrong with an answer.
type verdict uint8

const (
	right verdict = iota
	wrongStatus
	wrongBody
	wrongProtocol
)

// counter is where a verdict is counted.
func (e *ErrorCounts) counter(v verdict) *uint64 {
	switch v {
	case wrongStatus:
		return &e.Status
	case wrongBody:
		return &e.Body
	case right, wrongProtocol:
	}
	return &e.Protocol
}

// plain talks HTTP/1.1, one request at a time.
type plain struct {
	request []byte
	status  int
	busy    bool
	out     []byte // not yet written
	answer  response
}

func newPlain(opts *Options) *plain {
	return &plain{request: opts.Request, status: opts.Status, answer: response{want: opts.Body}}
}

func (t *plain) reset() {
	t.busy, t.out = false, nil
	t.answer.reset()
}

func (t *plain) ask(int) {
	t.busy, t.out = true, t.request
	t.answer.reset()
}

func (t *plain) pending() []byte { return t.out }

func (t *plain) wrote(n int) { t.out = t.out[n:] }

func (t *plain) read(p []byte) ([]byte, event, error) {
	e := event{lane: -1}
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
		e.wrong, e.cause = wrongStatus, fmt.Errorf("status %d", t.answer.status)
	case errors.Is(err, errBody):
		e.wrong, e.cause = wrongBody, err
	}
	e.lane, e.leaving = 0, t.answer.close
	t.busy = false
	return nil, e, nil
}
