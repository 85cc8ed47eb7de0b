package h1client

import (
	"errors"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/internal/line"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h1/syntax"
)

// Answered is told that a call is over.
type Answered interface {
	// Answered is called once for each call that Start took, perhaps before Start has returned, on the goroutine
	// that read the answer; on Cancel's, Close's, or one that could not connect, if the call was not on a
	// connection. Calls may be started from it. It must not block.
	Answered(call *Call)
}

// Call is one request and its answer. It belongs to its caller, who may use it again and again:
//
//	Reset     -> Start     it is the caller's
//	Start     -> Answered  it is the client's; the caller may Cancel
//	Answered  -> Reset     it is the caller's again, and says how it ended
//
// A call has no deadline of its own: who sets one calls Cancel when it has passed.
type Call struct {
	// What is asked. The caller leaves it alone from Start until Answered; it stays his.
	Method string
	Path   string        // with the query, encoded as it is to be sent
	Header []wire.Header // beside Host, User-Agent, Content-Length, Accept-Encoding and what concerns the connection
	Body   slab.List
	Coded  bool // the answer may be compressed, and is decompressed
	Done   Answered

	// How it ended, from Answered on.
	Status int    // of HTTP; 0 if no head came
	Fault  *Fault // nil: the whole answer came
	Sent   bool   // false: nothing of the call was written, and it may be sent again
	Answer slab.List

	in incoming

	cancelled atomic.Bool
	client    atomic.Pointer[Client]
	conn      atomic.Pointer[conn] // written under Client.mu

	// Guarded by Client.mu.
	place line.Place[Call] // while it waits
}

// Reset drops the answer and makes the call ready to be started. Nobody may cancel meanwhile.
func (call *Call) Reset() {
	call.Answer.Release()
	call.Status, call.Fault, call.Sent = 0, nil, false
	call.in.reset()
	call.client.Store(nil)
	call.conn.Store(nil)
	call.cancelled.Store(false)
}

// NumHeader returns the number of header fields of the answer.
func (call *Call) NumHeader() int { return call.in.head.Len() }

// HeaderAt returns header field i of the answer. It is valid until Reset.
func (call *Call) HeaderAt(i int) (name, value []byte) {
	return call.in.head.At(call.in.buf, i)
}

// HeaderValue returns the first value of a header field of the answer, without regard to the name's case, nil if
// there is none. It is valid until Reset.
func (call *Call) HeaderValue(name string) []byte {
	v, _ := call.in.head.Find(call.in.buf, name)
	return v
}

// Cancel ends the call unless it is over, and the connection that it is on. It may be called from any goroutine:
// between Reset and Start too, which then answers at once, and after Answered, when it does nothing. If the call
// waits for a connection, Answered is called from within; else soon, when nobody uses the body any more. The
// caller sees to it that a late Cancel does not meet the next use of the call.
func (call *Call) Cancel() {
	call.cancelled.Store(true)
	cl := call.client.Load()
	if cl == nil {
		return
	}
	cl.mu.Lock()
	waits := call.place.Taken()
	cl.mu.waiting.Remove(&call.place)
	cl.mu.Unlock()
	if waits {
		cl.over(call, &faultCancelled)
		return
	}
	if c := call.conn.Load(); c != nil && c.current.CompareAndSwap(call, nil) {
		_ = c.sock.Close() // who reads or writes it sees why
	}
}

// over tells that the call has ended, and survives whoever is told.
func (cl *Client) over(call *Call, f *Fault) {
	call.Fault = f
	defer func() {
		if p := recover(); p != nil {
			cl.log.Error("taking an answer panicked", zap.String("panic", wire.PanicText(p)), zap.Stack("stack"))
		}
	}()
	call.Done.Answered(call)
}

// ErrMalformed is a call that cannot be sent as it is. It is never written.
var ErrMalformed = errors.New("h1: the method, the path or a header field of the call cannot be sent")

// check tells whether the call can be sent. Values may be a client's: one that could end its line would be the
// start of another request.
func (call *Call) check() error {
	if call.Method == "" || call.Method == "CONNECT" || len(call.Path) == 0 || call.Path[0] != '/' {
		return ErrMalformed
	}
	for i := range len(call.Method) {
		if !syntax.IsToken(call.Method[i]) {
			return ErrMalformed
		}
	}
	for i := range len(call.Path) {
		if !syntax.IsTarget(call.Path[i]) {
			return ErrMalformed
		}
	}
	for i := range call.Header {
		h := &call.Header[i]
		if !sendable(h.Name) || !syntax.PlainValue(h.Value) {
			return ErrMalformed
		}
	}
	return nil
}

// sendable tells whether a caller may name a header field so.
func sendable(name string) bool {
	for i := range len(name) {
		if !syntax.IsToken(name[i]) {
			return false
		}
	}
	for _, own := range [...]string{
		"te", "host", "expect", "upgrade", "trailer", "connection", "keep-alive", "user-agent", "content-length",
		"accept-encoding", "transfer-encoding",
	} {
		if len(own) == len(name) && foldsTo(name, own) {
			return false
		}
	}
	return name != ""
}

// foldsTo compares a name with one in lower case that is as long.
func foldsTo(name, lowered string) bool {
	for i := range len(name) {
		if syntax.Lower(name[i]) != lowered[i] {
			return false
		}
	}
	return true
}
