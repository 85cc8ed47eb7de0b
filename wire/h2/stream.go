package h2

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/codec"
	"github.com/sluice-serving/sluice/wire/grpc"
	"github.com/sluice-serving/sluice/wire/h2/hpack"
	"github.com/sluice-serving/sluice/wire/h2/link"
)

// Stream is one request and its answer. Streams are reused: see [Stream.Attach] for what stays.
type Stream struct {
	c        *Conn
	run      func() // serves the stream on a goroutine; made once
	attached any
	gen      atomic.Uint32 // counts the uses
	replied  atomic.Uint32 // the last use that was answered, and one; never reset

	// Written by the reader before the request is handed on, and read-only from then on.
	id        uint32
	kind      Kind
	grpc      bool
	coding    codec.Coding
	fields    hpack.Fields
	method    int // indexes of fields, -1 if absent
	path      int
	authority int
	length    int64 // content-length, -1 if absent
	crowded   bool  // there are too many fields, or they are too large
	twin      bool  // a name is a twin, see [wire.Twin]
	timeout   time.Duration
	arrived   time.Time
	message   slab.List // of a gRPC call; the handler's once it is called

	// Owned by the reader; of a stream of messages, msg is guarded by inbox.mu.
	total int64 // bytes of the body so far
	msg   arriving
	since int64 // when the body began, or last waited for us
	mark  int64 // total at that time

	// The body of a plain HTTP request, and what a stream of messages brings; each has a mutex of its own.
	body  body
	inbox inbox

	// Guarded by Conn.mu.
	st   streamState
	send answer

	told     chan struct{} // 1-slot: telling has ended; made when somebody waits
	sentWake chan struct{} // 1-slot: sendAll is to look; made when somebody waits
}

// streamState is what a connection's mutex guards of a stream.
type streamState struct {
	inTable  bool // known to frames
	handler  bool // a handler has it and has not replied
	telling  bool // the reader is in a watcher
	recvDone bool // the reader is done with it
	sendDone bool // the answer is in the output
	gone     bool // reset, or the connection is lost: nothing will be sent
	broken   bool // gone by the client's doing
	watcher  wire.Watcher

	serving bool // Serve has not returned; of plain requests and streams of messages

	// Of streams of messages.
	waiting     bool // somebody is in sendAll
	tellingSent bool // somebody is in sentWatcher
	sentAgain   bool // and is to go there again
	sentWatcher SentWatcher
	nextIdle    *Stream
	partial     bool  // a message has started and is not whole
	partialAt   int64 // since when, or since when it waited for us
	partialMark int64 // announced at that time
	announced   int64 // bytes in the DATA frames whose heads were read

	waitSize  int64 // of the message that waits for room in the budget; 0: none does
	waitUntil int64 // when it is refused

	credit int // of a body of unknown length: used and not yet given back
	link.Inflow
	link.Outflow

	place     link.Place[Stream]
	blockedAt int64
	sentSince int64 // bytes since blockedAt
	nextOver  *Stream
}

// arriving is a gRPC message on its way in.
type arriving struct {
	grpc.Assembly
	discard bool // the call was refused
	partial bool // of a stream of messages: it did not come at once
	waits   bool // for room in the budget; what comes is held in the inbox
}

// Kind returns how the method is served.
func (s *Stream) Kind() Kind { return s.kind }

// Conn returns the connection, which is what a burst flushes after Reply.
func (s *Stream) Conn() *Conn { return s.c }

// Attach keeps v with the stream, across its reuse for other calls. A watcher that lives there is safe from
// a late hang-up: the stream is not reused before that has returned.
func (s *Stream) Attach(v any) { s.attached = v }

// Attached returns what was attached, also to an earlier call that had this Stream.
func (s *Stream) Attached() any { return s.attached }

// Path returns the path, for instance /package.Service/Method. Like all bytes of the head it is valid until
// Reply is called.
func (s *Stream) Path() []byte { return s.fields.Value(s.path) }

// Authority returns the host that the client asked for, nil if it did not say.
func (s *Stream) Authority() []byte {
	if s.authority < 0 {
		return nil
	}
	return s.fields.Value(s.authority)
}

// Remote returns the peer's address for logs.
func (s *Stream) Remote() string { return s.c.remote }

// Arrived returns when the head was read.
func (s *Stream) Arrived() time.Time { return s.arrived }

// Timeout returns what grpc-timeout says; ok is false if the client set none.
func (s *Stream) Timeout() (d time.Duration, ok bool) { return s.timeout, s.timeout >= 0 }

// Header returns the first value of a field, nil if it is absent. Names compare without regard to case.
func (s *Stream) Header(name string) []byte {
	for i := range s.fields.Len() {
		if equalFold(s.fields.Name(i), name) {
			return s.fields.Value(i)
		}
	}
	return nil
}

// Fields returns the number of header fields, pseudo-fields among them.
func (s *Stream) Fields() int { return s.fields.Len() }

// Field returns header field i.
func (s *Stream) Field(i int) (name, value []byte) { return s.fields.Name(i), s.fields.Value(i) }

// Message returns the call's message, without its prefix and decompressed. The handler takes from it what it
// keeps; the rest is released when it replies.
func (s *Stream) Message() *slab.List { return &s.message }

// Watch has w told if the client cancels the call, or its connection is lost, before Reply. It returns false,
// and w is not told, if that has happened already. w may be told while Reply runs, or just after; see Attach.
func (s *Stream) Watch(w wire.Watcher) bool {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.st.broken {
		return false
	}
	s.st.watcher = w
	return true
}

// reset prepares a stream for a request.
func (s *Stream) reset(c *Conn, id uint32) {
	s.c, s.id = c, id
	s.kind, s.grpc, s.coding = Unknown, false, codec.Identity
	s.fields.Reset()
	s.method, s.path, s.authority, s.length, s.timeout = -1, -1, -1, -1, -1
	s.total, s.since, s.mark = 0, 0, 0
	s.msg = arriving{}
}

// recycle drops what the stream holds and gives it back. Nobody else refers to it.
func (s *Stream) recycle() {
	srv := s.c.srv
	s.message.Release()
	if s.msg.Slab != nil {
		s.msg.Slab.Release()
		s.msg.Slab = nil
	}
	s.body.reset()
	s.inbox.reset()
	drainSignal(s.sentWake)
	s.send.release()
	s.st = streamState{}
	s.c = nil
	s.gen.Add(1)
	srv.streams.Put(s)
}

// streamPool hands streams out.
type streamPool struct{ sync.Pool }

func (p *streamPool) get() *Stream {
	if s, ok := p.Get().(*Stream); ok {
		return s
	}
	s := &Stream{}
	s.run = func() { s.c.srv.serveStream(s) }
	return s
}
