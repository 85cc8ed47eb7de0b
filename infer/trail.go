package infer

// Trail is what tells a request from others in logs and traces: those of this process, and of the servers behind it,
// which are told of it as it came.
type Trail struct {
	// RequestID is the client's, or one that it was given.
	RequestID []byte
	// Traceparent and Tracestate are the headers of that name of W3C's, empty where the client sent none that is valid.
	Traceparent, Tracestate []byte
}
