package server

import (
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/protocol/kserve"
	"github.com/sluice-serving/sluice/slab"
	"github.com/sluice-serving/sluice/telemetry"
	"github.com/sluice-serving/sluice/wire"
)

// Header names, spelled as they are sent.
const (
	headerRequestID  = "X-Request-Id"
	headerTrace      = "Traceparent"
	headerTimeout    = "X-Request-Timeout-Ms"
	headerJSONLength = "Inference-Header-Content-Length"
	headerTiming     = "Server-Timing"
	headerVersion    = "Sluice-Version"
	headerRetry      = "Retry-After"
	headerAllow      = "Allow"

	typeJSON   = "application/json"
	typeBinary = "application/octet-stream"
)

// inference is everything that one exchange needs, pooled: the handlers that infer nothing use part of it. It
// is the edge's continuation of its call and the watcher of its client.
type inference struct {
	server  *Server
	decoder *kserve.Decoder
	encoder *kserve.Encoder

	// Of the exchange being served.
	x         wire.Exchange
	call      *infer.Call
	series    *Series
	query     infer.Query
	head      kserve.Head
	burst     infer.Burst
	reply     wire.Reply
	received  int64
	requestID []byte
	scratch   []byte // backs requestID, unescaped names and header values
	code      infer.Code
	bytesIn   int64
	bytesOut  int64
}

func newInference(s *Server) *inference {
	return &inference{
		server:  s,
		decoder: kserve.NewDecoder(s.memory.Slabs),
		encoder: kserve.NewEncoder(s.memory.Slabs),
	}
}

// begin takes up an exchange and gives it its id.
func (e *inference) begin(x wire.Exchange) {
	e.x, e.received = x, infer.Now()
	e.burst.Now = e.received
	e.scratch = e.scratch[:0]
	id := x.Header(headerRequestID)
	if telemetry.ValidRequestID(id) {
		e.scratch = append(e.scratch, id...)
	} else {
		e.scratch = e.server.ids.AppendRequestID(e.scratch)
	}
	e.requestID = e.scratch[:len(e.scratch):len(e.scratch)]
	e.header(headerRequestID, e.requestID)
}

// end forgets the exchange.
func (e *inference) end() {
	e.reply.Reset()
	e.x, e.call, e.series = nil, nil, nil
	e.query = infer.Query{}
	e.code, e.bytesIn, e.bytesOut = infer.OK, 0, 0
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
	e.observe()
	if e.call != nil {
		e.call.Release()
	}
}

// serve takes the request through its stages and replies.
func (e *inference) serve(t target, req *infer.Request) {
	if err := e.lookup(t, req); err != nil {
		e.refuse(err)
		return
	}
	e.series.inFlight.AddAt(req.Shard(), 1)
	defer e.series.inFlight.AddAt(req.Shard(), -1)
	if !e.read(req) {
		return
	}
	deadline, err := e.deadline(req.Route)
	if err != nil {
		e.refuse(err)
		return
	}
	c := e.server.memory.NewCall(req)
	e.call = c
	c.Deadline = deadline
	c.Stamps.Received, c.Stamps.Decoded = e.received, infer.Now()
	c.Then(infer.RoleEdge, e)
	if err := e.run(c); err != nil {
		e.refuse(err)
		return
	}
	e.answer(c)
}

// lookup resolves the name in the path and binds the request to its route.
func (e *inference) lookup(t target, req *infer.Request) *infer.Error {
	var ok, ok2 bool
	e.query.Name, e.scratch, ok = unescape(t.model, e.scratch)
	e.query.Version, e.scratch, ok2 = unescape(t.version, e.scratch)
	if !ok || !ok2 {
		return errEscape
	}
	e.query.Header, e.query.Spread = e.x, req.Shard()
	route, err := e.server.front.Lookup(&e.query)
	if err != nil {
		return asError(err)
	}
	req.Bind(route, &e.query)
	for _, name := range route.Headers {
		v := e.x.Header(name)
		if v != nil {
			v = req.Keep(v)
		}
		req.HeaderValues = append(req.HeaderValues, v)
	}
	if len(route.Targets) == 1 {
		e.series = route.Targets[0].Edge.(*Series)
	} else {
		e.series = route.Edge.(*Series)
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
	length, err := kserve.ParseHeaderLength(e.x.Header(headerJSONLength), req.Body.Size())
	if err == nil {
		err = e.decoder.Decode(kserve.Source{
			Model: req.Route.Model, Body: &req.Body, HeaderLen: length, MaxBytes: req.Route.MaxBody,
		}, req, &e.head)
	}
	if err != nil {
		e.refuse(err)
		return false
	}
	return true
}

// deadline returns the shortest of what the client asked for, or else the route's, as an absolute time.
func (e *inference) deadline(route *infer.Route) (int64, *infer.Error) {
	limit := e.head.Timeout
	if v := e.x.Header(headerTimeout); v != nil {
		ms, err := parseMillis(v)
		if err != nil {
			return 0, err
		}
		if limit == 0 || ms < limit {
			limit = ms
		}
	}
	if limit == 0 {
		limit = route.Deadline
	}
	if limit == 0 {
		return 0, nil
	}
	return e.received + int64(limit), nil
}

// maxTimeout is the longest timeout that is told from none: a year.
const maxTimeout = 365 * 24 * time.Hour

func parseMillis(v []byte) (time.Duration, *infer.Error) {
	const most = int64(maxTimeout / time.Millisecond)
	n := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, errTimeout
		}
		n = min(n*10+int64(c-'0'), most)
	}
	if n == 0 {
		return 0, errTimeout
	}
	return time.Duration(n) * time.Millisecond, nil
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

// Done implements [infer.Continuation]: it wakes the goroutine that waits in run.
func (e *inference) Done(c *infer.Call, _ *infer.Burst) { c.Wake() }

// HangUp implements [wire.Watcher]. A reset ends the call wherever it is; a closed sending side takes it out of
// a queue, and lets it be where it runs: its answer is written, in case somebody reads it.
func (e *inference) HangUp(how wire.HangUp) {
	switch {
	case how == wire.Reset:
		e.call.Fail(infer.ErrClientGone, nil)
	case !e.server.opts.KeepHalfClosed:
		e.call.FailQueued(infer.ErrClientGone, nil)
	}
}

// answer writes down how the call ended.
func (e *inference) answer(c *infer.Call) {
	if c.Target != nil {
		e.series = c.Target.Edge.(*Series)
	}
	if c.Error != nil {
		e.refuse(c.Error)
		return
	}
	model := c.Target.Model
	length, err := e.encoder.Encode(kserve.Answer{
		Request: c.Request, Head: &e.head, Model: model, Response: c.Response, Rows: c.Rows,
	}, &e.reply.Body)
	if err != nil {
		e.refuse(err)
		return
	}
	e.reply.Status, e.reply.ContentType = httpStatus[infer.OK], typeJSON
	if length > 0 {
		e.reply.ContentType = typeBinary
		e.headerInt(headerJSONLength, int64(length))
	}
	at := len(e.scratch)
	e.scratch = append(e.scratch, model.Version...)
	e.header(headerVersion, e.scratch[at:])
	e.timing(&c.Stamps)
	e.send()
}

// timing tells the client where the time went.
func (e *inference) timing(st *infer.Stamps) {
	queue, compute := st.Started-st.Queued, st.Ended-st.Started
	gateway := infer.Now() - st.Received - queue - compute
	at := len(e.scratch)
	e.scratch = telemetry.AppendServerTiming(e.scratch, time.Duration(queue), time.Duration(compute), time.Duration(gateway))
	e.header(headerTiming, e.scratch[at:])
}

func (e *inference) headerInt(name string, v int64) {
	at := len(e.scratch)
	e.scratch = strconv.AppendInt(e.scratch, v, 10)
	e.header(name, e.scratch[at:])
}

// send hands the reply to the transport.
func (e *inference) send() {
	e.bytesOut = int64(e.reply.Body.Size())
	e.x.Reply(&e.reply)
}

// observe counts the request, once it is answered.
func (e *inference) observe() {
	now := infer.Now()
	s, hint := e.series, uint32(e.received)
	shard := hint
	c := e.call
	if c != nil {
		shard = c.Shard()
	}
	total := now - e.received
	s.requests.At(int(e.code)).AddAt(shard, 1)
	s.duration.ObserveAt(shard, total)
	if e.code == infer.OK {
		e.observePhases(s, c, now, shard)
	}
	log := e.server.access.Load()
	if why := log.Why(e.code.String(), time.Duration(total)); why != "" {
		e.log(log, why, total)
	}
}

func (e *inference) observePhases(s *Series, c *infer.Call, now int64, shard uint32) {
	st := &c.Stamps
	s.phase[phaseReceive].ObserveAt(shard, st.Queued-st.Received)
	s.phase[phaseQueue].ObserveAt(shard, st.Started-st.Queued)
	s.phase[phaseCompute].ObserveAt(shard, st.Ended-st.Started)
	s.phase[phaseAnswer].ObserveAt(shard, now-st.Ended)
	e.server.metrics.overhead.ObserveAt(shard, st.Queued-st.Received+now-st.Ended)
	s.rows.AddAt(shard, c.Request.Rows)
	if ms := infer.Wall(now).UnixMilli(); s.last.Load() != ms {
		s.last.Store(ms)
	}
}

// log writes the request's line in the access log.
func (e *inference) log(log *telemetry.AccessLog, why string, total int64) {
	a := telemetry.Access{
		Protocol: protocolHTTP, Method: "POST", Path: "/v2/models/{model}/infer", Code: e.code.String(),
		Status: httpStatus[e.code], BytesIn: e.bytesIn, BytesOut: e.bytesOut, Total: time.Duration(total),
		RequestID: e.requestID, Model: e.series.key.model, Version: e.series.key.version,
	}
	if e.reply.Status != 0 {
		a.Status = e.reply.Status
	}
	if c := e.call; c != nil {
		a.Rows = c.Request.Rows
		if e.code == infer.OK {
			a.Queue = time.Duration(c.Stamps.Started - c.Stamps.Queued)
			a.Compute = time.Duration(c.Stamps.Ended - c.Stamps.Started)
		}
	}
	if trace, ok := telemetry.ParseTraceParent(e.x.Header(headerTrace)); ok {
		a.TraceID = trace.TraceID
	}
	a.Remote, _ = netip.ParseAddrPort(e.x.Remote())
	log.Write(&a, why)
}

// asError returns err as what the contracts promise it to be.
func asError(err error) *infer.Error {
	var e *infer.Error
	if errors.As(err, &e) {
		return e
	}
	return &infer.Error{Code: infer.Internal, Origin: infer.FromGateway, Text: infer.ErrInternal.Text, Cause: err}
}

// body puts b, which lives for ever or in the scratch, into the reply.
func (e *inference) body(b []byte) {
	s := e.server.memory.Slabs.Get(len(b))
	copy(s.Bytes(), b)
	e.reply.Body.AppendOwned(slab.View{B: s.Bytes()[:len(b)], S: s})
}
