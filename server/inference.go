package server

import (
	"strconv"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/protocol/kserve/rest"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/telemetry"
	"github.com/sluice-serving/sluice/wire"
)

// Header names, spelled as they are sent.
const (
	headerRequestID  = "X-Request-Id"
	headerTrace      = "Traceparent"
	headerState      = "Tracestate"
	headerTimeout    = "X-Request-Timeout-Ms"
	headerJSONLength = "Inference-Header-Content-Length"
	headerTiming     = "Server-Timing"
	headerVersion    = "Sluice-Version"
	headerRetry      = "Retry-After"
	headerAllow      = "Allow"
	headerKind       = "Content-Type"

	typeJSON   = "application/json"
	typeBinary = "application/octet-stream"
)

// inference is everything that one exchange needs, pooled: the handlers that infer nothing use part of it. It
// is the edge's continuation of its call and the watcher of its client.
type inference struct {
	edge
	decoder *rest.Decoder
	encoder *rest.Encoder
	tf      servingCodec
	head    kserve.Head

	// Of the exchange being served.
	x        wire.Exchange
	way      way
	serving  bool // it came over TensorFlow Serving's API
	running  *infer.Call
	begun    bool      // events have been sent
	followed *followed // set where there are any
	burst    infer.Burst
	reply    wire.Reply
}

func newInference(s *Server) *inference {
	return &inference{
		edge:    edge{server: s},
		decoder: rest.NewDecoder(s.memory.Slabs),
		encoder: rest.NewEncoder(s.memory.Slabs),
	}
}

// begin takes up an exchange.
func (e *inference) begin(x wire.Exchange) {
	e.x = x
	e.start(x)
	e.burst.Now = e.received
	e.header(headerRequestID, e.requestID)
}

// end forgets the exchange.
func (e *inference) end() {
	e.reply.Reset()
	e.x, e.running = nil, nil
	e.serving, e.begun, e.followed = false, false, nil
	e.forget()
}

// take begins an inference.
func (e *inference) take(w way) {
	e.way, e.protocol, e.method = w, wayFacts[w].protocol, wayFacts[w].path
	e.head.Timeout = 0 // not every way says one
}

// header adds a header to the reply; value must live until the reply is handed over.
func (e *inference) header(name string, value []byte) {
	e.reply.Headers = append(e.reply.Headers, wire.Header{Name: name, Value: value})
}

// infer serves an inference request from end to end.
func (e *inference) infer(t target) {
	e.series = e.server.unknown
	req := e.server.memory.NewRequest()
	e.serve(t, req)
	req.Release()
	e.observe(e.running)
	if e.running != nil {
		e.running.Release()
	}
}

// serve takes the request through its stages and replies.
func (e *inference) serve(t target, req *infer.Request) {
	err := e.name(t)
	if err == nil {
		err = e.lookup(req)
	}
	if err != nil {
		e.refuse(err)
		return
	}
	e.series.inFlight.AddAt(req.Shard(), 1)
	defer e.series.inFlight.AddAt(req.Shard(), -1)
	if !e.read(req) {
		return
	}
	deadline, err := e.deadline(req.Route, e.head.Timeout, 0)
	if err != nil {
		e.refuse(err)
		return
	}
	c := e.call(req, deadline)
	e.running = c
	c.Then(infer.RoleEdge, e)
	switch {
	case e.way == wayGenerate && req.Route.Model.Decoupled:
		err = e.generate(c)
	case e.way == wayEvents && req.Route.Model.Decoupled:
		err = e.events(c)
	default:
		if err = e.run(c); err == nil {
			err = e.answer(c)
		}
	}
	if err != nil {
		e.refuse(err)
	}
}

// name reads the model and the version out of the path.
func (e *inference) name(t target) *infer.Error {
	var ok, ok2, ok3 bool
	e.query.Name, e.scratch, ok = unescape(t.model, e.scratch)
	e.query.Version, e.scratch, ok2 = unescape(t.version, e.scratch)
	e.query.Label, e.scratch, ok3 = unescape(t.label, e.scratch)
	if !ok || !ok2 || !ok3 {
		return errEscape
	}
	return nil
}

// read reads and decodes the body. It replies and returns false if that fails.
func (e *inference) read(req *infer.Request) bool {
	if err := e.x.ReadBody(&req.Body, req.Route.MaxBody); err != nil {
		e.refuseWire(err, req.Route.MaxBody)
		return false
	}
	e.bytesIn = int64(req.Body.Size())
	if err := e.decode(req); err != nil {
		e.refuse(err)
		return false
	}
	return true
}

// decode decodes the body.
func (e *inference) decode(req *infer.Request) *infer.Error {
	switch e.way {
	case wayGenerate, wayEvents:
		return e.decodeFlat(req)
	case wayPredict, wayClassify, wayRegress:
		return e.tf.decode(e.way, req, e.server.memory.Slabs)
	}
	length, err := rest.ParseHeaderLength(e.x.Header(headerJSONLength), req.Body.Size())
	if err != nil {
		return err
	}
	return e.decoder.Decode(kserve.Source{
		Model: req.Route.Model, Body: &req.Body, HeaderLen: length, MaxBytes: req.Route.MaxBody,
	}, req, &e.head)
}

// run submits the call and waits until it is done. The error means that nobody took it.
func (e *inference) run(c *infer.Call) *infer.Error {
	e.burst.Now = c.Stamps.Decoded
	if err := e.server.front.Submit(c, &e.burst); err != nil {
		return asError(err)
	}
	e.burst.Flush()
	select {
	case <-c.Woken():
	default:
		e.x.Wait(c.Woken(), e)
	}
	return nil
}

// Done implements [infer.Continuation]: it wakes the goroutine that waits.
func (e *inference) Done(c *infer.Call, _ *infer.Burst) {
	if e.followed != nil {
		e.followed.end()
		return
	}
	c.Wake()
}

// HangUp implements [wire.Watcher]. A reset ends the call wherever it is; a closed sending side takes it out of
// a queue, and lets it be where it runs: its answer is written, in case somebody reads it.
func (e *inference) HangUp(how wire.HangUp) {
	switch {
	case how == wire.Reset:
		e.running.Fail(infer.ErrClientGone, nil)
	case !e.server.opts.KeepHalfClosed:
		e.running.FailQueued(infer.ErrClientGone, nil)
	}
}

// answer replies with how the call ended, unless that is with the error that it returns.
func (e *inference) answer(c *infer.Call) *infer.Error {
	e.settle(c)
	if c.Error != nil {
		return c.Error
	}
	switch e.way {
	case wayGenerate, wayEvents:
		return e.flat(c, c.Response, c.Rows)
	case wayPredict, wayClassify, wayRegress:
		return e.answerServing(c)
	}
	length, err := e.encoder.Encode(kserve.Answer{
		Request: c.Request, Head: &e.head, Model: c.Target.Model, Response: c.Response, Rows: c.Rows,
	}, &e.reply.Body)
	if err != nil {
		return err
	}
	e.reply.Status, e.reply.ContentType = httpStatus[infer.OK], typeJSON
	if length > 0 {
		e.reply.ContentType = typeBinary
		e.headerInt(headerJSONLength, int64(length))
	}
	e.finish(c)
	return nil
}

// finish sends the reply to a call that succeeded.
func (e *inference) finish(c *infer.Call) {
	e.version(c)
	e.timing(&c.Stamps)
	e.send()
}

// version tells the client which version answered.
func (e *inference) version(c *infer.Call) {
	at := len(e.scratch)
	e.scratch = append(e.scratch, c.Target.Model.Version...)
	e.header(headerVersion, e.scratch[at:])
}

// timing tells the client where the time went.
func (e *inference) timing(st *infer.Stamps) {
	at := len(e.scratch)
	e.scratch = appendTiming(e.scratch, st)
	e.header(headerTiming, e.scratch[at:])
}

// appendTiming appends the value of server-timing.
func appendTiming(dst []byte, st *infer.Stamps) []byte {
	queue, compute := st.Started-st.Queued, st.Ended-st.Started
	gateway := infer.Now() - st.Received - queue - compute
	return telemetry.AppendServerTiming(dst, time.Duration(queue), time.Duration(compute), time.Duration(gateway))
}

func (e *inference) headerInt(name string, v int64) {
	at := len(e.scratch)
	e.scratch = strconv.AppendInt(e.scratch, v, 10)
	e.header(name, e.scratch[at:])
}

// send hands the reply to the transport.
func (e *inference) send() {
	e.status, e.bytesOut = e.reply.Status, int64(e.reply.Body.Size())
	e.x.Reply(&e.reply)
}

// body puts b, which lives for ever or in the scratch, into the reply.
func (e *inference) body(b []byte) {
	s := e.server.memory.Slabs.Get(len(b))
	copy(s.Bytes(), b)
	e.reply.Body.AppendOwned(slab.View{B: s.Bytes()[:len(b)], S: s})
}
