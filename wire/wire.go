// Package wire is what a REST handler sees of the transport that carried a request: [Exchange]. The
// transports are its children, wire/h1 and wire/h2; they know HTTP and gRPC framing and nothing of
// inference, and handlers know nothing of them. What both do alike stands here, too: how they refuse, which
// options they take, and how they end by force.
//
// # Concurrency
//
// A transport calls [Handler].Serve on a goroutine that may wait. The Exchange belongs to that goroutine
// until Serve returns; only [Watcher].HangUp comes from another one.
//
// # Ownership
//
// Bytes that an Exchange returns (path, header values) are the transport's and are valid until Serve
// returns. A body lies in slabs and belongs to the caller of ReadBody. The views of a reply's body are
// retained by Reply and released once they are written or the connection is gone.
package wire

import (
	"fmt"

	"github.com/sluice-serving/sluice/slab"
)

// Handler answers exchanges.
type Handler interface {
	// Serve answers x by calling x.Reply once, or x.Begin. A panic in it is answered 500, unless the answer has
	// begun, and touches no other request.
	Serve(x Exchange)
}

// Exchange is one REST request and its answer.
type Exchange interface {
	// Method returns the method as sent, for instance POST.
	Method() []byte

	// Path returns the path as sent, neither percent-decoded nor cleaned, without the query.
	Path() []byte

	// Query returns what follows the question mark, as sent, or nil.
	Query() []byte

	// Header returns the value of a header field, nil if it is absent or came more than once where it may not.
	// Names compare without regard to case.
	Header(name string) []byte

	// ContentLength returns the length that the client announced, -1 if it did not.
	ContentLength() int64

	// Proto returns the protocol version for logs, for instance HTTP/1.1.
	Proto() string

	// Remote returns the peer's address for logs.
	Remote() string

	// ReadBody reads the whole body into slabs and undoes its content encoding (gzip, deflate). It refuses
	// bodies whose decoded size exceeds limit, and bodies that do not fit the budget of bytes in flight,
	// before they are read where their length is known. The error is an [*Error]. It may be called once.
	ReadBody(body *slab.List, limit int64) error

	// Wait blocks until done yields. If the client goes meanwhile, or has gone already, it calls w.HangUp
	// and goes on waiting: whoever w cancels makes done yield. Each way of going is told once at most, and nothing
	// after Reset. Wait takes what done yields, and HangUp is not called after Wait has returned.
	Wait(done <-chan struct{}, w Watcher)

	// Reply takes the answer. It returns before the bytes are written; r may be reused then, and its Body,
	// which Reply emptied.
	Reply(r *Reply)

	// Begin takes, instead of Reply, the head of an answer whose body comes in parts, with the first part; nothing
	// of it is compressed. It returns when that has left for the client, and so takes no more than the client
	// does. False: the client is gone, and so is what was not written. The answer ends when Serve returns; if
	// Serve panics it is cut off so that the client can tell.
	Begin(r *Reply) bool

	// Send sends the next part, which it empties, as Begin sent the first one.
	Send(part *slab.List) bool
}

// HangUp tells how a client went.
type HangUp uint8

const (
	// Finished: the client closed its sending side. It may still read the answer; nothing shows which until
	// it is written.
	Finished HangUp = iota + 1
	// Reset: the client is gone.
	Reset
)

// Watcher is told that the client went while its request was waiting.
type Watcher interface {
	// HangUp may be called from any goroutine. It must not block.
	HangUp(how HangUp)
}

// Header is a header field of a reply.
type Header struct {
	Name  string
	Value []byte
}

// Reply is the answer to an exchange. The transport adds Content-Length, Date, and the content encoding
// that the client accepts.
type Reply struct {
	Status      int
	ContentType string
	Headers     []Header
	Body        slab.List
	// Close asks that the connection be closed after the answer.
	Close bool
}

// Reset empties the reply for its next use.
func (r *Reply) Reset() {
	r.Body.Release()
	r.Status, r.ContentType, r.Close = 0, "", false
	r.Headers = r.Headers[:0]
}

// Error is a request that the transport refuses.
type Error struct {
	Status int    // HTTP status
	Code   string // REASON of the table of answers
	Text   string // for the client
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Text) }
