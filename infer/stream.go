package infer

// Stream is a call that has any number of responses, pulled one at a time. The call's Finish ends it, so that
// deadline, hang-up and conservation are those of every call.
//
// A stream is part of its call ([Call.OpenStream]) and lives as long: who touches it holds a reference to the
// call. Sink and Source, which serve many streams one after the other, can therefore tell a message that comes
// too late by the stream that it names: that stream is not reborn while somebody can still name it.
type Stream struct {
	// Call has the request, the deadline and the edge's continuation, which is told when the stream ends.
	Call *Call
	// Sink takes the responses: the edge's.
	Sink Sink
	// Source is asked for the next response: the backend's, set by Accept. The edge reads it once a response
	// has come.
	Source Source
}

// Sink takes the responses of streams.
type Sink interface {
	// Respond takes a response of s, made of the model that s was opened for. r's reference stays the
	// caller's; the caller holds one to s.Call.
	//
	// One response is due for each Pull, and Open implies the first: none comes before it was pulled, nor
	// while another Respond of s runs. Those of one stream come in their order.
	//
	// It may race the call's Finish by somebody else, a deadline or a hang-up, and then comes during it or
	// after it: the sink drops it. It never comes after the backend's own [Stream.End].
	//
	// The sink neither waits nor calls Pull on this stack unless the response has left already.
	Respond(s *Stream, r *Response, b *Burst)
}

// Source gives the responses of streams.
type Source interface {
	// Pull tells that the sink of s can take one more response. The caller holds a reference to s.Call.
	//
	// It comes at most once for each Respond, perhaps on its stack, on any goroutine, and under no lock. It
	// never blocks, and may respond before it returns; whoever has much to give queues instead of recursing.
	//
	// It may race the end of the call, by anybody, and come after it: the source ignores it.
	Pull(s *Stream)
}

// Opener accepts streams: a pool of a backend kind that has them.
type Opener interface {
	// Open accepts a stream. nil means accepted: the opener has taken a reference to s.Call, responds as it
	// is pulled, and gives the reference back by exactly one [Stream.End], also if the call is done before.
	// An error, which is an [*Error], means that it never held it. It does not keep the caller's goroutine
	// longer than an enqueue or a socket write, and may respond and end the stream before it returns.
	Open(s *Stream) error
}

// OpenStream returns the stream of c, whose responses go to sink: what [Front].Open takes.
func (c *Call) OpenStream(sink Sink) *Stream {
	c.Stream.Call, c.Stream.Sink = c, sink
	return &c.Stream
}

// Accept takes a stream in: the opener's first step once it will not refuse any more. It takes a reference to
// the call and claims it. ended is told once when the call is done, by whomever, perhaps before Accept has
// returned: so the opener learns that nobody waits. False: the call was done before; nothing was taken, ended
// is not told, and Open returns nil.
func (s *Stream) Accept(source Source, ended Continuation) bool {
	c := s.Call
	c.Retain()
	s.Source = source
	now := Now()
	c.Stamps.Formed, c.Stamps.Started = now, now
	c.Then(RoleAttempt, ended)
	if c.Claim() {
		return true
	}
	c.Release()
	return false
}

// End is the last step of who accepted the stream: it finishes the call, with nil if every response was given
// to the sink, and gives the reference back. It returns false if the call was done before.
func (s *Stream) End(err *Error, b *Burst) bool {
	c := s.Call
	c.Stamps.Ended = b.Clock()
	won := c.Fail(err, b)
	c.Release()
	return won
}
