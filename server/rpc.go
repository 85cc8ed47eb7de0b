package server

import (
	"sync/atomic"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve/pb"
	tfpb "github.com/sluice-serving/sluice/protocol/tfserving/pb"
	"github.com/sluice-serving/sluice/wire"
	"github.com/sluice-serving/sluice/wire/h2"
	"github.com/sluice-serving/sluice/wire/h2/services"
)

// The methods that are served by hand.
const (
	inferPath    = pb.GRPCInferenceService_ModelInfer_FullMethodName
	streamPath   = pb.GRPCInferenceService_ModelStreamInfer_FullMethodName
	predictPath  = tfpb.PredictionService_Predict_FullMethodName
	classifyPath = tfpb.PredictionService_Classify_FullMethodName
	regressPath  = tfpb.PredictionService_Regress_FullMethodName
	multiPath    = tfpb.PredictionService_MultiInference_FullMethodName
)

// RPC serves the gRPC calls of the data port. It implements [h2.GRPC].
type RPC struct {
	server   *Server
	services *services.Registry // of every other method
}

// RPC returns the server as gRPC sees it.
func (s *Server) RPC() *RPC { return &RPC{server: s, services: newServices(s)} }

// Method implements [h2.GRPC].
func (r *RPC) Method(path []byte) h2.Kind {
	switch string(path) {
	case inferPath, predictPath:
		return h2.Unary
	case streamPath:
		return h2.Streaming
	case classifyPath, regressPath, multiPath:
		return h2.Generic
	}
	return r.services.Method(path)
}

// Connect implements [h2.GRPC].
func (r *RPC) Connect(*h2.Conn) h2.Calls { return &rpcConn{server: r.server} }

// Serve implements [h2.GRPC]: an inference whose message came compressed, a stream of inferences, examples, or one
// of the other methods.
func (r *RPC) Serve(s *h2.Stream) {
	switch string(s.Path()) {
	case inferPath, predictPath:
	case streamPath:
		r.server.serveStream(s)
		return
	case classifyPath, regressPath, multiPath:
		r.server.serveExamples(s)
		return
	default:
		r.services.Serve(s)
		return
	}
	answered := make(chan struct{})
	c := r.server.rpcOf(s)
	c.answered = answered
	c.serve(s, nil)
	<-answered
}

// rpcConn serves the inferences of one connection on its reader's goroutine.
type rpcConn struct {
	server *Server
	burst  infer.Burst
	busy   bool // the burst has begun
}

// Unary implements [h2.Calls].
func (c *rpcConn) Unary(s *h2.Stream) {
	if !c.busy {
		c.busy = true
		c.burst.Begin()
	}
	e := c.server.rpcOf(s)
	if e.takesLong(s) {
		go e.serve(s, nil) // it ends with the answer, which the engine's Shutdown waits for
		return
	}
	e.serve(s, &c.burst)
}

// readerBytes is the size up to which a message is decoded on the reader's goroutine, whatever it holds.
const readerBytes = 64 << 10

// takesLong tells whether decoding would hold up the connection: tensors in typed fields are read number by
// number.
func (e *rpc) takesLong(s *h2.Stream) bool {
	if s.Message().Size() <= readerBytes {
		return false
	}
	var q infer.Query
	raw, err := e.codec.peek(s.Message(), &q)
	return err == nil && !raw
}

// Drained implements [h2.Calls].
func (c *rpcConn) Drained() {
	c.burst.Flush()
	c.busy = false
}

// rpc is everything that one ModelInfer or Predict call needs. It stays attached to its stream and is reused with
// it: from Reply on it may be serving the stream's next call.
type rpc struct {
	rpcEdge
	codec   codec // of the method being served: one of the two, made when first needed
	infer   *inferCodec
	predict *predictCodec

	// Of the call being served.
	stream   *h2.Stream
	running  *infer.Call
	life     uint64 // of running
	answered chan struct{}
	answer   h2.Answer
	fields   [3]wire.Header
	details  []byte

	// hold keeps a hang-up from finishing the call before Submit has: it counts the calls of this rpc, with the
	// phase in its lowest bits.
	hold atomic.Uint64
}

// The phases of rpc.hold.
const (
	submitting = iota + 1
	submitted
	hungUp

	turnShift = 2
	holdPhase = 1<<turnShift - 1
)

// rpcOf returns what is attached to the stream, for the method that it calls.
func (s *Server) rpcOf(stream *h2.Stream) *rpc {
	e, ok := stream.Attached().(*rpc)
	if !ok || e.server != s {
		e = &rpc{rpcEdge: rpcEdge{edge: edge{server: s}}}
		stream.Attach(e)
	}
	if path := stream.Path(); string(path) != e.method {
		e.turnTo(string(path) == predictPath)
	}
	return e
}

// turnTo has e serve Predict, or ModelInfer.
func (e *rpc) turnTo(predict bool) {
	pool := e.server.memory.Slabs
	if predict {
		if e.predict == nil {
			e.predict = newPredictCodec(pool)
		}
		e.method, e.protocol, e.codec = predictPath, overServingGRPC, e.predict
		return
	}
	if e.infer == nil {
		e.infer = newInferCodec(pool)
	}
	e.method, e.protocol, e.codec = inferPath, overGRPC, e.infer
}

// serve takes a call up; its answer comes with Done, or at once if it is refused.
func (e *rpc) serve(s *h2.Stream, burst *infer.Burst) {
	e.stream, e.running = s, nil
	e.start(s)
	turn := (e.hold.Load()>>turnShift + 1) << turnShift
	e.hold.Store(turn | submitting)
	req := e.server.memory.NewRequest()
	asked, err := e.prepare(e.codec, s.Message(), req)
	if err != nil {
		req.Release()
		e.fail(err, nil, burst)
		return
	}
	deadline, err := e.deadline(req.Route, asked, timeoutOf(s))
	if err != nil {
		req.Release()
		e.fail(err, nil, burst)
		return
	}
	c := e.call(req, deadline)
	req.Release()
	c.Then(infer.RoleEdge, e)
	e.running, e.life = c, c.Epoch()
	e.submit(c, turn, burst)
}

// submit hands the call on. From then on e may be serving another call, so nothing of it is read but hold,
// which tells.
func (e *rpc) submit(c *infer.Call, turn uint64, burst *infer.Burst) {
	life, front := e.life, &e.server.front
	if !e.stream.Watch(e) {
		e.fail(infer.ErrClientGone, c, burst)
		return
	}
	if err := front.Submit(c, burst); err != nil {
		e.fail(asError(err), c, burst)
		return
	}
	if !e.hold.CompareAndSwap(turn|submitting, turn|submitted) && e.hold.Load() == turn|hungUp {
		c.FailLife(life, infer.ErrClientGone, burst)
	}
}

// timeoutOf returns what the client allows a call, 0 if it does not say.
func timeoutOf(s *h2.Stream) time.Duration {
	d, ok := s.Timeout()
	if !ok {
		return 0
	}
	return max(d, 1)
}

// HangUp implements [wire.Watcher]. It may come as late as the answer: the life of the call tells.
func (e *rpc) HangUp(wire.HangUp) {
	turn := e.hold.Load() &^ holdPhase
	if e.hold.CompareAndSwap(turn|submitting, turn|hungUp) {
		return
	}
	e.running.FailLife(e.life, infer.ErrClientGone, nil)
}

// Done implements [infer.Continuation]: it answers, on the goroutine of whoever finished the call.
func (e *rpc) Done(c *infer.Call, burst *infer.Burst) {
	e.settle(c)
	err := c.Error
	if err == nil {
		err = e.encoded(e.codec.encode(c, &e.message))
	}
	if err != nil {
		e.fail(err, c, burst)
		return
	}
	version := len(e.scratch)
	e.scratch = append(e.scratch, c.Target.Model.Version...)
	timing := len(e.scratch)
	e.scratch = appendTiming(e.scratch, &c.Stamps)
	e.fields = [...]wire.Header{
		{Name: headerRequestID, Value: e.requestID},
		{Name: headerVersion, Value: e.scratch[version:timing]},
		{Name: headerTiming, Value: e.scratch[timing:]},
	}
	e.answer = h2.Answer{Head: e.fields[:], Message: &e.message}
	e.send(c, burst)
}

// fail answers with an error. c is nil if the request did not get as far as a call; the edge's reference to it
// goes with the answer.
func (e *rpc) fail(err *infer.Error, c *infer.Call, burst *infer.Burst) {
	e.failed(err)
	e.details = appendStatusDetails(e.details[:0], err)
	e.fields[0] = wire.Header{Name: headerRequestID, Value: e.requestID}
	e.answer = h2.Answer{Head: e.fields[:1], Status: grpcStatus[err.Code], Text: err.Text, Details: e.details}
	e.send(c, burst)
}

// send counts the call and replies. Nothing of e is touched after that.
func (e *rpc) send(c *infer.Call, burst *infer.Burst) {
	e.observe(c)
	answered, conn := e.answered, e.stream.Conn()
	e.answered = nil
	s := e.stream
	answer := &e.answer
	e.forget()
	s.Reply(answer)
	burst.Mark(conn)
	if c != nil {
		c.Release()
	}
	if answered != nil {
		close(answered)
	}
}
