package infer

import (
	"fmt"
	"time"
)

// Origin says whose fault an error is.
type Origin uint8

// The origins.
const (
	FromClient Origin = iota
	FromGateway
	FromBackend
)

// Retry says whether the same call may be tried again elsewhere.
type Retry uint8

// The retry classes.
const (
	Never  Retry = iota
	Unsent       // no byte of it reached a backend
	Safe         // it reached one, and running it again does no harm
)

// Error is a call's failure. Text is for the client: it holds no addresses, paths, header values or
// payload bytes. Errors are immutable; those of the hot path are made once, below.
type Error struct {
	Code   Code
	Origin Origin
	Retry  Retry
	Text   string
	// After is when trying again makes sense, 0 where nobody knows.
	After time.Duration
	// Cause is for logs, never for clients.
	Cause error
}

// Error returns the text, with the cause if there is one.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Text + ": " + e.Cause.Error()
	}
	return e.Text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Errorf returns an error of the client's making.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// The refusals of the hot path.
var (
	ErrQueueFull       = &Error{Code: Overloaded, Origin: FromGateway, Retry: Unsent, Text: "the queue of this model is full", After: time.Second}
	ErrWaitedTooLong   = &Error{Code: Overloaded, Origin: FromGateway, Retry: Unsent, Text: "the request waited in the queue for as long as this model allows", After: time.Second}
	ErrMemory          = &Error{Code: Overloaded, Origin: FromGateway, Retry: Unsent, Text: "the bytes in flight have reached their limit", After: time.Second}
	ErrExpiredAtDoor   = &Error{Code: Deadline, Origin: FromGateway, Retry: Never, Text: "the deadline had passed when the request arrived"}
	ErrExpiredInQueue  = &Error{Code: Deadline, Origin: FromGateway, Retry: Never, Text: "the deadline passed while the request was queued"}
	ErrExpiredInFlight = &Error{Code: Deadline, Origin: FromGateway, Retry: Never, Text: "the deadline passed while the model ran"}
	ErrClientGone      = &Error{Code: Cancelled, Origin: FromClient, Retry: Never, Text: "the client went away"}
	ErrNoEndpoint      = &Error{Code: NoEndpoint, Origin: FromGateway, Retry: Unsent, Text: "no endpoint can serve this model now", After: time.Second}
	ErrDrained         = &Error{Code: NoEndpoint, Origin: FromGateway, Retry: Unsent, Text: "an operator has drained every endpoint that could run this model", After: time.Second}
	ErrDraining        = &Error{Code: Draining, Origin: FromGateway, Retry: Unsent, Text: "the server is shutting down", After: time.Second}
	ErrNoStreams       = &Error{Code: Unsupported, Origin: FromGateway, Retry: Never, Text: "the backend of this model has no streams"}
	ErrInternal        = &Error{Code: Internal, Origin: FromGateway, Retry: Never, Text: "internal error"}
)

// errRowsLost fails a batch whose outputs cannot be told apart by rows.
var errRowsLost = &Error{Code: BadBackend, Origin: FromBackend, Retry: Safe, Text: "the model's outputs do not have one row for each row of the batch"}

// canonical is the error of an outcome that came without one.
var canonical = [Outcomes]*Error{
	Succeeded:   nil,
	ClientError: {Code: Invalid, Text: "the request is not valid"},
	Shed:        ErrQueueFull,
	Expired:     ErrExpiredInQueue,
	Abandoned:   ErrClientGone,
	Failed:      ErrInternal,
}
