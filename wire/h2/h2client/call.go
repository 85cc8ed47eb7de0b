package h2client

import (
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sluice-serving/sluice/internal/line"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/frame"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
)

// Answered is told that a call is over.
type Answered interface {
	// Answered is called once for each call that Start took, perhaps before Start has returned. by is what
	// the Connect of the options made for the connection whose reader calls; it is nil on other goroutines:
	// Cancel's, Close's, one that decompressed a large answer, one that could not connect. It must not block.
	Answered(call *Call, by Drainer)
}

// Call is one call. It belongs to its caller, who may use it again and again.
//
// A call is unary unless Messages or Streaming says otherwise: one message out, one in, which is in Answer when
// it is over. Either way round it goes through these states:
//
//	Reset     -> Start                          it is the caller's
//	Start     -> Message, Emptied, ... Answered it is the client's; the caller may Pull, Send, CloseSend, Cancel
//	Answered  -> Reset                          it is the caller's again, and says how it ended
//
// Message, Emptied and Answered of one call never run at the same time, and Answered is the last. With Messages
// the messages come one by one, each when it was pulled; the end of the answer comes behind the last one, a
// failure, or the end of the connection, at once: what was not handed on before is dropped. A server may be
// ahead of what is pulled by one message and 128 KiB; its windows hold it back beyond that, no other call waits
// for this one.
type Call struct {
	// What is asked. The caller leaves it alone from Start until Answered. The message stays his: what is
	// still to be written then is referred to by the connection itself.
	Path      string
	Authority string        // default the client's
	Metadata  []wire.Header // values of names in -bin are sent as base64
	Message   slab.List     // without its prefix
	Timeout   time.Duration // sent as grpc-timeout if above 0; the deadline itself is the caller's
	Done      Answered

	Messages  Messages // takes the messages of the answer; default nil: there is one, in Answer
	Streaming bool     // the request goes on behind Message, which is none if it is empty, until CloseSend
	Room      Emptied  // is told when what Send took has left; default nil: nobody

	// How it ended, from Answered on.
	HTTPStatus int // 0 if no head came
	Status     grpc.Status
	Text       string // with a status other than OK
	Details    []byte // a google.rpc.Status, encoded; empty if none came
	Sent       bool   // false: the server has not worked on it, and it may be sent again
	Local      bool   // the client gave the status, not the server
	Excess     bool   // the answer is larger than the client takes, and would be again
	Answer     slab.List

	head, trailer hpack.Fields

	cancelled atomic.Bool
	client    atomic.Pointer[Client]
	conn      atomic.Pointer[Conn]
	stream    *stream // guarded by the connection's mu

	sends sends // guarded by Client.mu until the call is on a connection, and by the connection's then

	// Guarded by Client.mu.
	place line.Place[Call] // while it waits for a connection
}

// Reset drops the answer and makes the call ready to be started. Nobody may cancel meanwhile.
func (call *Call) Reset() {
	call.Answer.Release()
	call.HTTPStatus, call.Status, call.Text, call.Sent, call.Local, call.Excess = 0, grpc.OK, "", false, false, false
	call.Details = call.Details[:0]
	call.head.Reset()
	call.trailer.Reset()
	call.sends = sends{}
	call.client.Store(nil)
	call.conn.Store(nil)
	call.cancelled.Store(false)
}

// NumHead returns the number of fields of the answer's head, pseudo-fields among them.
func (call *Call) NumHead() int { return call.head.Len() }

// Head returns field i of the answer's head. It is valid until Reset.
func (call *Call) Head(i int) (name, value []byte) { return call.head.Name(i), call.head.Value(i) }

// NumTrailer returns the number of fields behind the message. An answer that is a head alone has trailers
// only.
func (call *Call) NumTrailer() int { return call.trailer.Len() }

// Trailer returns field i behind the message. It is valid until Reset.
func (call *Call) Trailer(i int) (name, value []byte) {
	return call.trailer.Name(i), call.trailer.Value(i)
}

// Header returns the first value of a name in lower case in the head or else in the trailers, nil if it is in
// neither.
func (call *Call) Header(name string) []byte {
	if v, n := call.head.Get(name); n > 0 {
		return v
	}
	v, _ := call.trailer.Get(name)
	return v
}

// Cancel ends the call with CANCELLED unless it is over, and has the server told. It may be called from any
// goroutine: between Reset and Start too, which then answers at once, and after Answered, when it does
// nothing. Answered is called from within Cancel or, if Message or Emptied runs just then, behind it. The caller
// sees to it that a late Cancel does not meet the next use of the call.
func (call *Call) Cancel() { call.cancel(&verdictCancelled) }

// GivenUp tells whether Cancel was called since Reset: if not, a call that ended with CANCELLED was given up by the
// server.
func (call *Call) GivenUp() bool { return call.cancelled.Load() }

func (call *Call) cancel(v *verdict) {
	call.cancelled.Store(true)
	cl := call.client.Load()
	if cl == nil {
		return
	}
	if call.conn.Load() == nil {
		cl.mu.Lock()
		waits := call.place.Taken()
		if waits {
			cl.unlink(call)
			call.sends.drop(cl)
		}
		cl.mu.Unlock()
		if waits {
			call.answerLocally(v, nil)
			return
		}
	}
	c := call.conn.Load()
	if c == nil {
		return
	}
	cancelled, told := c.cancel(call, v)
	if !cancelled {
		return
	}
	if !told {
		call.answerLocally(v, nil)
	}
	c.Flush()
	cl.feed(nil)
}

// answerLocally ends a call of which the server said nothing that counts. Sent is set.
func (call *Call) answerLocally(v *verdict, by Drainer) {
	call.end(v)
	call.over(by)
}

// end has a call end as v says.
func (call *Call) end(v *verdict) {
	call.Status, call.Text, call.Local = v.status, v.text, true
	call.Excess = v == &verdictTooLarge || v == &verdictRatio
}

// over tells that the call has ended, and survives whoever is told: there may be other calls to end.
func (call *Call) over(by Drainer) {
	cl := call.client.Load()
	defer func() {
		if p := recover(); p != nil {
			cl.log.Error("taking an answer panicked", zap.String("panic", wire.PanicText(p)), zap.Stack("stack"))
		}
	}()
	call.Done.Answered(call, by)
}

// verdict is how the client ends calls by itself. Verdicts are values made once.
type verdict struct {
	status grpc.Status
	text   string
}

// How calls end. The variables are never written.
var (
	verdictCancelled  = verdict{grpc.Cancelled, "the call was cancelled"}
	verdictClosed     = verdict{grpc.Unavailable, "the client was closed"}
	verdictLost       = verdict{grpc.Unavailable, "the connection to the server was lost"}
	verdictDown       = verdict{grpc.Unavailable, "the server could not be reached"}
	verdictGoAway     = verdict{grpc.Unavailable, "the server closes the connection"}
	verdictRefused    = verdict{grpc.Unavailable, "the server refused the stream"}
	verdictCalm       = verdict{grpc.ResourceExhausted, "the server reset the stream: it wants calm"}
	verdictInsecure   = verdict{grpc.PermissionDenied, "the server reset the stream: the connection is not secure enough"}
	verdictReset      = verdict{grpc.Internal, "the server reset the stream"}
	verdictResetBy    = verdict{grpc.Cancelled, "the server cancelled the stream"}
	verdictHead       = verdict{grpc.Internal, "the answer's header fields are malformed"}
	verdictTrailers   = verdict{grpc.Internal, "the answer's trailers are malformed"}
	verdictHeadSize   = verdict{grpc.Internal, "the answer's header fields are too large"}
	verdictNoStatus   = verdict{grpc.Internal, "the answer has no grpc-status"}
	verdictCut        = verdict{grpc.Internal, "the answer ended without trailers"}
	verdictNone       = verdict{grpc.Internal, "the answer has no message"}
	verdictShort      = verdict{grpc.Internal, "the answer ended within its message"}
	verdictMany       = verdict{grpc.Internal, "the answer has more than one message"}
	verdictFlag       = verdict{grpc.Internal, "the answer's compression flag is neither 0 nor 1"}
	verdictCoding     = verdict{grpc.Internal, "the answer is compressed in a way that was not asked for"}
	verdictCorrupt    = verdict{grpc.Internal, "the compressed answer is corrupt"}
	verdictTooLarge   = verdict{grpc.ResourceExhausted, "the answer is larger than the limit"}
	verdictRatio      = verdict{grpc.ResourceExhausted, "the compressed answer expands too much"}
	verdictMemory     = verdict{grpc.ResourceExhausted, "the bytes in flight are at their limit"}
	verdictWindow     = verdict{grpc.Internal, "the server overran the stream's window"}
	verdictWindowSize = verdict{grpc.Internal, "the server set the stream's window out of range"}
	verdictDataFirst  = verdict{grpc.Internal, "the answer's message came before its head"}
	verdictHTTP       = verdict{grpc.Internal, "the server answered with HTTP 400"}
	verdictHTTP401    = verdict{grpc.Unauthenticated, "the server answered with HTTP 401"}
	verdictHTTP403    = verdict{grpc.PermissionDenied, "the server answered with HTTP 403"}
	verdictHTTP404    = verdict{grpc.Unimplemented, "the server answered with HTTP 404"}
	verdictHTTPBusy   = verdict{grpc.Unavailable, "the server answered with HTTP 429, 502, 503 or 504"}
	verdictHTTPOther  = verdict{grpc.Unknown, "the server answered with an HTTP status that is not gRPC's"}
	verdictLong       = verdict{grpc.ResourceExhausted, "the message is larger than a gRPC message can be"}
	verdictPanicked   = verdict{grpc.Internal, "taking the answer failed"}
	verdictNotGRPC    = verdict{grpc.Unknown, "the answer's content type is not gRPC's"}
)

// verdictOfHTTP maps a status of HTTP as gRPC does, where there is none of gRPC.
func verdictOfHTTP(status int) *verdict {
	switch status {
	case 200:
		return &verdictNotGRPC
	case 400:
		return &verdictHTTP
	case 401:
		return &verdictHTTP401
	case 403:
		return &verdictHTTP403
	case 404:
		return &verdictHTTP404
	case 429, 502, 503, 504:
		return &verdictHTTPBusy
	}
	return &verdictHTTPOther
}

// verdictOfReset maps the code of RST_STREAM as gRPC does.
func verdictOfReset(code frame.Code) *verdict {
	switch code {
	case frame.RefusedStream:
		return &verdictRefused
	case frame.Cancel:
		return &verdictResetBy
	case frame.EnhanceYourCalm:
		return &verdictCalm
	case frame.InadequateSecurity:
		return &verdictInsecure
	}
	return &verdictReset
}
